"""Model predictive control of clay: plan, act, look, correct, plan again; five rounds; out/mpc/index.html.

The clay is to come to a place on the table: a round is one push, or none where none promises more than rest. The world
that acts is hidden: softer, more slippery and windier than ours. `--arm` says how that is met: `refined` corrects state
and constants by what two cameras saw; `blind` believes its own predictions, there is no correction; `told` is given the
hidden constants at the start and the true state after each act.

Two figures a round, both at the end of its act, and both against the hidden world:
- *to the goal*: from the centroid of the hidden clay to the goal, on the table. After the last round this is the
  **final error**: what the planner was asked for, and what the three arms are compared by.
- *prediction error*: mean distance of our predicted particles to the hidden ones; it says how far the model that
  planned was off, here and by what earlier rounds left. `refined` gives it after its correction as well.
All of them go to figures.json beside the page.

    python examples/mpc.py [--rounds 5] [--arm refined] [--particles 1500] [--out out/mpc]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hidden_world import HiddenWorld
from page import Section, write_page

from pw_core.config import SceneConfig
from pw_core.export.film import write_film
from pw_core.gaussians import Camera
from pw_core.plan.objective import Objective
from pw_core.plan.search import Budget, SearchOptions
from pw_core.plan.template import Template
from pw_core.refine.targets.observed import Observed
from pw_core.render.cameras import orbit
from pw_core.scene import Trajectory
from pw_core.world import World

ROOT = Path(__file__).resolve().parents[1]
ENTITY, DURATION_S, INTERVAL_S = "play_doh", 0.4, 0.02
PUSH = {
    "type": "push", "entity": ENTITY, "duration": 0.15, "radius": 0.06,
    "center": {"on": ENTITY, "azimuth_deg": {"free": [-180, 180], "name": "side"}, "height": 0.4},
    "direction": {"azimuth_deg": {"free": [-180, 180], "name": "towards"}},
    "magnitude": {"free": [4, 14], "name": "force", "log": True},
}  # fmt: skip


@dataclass
class Round:
    """What one came to, against the hidden world at the end of the act."""

    to_goal_m: float
    """Of the hidden clay's centroid, on the table."""
    prediction_error_m: float
    """Mean distance of our particles to the hidden ones."""
    corrected_error_m: float | None
    """The same after the correction; None for the arms that make none."""
    seconds: dict[str, float]

    def __str__(self) -> str:
        corrected = self.corrected_error_m
        after = "" if corrected is None else f", {corrected * 1e3:.1f} mm once corrected"
        return (f"{self.to_goal_m * 1e3:.1f} mm to the goal; prediction error {self.prediction_error_m * 1e3:.1f} mm"
                + after)  # fmt: skip


class Loop:
    """Our world, the hidden one, and the page that shows both."""

    def __init__(self, out: Path, *, arm: str, particles: int, budget: int, seed: int) -> None:
        self.out, self.arm, self.budget, self.seed = out, arm, budget, seed
        config = SceneConfig.load(ROOT / "config" / "scenes" / "play_doh.yaml")
        fast = config.simulation.model_copy(update={"engine": "fast", "particles": particles})
        refine = config.refine.model_copy(update={
            "estimate": ("friction", "yield_stress", "wind"), "width_px": 240, "iterations": 40, "nodes": 24,
        })  # fmt: skip
        self.world = World(out / "store")
        self.scene = self.world.reconstruct(
            config.model_copy(update={"simulation": fast, "refine": refine}), replace=True
        )
        self.hidden = HiddenWorld(self.scene, seed=seed)
        entity = self.scene.entity(ENTITY)
        self.goal = entity.origin + np.array([0.03, 0.05, 0.0])
        self.objective = Objective.parse({"terms": [
            {"type": "reach", "entity": ENTITY, "position": self.goal.tolist(), "axes": [True, True, False]},
            {"type": "effort", "weight": 0.0005},
        ]})  # fmt: skip
        photo = self.scene.cameras[0]
        self.front = photo.resized(320, round(photo.height * 320 / photo.width))
        side = orbit(self.front.viewmat, entity.origin, [math.radians(45)])[0]
        self.cameras = (self.front, self.front.moved(side, name="side"))
        self.sections: list[Section] = []
        self._warm: dict[str, float] | None = None
        if arm == "told":
            self._believe_truth()

    def round(self, number: int) -> Round:
        """Plan, act, look, correct."""
        seconds: dict[str, float] = {}
        began = time.perf_counter()
        template = Template([PUSH])
        planning = self.world.plan(
            template, self.objective, DURATION_S, budget=Budget(candidates=self.budget), frame_interval=INTERVAL_S,
            options=SearchOptions(seed=self.seed + number, population=12),
        )  # fmt: skip
        for step in planning:
            print(f"\rround {number}: {step.evaluated} candidates, best {step.best_cost * 1e3:.1f} mm  ", end="")
        idle = self.world.evaluate([()], DURATION_S, objective=self.objective, frame_interval=INTERVAL_S)
        list(idle)
        rest = idle.kept[0].score.cost <= planning.plan.cost  # the weakest push may be one too many
        chosen = idle.kept[0] if rest else planning.kept
        predicted = chosen.trajectory
        self.world.commit(chosen.state.id)
        seconds["plan"] = time.perf_counter() - began

        happened = self.hidden.act(predicted.actions, DURATION_S, frame_interval=INTERVAL_S)
        films = self.hidden.films(self.cameras, happened)

        began = time.perf_counter()
        corrected: Trajectory | None = None
        figures: dict[str, float] = {}
        if self.arm == "refined":
            refining = self.world.refine(Observed(films=films), commit=True)
            for _ in refining:
                pass
            corrected, figures = refining.trajectory, refining.state.parameters
        elif self.arm == "told":
            self._believe_truth()
        seconds["correct"] = time.perf_counter() - began

        result = Round(self._to_goal(happened.positions[-1]), _error(predicted, happened),
                       None if corrected is None else _error(corrected, happened), seconds)  # fmt: skip
        self._show(number, {} if rest else planning.plan.values, predicted, corrected, films[0].frames, result, figures)
        took = ", ".join(f"{k} {v:.0f} s" for k, v in seconds.items())
        print(f"\rround {number}: {'no push; ' * rest}{result}; {took}", flush=True)
        return result

    def _believe_truth(self) -> None:
        """Put the hidden state and constants in the place of ours."""
        now = self.world.state()
        told = replace(now, id=f"told-{len(self.world.states())}", parent=now.id, physics=self.hidden.now,
                       parameters=self.hidden.constants, trajectory_id="", created=time.time())  # fmt: skip
        self.world.tree.add(told)
        self.world.commit(told.id)

    def _to_goal(self, positions: np.ndarray) -> float:
        own = self.scene.entity(ENTITY).particles
        return float(np.linalg.norm((positions[own].astype(np.float64).mean(0) - self.goal)[:2]))

    def figures(self, rounds: list[Round]) -> dict[str, Any]:
        """Of the run, for figures.json."""
        return {
            "arm": self.arm, "particles": self.scene.config.simulation.particles, "budget": self.budget,
            "seed": self.seed, "start_to_goal_m": self._to_goal(self.scene.initial_physics().particles.positions),
            "final_error_m": rounds[-1].to_goal_m, "final_prediction_error_m": rounds[-1].prediction_error_m,
            "rounds": [asdict(r) for r in rounds],
        }  # fmt: skip

    def _pictures(self, trajectory: Trajectory) -> list[np.ndarray]:
        return [
            self.world.render(self.front, physics=self.world.physics_at(trajectory, t)).rgb for t in trajectory.times
        ]

    def _show(
        self, number: int, values: dict[str, float], predicted: Trajectory, corrected: Trajectory | None,
        film: np.ndarray, result: Round, constants: dict[str, float],
    ) -> None:  # fmt: skip
        rows = {"predicted": self._pictures(predicted), "what happened": list(film)}
        if corrected is not None:
            rows["corrected"] = self._pictures(corrected)
        media = []
        for what, pictures in rows.items():
            name = f"{number}_{what.split()[-1]}"
            marked = [self._marked(p, self.front) for p in pictures]
            write_film(self.out / f"{name}.mp4", marked, fps=25)
            cv2.imwrite(str(self.out / f"{name}.png"), marked[-1][..., ::-1])
            media += [(f"{name}.mp4", what)]
        figures = [
            ("push", ", ".join(f"{k} {v:.0f}" for k, v in values.items()) or "none: no push promised more than rest"),
            ("to the goal", f"{result.to_goal_m * 1e3:.1f} mm (centroid of the hidden clay, on the table)"),
            ("prediction error", f"{result.prediction_error_m * 1e3:.1f} mm (mean distance of all particles)"),
            ("seconds", ", ".join(f"{k} {v:.0f}" for k, v in result.seconds.items())),
        ]
        if result.corrected_error_m is not None:
            figures.append(("the same, corrected", f"{result.corrected_error_m * 1e3:.1f} mm"))
        if constants:
            told = ", ".join(f"{k} {v:.3g} (hidden: {self.hidden.constants.get(k, 0):.3g})"
                             for k, v in constants.items())  # fmt: skip
            figures.append(("constants, as estimated", told))
        self.sections.append(Section(f"Round {number}", media=media, rows=figures))

    def _marked(self, picture: np.ndarray, camera: Camera) -> np.ndarray:
        """The goal on the table, as a cross."""
        out = np.ascontiguousarray(picture)
        uv, _ = camera.project(np.array([[self.goal[0], self.goal[1], 0.0]]))
        place = tuple(round(float(v)) for v in uv[0])
        cv2.drawMarker(out, place, (220, 30, 30), cv2.MARKER_CROSS, 12, 2)
        return out


def _error(ours: Trajectory, real: Trajectory) -> float:
    """Mean distance of particles at the end [m]."""
    return float(np.linalg.norm(ours.positions[-1] - real.positions[-1], axis=1).mean())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arm", choices=["refined", "blind", "told"], default="refined")
    parser.add_argument("--particles", type=int, default=1500)
    parser.add_argument("--budget", type=int, default=48, help="candidates a round (default: 48)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/mpc"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    loop = Loop(args.out, arm=args.arm, particles=args.particles, budget=args.budget, seed=args.seed)
    results = [loop.round(k) for k in range(1, args.rounds + 1)]
    figures = loop.figures(results)
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1))
    rows = [
        ("final error", f"{figures['final_error_m'] * 1e3:.1f} mm of the {figures['start_to_goal_m'] * 1e3:.1f} mm "
                        "between the clay and its goal at the start"),
        *((f"round {k}", str(r)) for k, r in enumerate(results, 1)),
    ]  # fmt: skip
    summary = Section("All rounds", rows=rows)
    write_page(args.out / "index.html", f"Clay to its place, against a hidden world ({args.arm})",
               [summary, *loop.sections])  # fmt: skip
    print(f"open {args.out / 'index.html'}")


if __name__ == "__main__":
    main()
