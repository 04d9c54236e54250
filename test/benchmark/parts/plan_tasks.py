"""Four tasks: what each sampler reaches on the same budget, as curves in out/bench/plan_tasks.png.

Targets come from hidden action sequences of the same template, so that a zero exists; but for the first, a place, and
the third, one thickness, which no pass of the pin leaves everywhere: the notes say what the hidden one comes to. The
scenes have about a thousand particles: what is measured is the search, and a candidate shall take a fraction of a
second. PW_PLAN_SEEDS (default 1) and PW_PLAN_DEVICE (cpu; or cuda, where the engine is wired) are for a larger run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parts.records import ROOT, record
from pw_core.config import Material, SceneConfig
from pw_core.plan.executors.building import build_simulation
from pw_core.plan.executors.processes import Processes
from pw_core.plan.executors.types import Executor
from pw_core.plan.moment import Moment, Setting
from pw_core.plan.objective import Objective
from pw_core.plan.search import SAMPLERS, Budget, Plan, SearchOptions
from pw_core.plan.template import Template
from pw_core.plan.terms import Columns
from pw_core.scene import PhysicsState, Scene, State
from pw_core.world import World

SEEDS, DEVICE = int(os.environ.get("PW_PLAN_SEEDS", "1")), os.environ.get("PW_PLAN_DEVICE", "cpu")
BUDGET, POPULATION, PARTICLES = 80, 16, 1000
COLORS = {"cem": "tab:blue", "mppi": "tab:orange", "cma_es": "tab:green", "random": "tab:gray"}


def angle(name: str, low: float = -180, high: float = 180) -> dict[str, Any]:
    """A free azimuth [degrees]."""
    return {"azimuth_deg": {"free": [low, high], "name": name}}


PUSH = {
    "type": "push", "entity": "play_doh", "duration": 0.15, "radius": 0.06,
    "center": {"on": "play_doh", "azimuth_deg": {"free": [-180, 180], "name": "side"}, "height": 0.4},
    "direction": angle("towards"), "magnitude": {"free": [3, 12], "name": "force", "log": True},
}  # fmt: skip
BREATHS = [
    {"type": "wind", "entity": "jam", "duration": 0.25, "direction": angle("first"),
     "magnitude": {"free": [2, 12], "name": "strength"}},
    {"type": "wind", "entity": "jam", "start": 0.25, "duration": 0.25, "direction": angle("second"),
     "magnitude": {"free": [2, 12], "name": "then"}},
]  # fmt: skip
LEVEL = [0.8988, 0.4384, 0, 0]


def _pose(x: Any, z: Any) -> dict[str, Any]:
    return {"position": [x, 0, z], "orientation": LEVEL}


DEEP, FROM, TO = ({"free": r, "name": n} for n, r in (("deep", [0.06, 0.12]), ("from", [0.80, 0.89]),
                                                       ("to", [0.90, 0.99])))  # fmt: skip
ROLL = [{
    "type": "tool", "entity": "pin", "duration": 0.65, "times": [0.1, 0.2, 0.3, 0.5, 0.65],
    "poses": [{"position": [0.92, -0.08, 0.18], "orientation": LEVEL}, _pose(FROM, 0.14), _pose(FROM, DEEP),
              _pose(TO, DEEP), _pose(TO, 0.18)],
}]  # fmt: skip
PRESSES = [
    {"type": "push", "entity": "play_doh", "start": start, "duration": 0.12, "radius": 0.04,
     "center": {"on": "play_doh", **angle(f"side {k}"), "height": 0.8, "inset": 0.01}, "direction": [0, 0, -1],
     "magnitude": {"free": [10, 50], "name": f"force {k}"}}
    for k, start in (("a", 0.0), ("b", 0.15))
]  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One: what is free, for how long [s], where the hidden sequence lies in the unit cube (empty: there is none), the
    objective after its end, and from which cost on it is solved."""

    title: str
    scene: str
    template: list[dict[str, Any]]
    duration: float
    hidden: tuple[float, ...]
    objective: Callable[[Scene, State], tuple[Objective, float]]
    unit: str = "mm"
    scale: float = 1e3


def _place(scene: Scene, _: State) -> tuple[Objective, float]:
    start = scene.rest[scene.entities[0].particles].astype(np.float64).mean(0)
    goal = (start + np.array([0.02, 0.03, 0.0])).tolist()
    reach = {"type": "reach", "entity": "play_doh", "position": goal, "axes": [True, True, False]}
    return Objective.parse({"terms": [reach]}), 0.005


def _region(scene: Scene, end: State) -> tuple[Objective, float]:
    p = end.physics.particles.positions[scene.entity("jam").particles].astype(np.float64)
    # 98 % on each axis of where the hidden sequence leaves it.
    low, high = np.quantile(p, 0.01, axis=0), np.quantile(p, 0.99, axis=0)
    low[2] = -0.01
    inside = {"type": "stay_in", "entity": "jam", "low": low.tolist(), "high": high.tolist()}
    return Objective.parse({"terms": [inside]}), 0.1


def _thickness(scene: Scene, end: State) -> tuple[Objective, float]:
    dough = scene.entity("dough")
    middle = scene.rest[dough.particles][:, :2].astype(np.float64).mean(0)
    low, high = middle - 0.02, middle + 0.02  # what a pin of 24 mm's radius can make level
    over = {"low": low.tolist(), "high": high.tolist(), "cells": 4}
    rolled = Moment.of(scene, end.physics)
    columns = Columns(Setting(scene, rolled), "dough", tuple(low), tuple(high), cells=4, term="thickness")
    height = float(np.median(columns.heights(rolled)))
    term = {"type": "thickness", "entity": "dough", "height": height, **over}
    return Objective.parse({"terms": [term]}), 0.1 * height


def _shape(scene: Scene, end: State) -> tuple[Objective, float]:
    own = scene.entity("play_doh").particles
    goal = Objective.parse({"terms": [
        {"type": "shape", "entity": "play_doh", "points": end.physics.particles.positions[own].tolist()}
    ]})  # fmt: skip
    return goal, 0.2 * _cost(goal, scene, scene.initial_physics())


def _cost(goal: Objective, scene: Scene, end: PhysicsState) -> float:
    """Of that state, as the end of a candidate."""
    scorer = goal.scorer(Setting(scene, Moment.of(scene, scene.initial_physics())))
    scorer.see(Moment.of(scene, end))
    return sum(scorer.costs().values())


TASKS = (
    Task("clay to a place", "play_doh", [PUSH], 0.4, (), _place),
    Task("jam blown into a region", "jam", BREATHS, 0.6, (0.8, 0.95, 0.7, 0.9), _region, "% outside", 1e2),
    Task("dough rolled to a thickness", "dumpling", ROLL, 0.7, (0.4, 0.4, 0.6), _thickness),
    Task("clay pressed to a shape", "play_doh", PRESSES, 0.4, (0.3, 0.6, 0.75, 0.5), _shape),
)


def tasks() -> None:
    """Record how many candidates and seconds each sampler takes, and draw the curves."""
    found = {task.title: _solve(task) for task in TASKS}
    _draw(found, ROOT / "out" / "bench" / "plan_tasks.png")


def _world(task: Task, folder: str) -> World:
    world = World(folder, device=DEVICE)
    config = SceneConfig.load(ROOT / "config" / "scenes" / f"{task.scene}.yaml")
    fast = config.simulation.model_copy(update={"engine": "fast", "particles": PARTICLES})
    entities = config.entities
    if task.scene == "dumpling":  # the scene's dough springs back; this one stays as it was rolled
        stiff = Material(model="plastic", density_kg_m3=1100, youngs_modulus_pa=2e4, yield_stress_pa=600)
        entities = (entities[0].model_copy(update={"material": stiff}), *entities[1:])
    world.reconstruct(config.model_copy(update={"simulation": fast, "entities": entities}))
    return world


def _solve(task: Task) -> tuple[dict[str, list[Plan]], float, Task]:
    """Each sampler's plans, one a seed, and the cost that counts as solved."""
    with tempfile.TemporaryDirectory(prefix="pw_plan_") as folder:
        world = _world(task, folder)
        scene, template = world.scene, Template(task.template)
        assert scene is not None
        state, hidden = world.state(), ""
        if task.hidden:
            actions = template.at(np.array(task.hidden), Setting(scene, Moment.of(scene, state.physics)))
            rollout = world.rollout(actions, task.duration)
            list(rollout)
            objective, solved = task.objective(scene, rollout.end)
            own = _cost(objective, scene, rollout.end.physics) * task.scale
            hidden = f"; the hidden sequence itself comes to {own:.2g} {task.unit}"
        else:
            objective, solved = task.objective(scene, state)
        executor: Executor | None = Processes(build_simulation) if DEVICE == "cpu" else None
        plans: dict[str, list[Plan]] = {}
        for name in SAMPLERS:
            for seed in range(SEEDS):
                options = SearchOptions(sampler=name, seed=seed, population=POPULATION)
                running = world.plan(
                    template, objective, task.duration, budget=Budget(candidates=BUDGET), options=options,
                    executor=executor, screen=None,
                )  # fmt: skip
                began = time.perf_counter()
                for _ in running:
                    pass
                running.plan.seconds = time.perf_counter() - began
                running.plan.outcome = None
                plans.setdefault(name, []).append(running.plan)
            _record(task, name, plans[name], solved, hidden)
        if executor is not None:
            executor.close()
    return plans, solved, task


def _record(task: Task, name: str, plans: list[Plan], solved: float, hidden: str) -> None:
    middle = float(np.median([p.cost for p in plans]))
    needed = [next(((n, s) for n, s, c in p.history if c <= solved), None) for p in plans]
    got = sorted(n for n in needed if n)
    when = f", after {[n for n, _ in got]} candidates and {[round(s, 1) for _, s in got]} s" if got else ""
    record(
        f"{task.title} by {name}", middle * task.scale, task.unit, f"<= {solved * task.scale:.2g}",
        middle <= solved if name != "random" else None,
        f"{len(got)} of {len(plans)} seeds solved{when}; {BUDGET} candidates in "
        f"{np.mean([p.seconds for p in plans]):.0f} s{hidden}",
    )  # fmt: skip


def _draw(found: dict[str, tuple[dict[str, list[Plan]], float, Task]], path: Path) -> None:
    """Best cost so far over candidates: a thin line a seed, a thick one their median."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(12, 8), constrained_layout=True)
    for ax, (title, (plans, solved, task)) in zip(axes.flat, found.items()):
        counts = np.arange(1, BUDGET + 1)
        for name, of in plans.items():
            curves = np.array([[min((c for n, _, c in p.history if n <= k), default=np.nan) for k in counts]
                               for p in of]) * task.scale  # fmt: skip
            if len(curves) > 1:
                ax.plot(counts, curves.T, color=COLORS[name], lw=0.6, alpha=0.5)
            ax.plot(counts, np.median(curves, axis=0), color=COLORS[name], lw=2, label=name)
        ax.axhline(solved * task.scale, color="k", ls="--", lw=1, label="solved")
        ax.set(title=title, xlabel="candidates", ylabel=f"best so far [{task.unit}]", yscale="log")
        ax.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
