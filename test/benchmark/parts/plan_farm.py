"""Candidates over Ray on one GPU and on two of the same host, in turn; where there are fewer, that it was not run."""

from __future__ import annotations

import time
from statistics import median

import torch

from parts.plan_cuda_world import SECONDS, candidate, objective, stored
from parts.records import record
from pw_core.plan.executors.ray import Ray, RayOptions
from pw_core.world import World

CANDIDATES, TURNS = 4096, 3
SCALING = "Ray: candidates a second, 1 to 2 GPUs of one host"


def farm() -> None:
    """Scaling, and whether two GPUs answer what one does."""
    cards = torch.cuda.device_count()
    if cards < 2:
        record(SCALING, None, "x", ">= 1.8", None, f"not run: {cards} CUDA devices here")
        return
    import ray

    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    world = stored("play_doh", "cpu")
    makers = {n: Ray(options=RayOptions(num_gpus=1, actors=n)) for n in (1, 2)}
    taken: dict[int, list[float]] = {1: [], 2: []}
    costs = {}
    try:
        for turn in range(TURNS + 1):  # the first brings actors and kernels up
            for n, executor in makers.items():
                seconds, costs[n] = _all(world, executor, CANDIDATES)
                if turn:
                    taken[n].append(seconds)
                executor.close()  # or the other would find the GPUs taken
                _warm(world, makers[3 - n])
    finally:
        for executor in makers.values():
            executor.close()
        ray.shutdown()
    one, two = median(taken[1]), median(taken[2])
    card = torch.cuda.get_device_name()
    note = f"{card}; {CANDIDATES} candidates of {SECONDS:g} s: {one:.2f} s and {two:.2f} s, {TURNS} turns"
    record(SCALING, one / two, "x", ">= 1.8", one / two >= 1.8, note)
    differ = sum(a != b for a, b in zip(costs[1], costs[2], strict=True))
    record("Ray: costs that differ between 1 and 2 GPUs", float(differ), "", "0", differ == 0, note)


def _warm(world: World, executor: Ray) -> None:
    """Its actors are up and have the scene."""
    _all(world, executor, 2 * 256)


def _all(world: World, executor: Ray, count: int) -> tuple[float, list[float]]:
    """Seconds from call to result, and the costs."""
    scene = world.scene
    assert scene is not None
    given = [candidate(scene, k) for k in range(count)]
    began = time.perf_counter()
    running = world.evaluate(given, SECONDS, objective=objective(scene), keep=1, executor=executor)
    for _ in running:
        pass
    return time.perf_counter() - began, [s.cost for s in running.scores if s is not None]
