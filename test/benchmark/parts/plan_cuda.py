"""The CUDA engine alone: a substep of one world, many candidates at once, memory, bandwidth, the same bits.

`python -m parts.plan_cuda` from this folder's parent writes out/bench/plan_cuda.json. Without CUDA all is skipped.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from parts.plan_cuda_world import through_world
from parts.records import record, write
from pw_core.simulate.fast_cuda.engine import CudaEngine
from pw_core.simulate.fast_cuda.tables import ACTION_SIZE, ALL, FOREVER, MODELS, ROW_SIZE, STEADY, Domain

COUNT, SIZE_M, DENSITY = 4382, 4.98e-3, 1500.0  # the product's play_doh
MATERIALS = {  # lambda, mu, yield threshold [Pa], viscosity over substep [Pa], as `materials.parameters` has them
    "plastic": (8.57e4, 2.14e4, 1225.0, 0.0), "liquid": (3.1e5, 0.0, 0.0, 2.25e5),
    "elastic": (1.14e4, 2.86e3, 0.0, 0.0), "snow": (1.1e4, 2.7e3, 0.0, 0.0),
}  # fmt: skip
SECONDS, SUBSTEPS, STEP_S = 0.5, 11, 2e-3
STATE_BYTES = 104  # position, F and Jp of a particle, read and written once a substep; the rest stays on the chip


def lump(count: int) -> dict[str, Any]:
    """A half ball of `count` particles on the table, at rest."""
    side = np.arange(-40, 41) + 0.5
    points = np.stack(np.meshgrid(side, side, side[side > 0], indexing="ij"), -1).reshape(-1, 3)
    points = points[np.argsort(np.linalg.norm(points, axis=1), kind="stable")[:count]]
    points += np.random.default_rng(0).uniform(-0.2, 0.2, points.shape)
    return {
        "positions": (points * SIZE_M).astype(np.float32), "velocities": np.zeros((count, 3), np.float32),
        "C": np.zeros((count, 3, 3), np.float32), "F": np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        "Jp": np.ones(count, np.float32), "active": np.ones(count, np.float32),
    }  # fmt: skip


def domain() -> Domain:
    """What `choose_settings` makes of play_doh: a margin of 0.25 m, 10 mm cells, 0.18 ms a substep."""
    cell = 2 * SIZE_M
    lowest, nodes = np.array([-36, -36, -8]), np.array([73, 73, 47])
    low, high = (lowest + 3) * cell, (lowest + nodes - 4) * cell
    return Domain(cell, STEP_S / SUBSTEPS, SUBSTEPS, tuple(lowest.tolist()), tuple(nodes.tolist()),
                  tuple(low.tolist()), tuple(high.tolist()), SIZE_M**3)  # fmt: skip


def made(model: str, worlds: int, count: int = COUNT, **how: Any) -> CudaEngine:
    """An engine of lumps, each pushed by 14 N in a direction of its own."""
    rows = np.zeros((1, ROW_SIZE), np.float32)
    rows[0, 0], rows[0, 1:5], rows[0, 5] = MODELS[model], MATERIALS[model], DENSITY * SIZE_M**3
    engine = CudaEngine(
        domain(), entity=np.zeros(count, np.int32), rows=rows, friction=1.0, worlds=worlds, actions=4, **how
    )
    engine.set_actions([pushed(world) for world in range(worlds)])
    engine.reset(lump(count))
    return engine


def pushed(world: int) -> np.ndarray:
    """Gravity, and a palm that comes down at a slant of its own."""
    table = np.zeros((2, ACTION_SIZE))
    table[0, :3], table[0, 8:12] = (0, 0, -9.81), (-1, FOREVER, STEADY, ALL)
    angle = 2.4 * world
    table[1, :8] = 4 * np.cos(angle), 4 * np.sin(angle), -14, 0, 0, 0.06, 0.05, 2
    table[1, 8:13] = 0, 0.3, STEADY, ALL, 1
    return table


def seconds(engine: CudaEngine, steps: int, repeats: int = 5) -> float:
    """Of `steps` steps, the median of some repeats by the GPU's clock."""
    engine.advance(steps)
    taken = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        engine.advance(steps)
        end.record()
        torch.cuda.synchronize()
        taken.append(begin.elapsed_time(end) * 1e-3)
    return float(np.median(taken))


def plan_cuda() -> None:
    """All figures, or that there is no GPU."""
    if not torch.cuda.is_available():
        for name, unit in (("one world of 5000 particles", "µs a substep"), ("256 candidates of 0.5 s", "s"),
                           ("batch of 256", "G particle-substeps/s")):  # fmt: skip
            record(f"CUDA engine: {name}", None, unit, "reported", None, "no CUDA here")
        return
    card = torch.cuda.get_device_name()
    one_world(card)
    batches(card)
    candidates(card)
    same_bits(card)
    through_world(card)


def one_world(card: str) -> None:
    """Microseconds of a substep, each material; a rollout against real time; a start."""
    begin = time.perf_counter()
    made("elastic", 1, 100)
    torch.cuda.synchronize()
    record("CUDA engine: made, kernels compiled or cached", time.perf_counter() - begin, "s", "reported", None, card)
    for model in MATERIALS:
        t = seconds(made(model, 1, 5000), 50) / (50 * SUBSTEPS) * 1e6
        record(f"CUDA engine: one world of 5000 particles, {model}", t, "µs a substep", "<= 20", t <= 20, card)
    t = seconds(made("plastic", 1, 5000, method="grid"), 50) / (50 * SUBSTEPS) * 1e6
    record("CUDA engine: the same through device memory", t, "µs a substep", "reported", None, card)
    t = seconds(made("plastic", 1, 100_000), 10) / (10 * SUBSTEPS) * 1e6
    record("CUDA engine: one world of 100000 particles", t, "µs a substep", "reported", None, card)
    engine = made("plastic", 1)
    t = seconds(engine, round(SECONDS / STEP_S), 3)
    record("CUDA engine: a rollout of 0.5 s", SECONDS / t, "x real time", ">= 5", SECONDS / t >= 5, f"{card}, alone")


def batches(card: str) -> None:
    """Particle-substeps a second, and how much of the memory's bandwidth they would need."""
    source, target = torch.rand(2, 1 << 28, device="cuda")
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    target.copy_(source)
    begin.record()
    target.copy_(source)
    end.record()
    torch.cuda.synchronize()
    copied = 2 * source.numel() * source.element_size() / (begin.elapsed_time(end) * 1e-3)
    del source, target
    for model in MATERIALS:
        for worlds in (64, 256) if model == "plastic" else (256,):
            engine = made(model, worlds)
            rate = worlds * COUNT * 20 * SUBSTEPS / seconds(engine, 20)
            share = rate * STATE_BYTES / copied
            note = f"{card}; {100 * share:.0f} % of the {copied * 1e-12:.2f} TB/s that a copy moves"
            name = f"CUDA engine: batch of {worlds}, {model}"
            record(name, rate * 1e-9, "G particle-substeps/s", ">= 1.2", rate >= 1.2e9, note)
    memory = engine.memory_bytes() / engine.worlds * 1e-6
    record("CUDA engine: memory a world in a batch of 256", memory, "MB", "reported", None, card)


def candidates(card: str) -> None:
    """Wall seconds of many rollouts, with states and actions put in and positions read."""
    for worlds, goal in ((256, 3.0), (800, 10.0)):
        engine = made("plastic", worlds)
        state, tables = lump(COUNT), [pushed(world) for world in range(worlds)]
        torch.cuda.synchronize()
        begin = time.perf_counter()
        engine.set_actions(tables)
        engine.reset(state)
        engine.advance(round(SECONDS / STEP_S))
        engine.read()["positions"].cpu()
        t = time.perf_counter() - begin
        sound = not engine.status().any()
        record(f"CUDA engine: {worlds} candidates of 0.5 s", t, "s", f"<= {goal:g}", t <= goal and sound,
               f"{card}; reset and read among them")  # fmt: skip


def same_bits(card: str) -> None:
    """Worlds of a batch against each alone, and a batch against itself run again."""
    steps, results = 100, []
    for _ in range(2):
        engine = made("plastic", 64)
        engine.advance(steps)
        results.append({k: v.cpu().numpy() for k, v in engine.read().items()})
    differ = 0
    for world in range(0, 64, 7):
        alone = made("plastic", 1)
        alone.set_actions(pushed(world))
        alone.advance(steps)
        got = {k: v[0].cpu().numpy() for k, v in alone.read().items()}
        differ += not all(np.array_equal(got[k], r[k][world]) for k in got for r in results)
    record("CUDA engine: worlds of 64 that differ from themselves alone", float(differ), "", "0", differ == 0,
           f"{card}; 10 of them, {steps * SUBSTEPS} substeps, to the bit")  # fmt: skip


if __name__ == "__main__":
    plan_cuda()
    write("plan_cuda")
