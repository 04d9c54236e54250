"""A batch of 64 candidates against each alone: the same bits, what memory one takes, what World adds to the engine."""

from __future__ import annotations

import gc
import tempfile
import time
import tracemalloc
from dataclasses import replace
from unittest import mock

import numpy as np

from parts.records import record
from pw_core.actions import parse_action
from pw_core.plan.candidates import Candidate
from pw_core.plan.executors.building import build_simulation
from pw_core.plan.objective import Objective
from pw_core.plan.running import Evaluating
from pw_core.simulate import Simulation
from pw_core.world import World
from support.ball_scene import ball_scene

COUNT, KEEP = 64, 4
DURATION_S = 0.5
PARTICLES = 4000
"""About as many as play_doh has."""
TURNS, TIMED = 4, 3
"""So often in turn; so many candidates each time."""
AIM = Objective.parse({"terms": [{"type": "reach", "entity": "ball", "position": [0.66, 0.02, 0.05]}]})


def _candidate(newtons: float) -> Candidate:
    push = {"type": "push", "duration": 0.1, "center": [0.6, 0, 0.05], "direction": [1, 0.2, 0], "radius": 0.1}
    return Candidate((parse_action({**push, "magnitude": newtons}),))


def batch() -> None:
    """Record bits and memory on a ball of 300 particles, the overhead on one of PARTICLES."""
    with tempfile.TemporaryDirectory(prefix="pw_batch_") as folder:
        small = _world(f"{folder}/small", 300)
        _bits(small)
        _memory(small)
        _overhead(_world(f"{folder}/large", PARTICLES))


def _world(folder: str, count: int) -> World:
    scene = ball_scene(count=count)
    fast = scene.config.simulation.model_copy(update={"engine": "fast"})
    world = World(folder)
    world.adopt(replace(scene, config=scene.config.model_copy(update={"simulation": fast})))
    return world


def _run(world: World, candidates: list[Candidate], *, keep: int, duration: float = DURATION_S) -> Evaluating:
    running = world.evaluate(candidates, duration, objective=AIM, keep=keep)
    for _ in running:
        pass
    return running


def _end(world: World, running: Evaluating, i: int) -> bytes:
    """Every bit of the kept state of candidate i, and its cost."""
    kept = next(k for k in running.kept if k.score.index == i)
    particles = kept.state.physics.particles
    return b"".join(a.tobytes() for a in particles.arrays().values()) + np.float64(kept.score.cost).tobytes()


def _bits(world: World) -> None:
    world.max_uncommitted_states = COUNT
    candidates = [_candidate(v) for v in np.linspace(0.1, 4.0, COUNT)]
    together = _run(world, candidates, keep=COUNT, duration=0.1)
    in_batch = [_end(world, together, i) for i in range(COUNT)]
    differ = sum(_end(world, _run(world, [c], keep=1, duration=0.1), 0) != b for c, b in zip(candidates, in_batch))
    record(f"batch of {COUNT}: candidates whose bits differ alone", differ, "", "0", differ == 0,
           f"300 particles, CPU; {len(set(in_batch))} different ends")  # fmt: skip


def _memory(world: World) -> None:
    candidates = [_candidate(v) for v in np.linspace(0.1, 4.0, COUNT)]
    _run(world, candidates[:1], keep=1)
    for keep in (1, KEEP):
        gc.collect()
        tracemalloc.start()
        running = _run(world, candidates, keep=keep)
        del running
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        record(f"batch of {COUNT}, best {keep} kept: memory a candidate", held / COUNT / 1e3, "kB", "-", None,
               f"held after it, best with frames; most at once {peak / 1e6:.1f} MB; 300 particles")  # fmt: skip


def _overhead(world: World) -> None:
    """CPU seconds of an evaluation outside the engine's steps against those inside, in the same run: two runs in turn
    differ by far more on a machine that does other things, which the note tells."""
    assert world.scene is not None
    engine = build_simulation(world.scene)
    start = world.state(world.head)
    candidates = [_candidate(v) for v in np.linspace(0.1, 4.0, TIMED)]
    steps = Simulation.advance_to
    inside = 0.0

    def timed(simulation: Simulation, time_s: float) -> None:
        nonlocal inside
        began = time.process_time()
        steps(simulation, time_s)
        inside += time.process_time() - began

    def bare() -> float:
        began = time.process_time()
        for candidate in candidates:
            engine.reset(start.physics, time_s=0.0)
            engine.set_actions(candidate.actions)
            engine.advance_to(DURATION_S)
        return time.process_time() - began

    def whole() -> tuple[float, float]:
        nonlocal inside
        inside, began = 0.0, time.process_time()
        with mock.patch.object(Simulation, "advance_to", timed):
            _run(world, candidates, keep=1)
        return time.process_time() - began, inside

    whole()
    turns = [(bare(), *whole()) for _ in range(TURNS)]
    added = float(np.median([all_s / steps_s - 1 for _, all_s, steps_s in turns])) * 100
    alone = [b for b, _, _ in turns]
    apart = (min(w for _, w, _ in turns) / min(alone) - 1) * 100
    record("World.evaluate over the bare engine, CPU time", added, "%", "<= 10", added <= 10,
           f"{PARTICLES} particles, {min(alone) / TIMED:.2f} s of CPU a candidate of {DURATION_S} s; against runs of "
           f"the engine alone, in turn, {apart:+.0f} %, which differ among themselves by "
           f"{(max(alone) / min(alone) - 1) * 100:.0f} %")  # fmt: skip
