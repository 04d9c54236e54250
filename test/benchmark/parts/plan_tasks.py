"""Clay to a place: what each sampler reaches on the same budget, five seeds each, on the fast engine."""

from __future__ import annotations

import tempfile
import time

import numpy as np

from parts.records import ROOT, record
from pw_core.config import SceneConfig
from pw_core.plan.objective import Objective
from pw_core.plan.search import SAMPLERS, Budget, SearchOptions
from pw_core.plan.template import Template
from pw_core.world import World

BUDGET, SEEDS, CLOSE_M = 60, 5, 0.005
PARTICLES = 800
"""A fifth of the scene's: what is measured is the search, and a candidate shall take a second."""
PUSH = {
    "type": "push", "entity": "play_doh", "duration": 0.2, "radius": 0.06,
    "center": {"on": "play_doh", "azimuth_deg": {"free": [-180, 180], "name": "side"}, "height": 0.4},
    "direction": {"azimuth_deg": {"free": [-180, 180], "name": "towards"}},
    "magnitude": {"free": [5, 40], "name": "force"},
}  # fmt: skip


def tasks() -> None:
    """Record the median error of each sampler, and how many candidates until within 5 mm."""
    with tempfile.TemporaryDirectory(prefix="pw_plan_") as folder:
        world = World(folder)
        config = SceneConfig.load(ROOT / "config" / "scenes" / "play_doh.yaml")
        fast = config.simulation.model_copy(update={"engine": "fast", "particles": PARTICLES})
        scene = world.reconstruct(config.model_copy(update={"simulation": fast}))
        start = scene.rest[scene.entities[0].particles].astype(np.float64).mean(0)
        goal = (start + np.array([0.02, 0.03, 0.0])).tolist()
        objective = Objective.parse({"terms": [
            {"type": "reach", "entity": "play_doh", "position": goal, "axes": [True, True, False]}
        ], "stop_when": [{"term": "reach", "below": CLOSE_M / 2}]})  # fmt: skip
        for name in SAMPLERS:
            errors, needed, seconds = [], [], 0.0
            for seed in range(SEEDS):
                options = SearchOptions(sampler=name, seed=seed, population=12)
                began = time.perf_counter()
                budget = Budget(candidates=BUDGET)
                running = world.plan(Template([PUSH]), objective, 0.4, budget=budget, options=options)
                for _ in running:
                    pass
                seconds += time.perf_counter() - began
                errors.append(running.plan.cost)
                needed.append(next((n for n, _, cost in running.plan.history if cost <= CLOSE_M), BUDGET + 1))
            middle = 1e3 * float(np.median(errors))
            solved = sum(n <= BUDGET for n in needed)
            record(f"clay to a place by {name}: error", middle, "mm", "<= 5" if name != "random" else "",
                   middle <= 5 if name != "random" else None,
                   f"{solved} of {SEEDS} seeds within 5 mm, after {sorted(needed)} candidates; {seconds / SEEDS:.0f} s "
                   f"a plan of {BUDGET}")  # fmt: skip
