"""One round of the closed loop: targets, tracking, polishing, constants, write-back; in steps that can be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.calibrate.constants import names_of
from pw_core.calibrate.gauss_newton import Estimate, Fit
from pw_core.calibrate.posterior import Belief, handed_on
from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F32, I64, Camera
from pw_core.refine.measure import errors_of_entities, figures
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.color_correction import tinted
from pw_core.refine.photometric.optimize import Polish, Weights
from pw_core.refine.photometric.shadow_gain import Shade
from pw_core.refine.request import followed_masks, request
from pw_core.refine.targets.types import TargetProvider, provide
from pw_core.refine.tracking.correspondences import visible
from pw_core.refine.tracking.film import Film
from pw_core.refine.tracking.track import WIDTH as TRACK_WIDTH
from pw_core.refine.tracking.track import track
from pw_core.refine.writeback import settle_offsets, write_back
from pw_core.scene import AppearanceParameters, Body, PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation

BETTER = 0.97
"""A tracked correction of an entity is kept if the pictures' error is at most so much of what it is without."""
TRACKED_TO = 1.0
"""Tracking's own error, in particle sizes: 0.3 to 0.9 against hidden worlds."""
TINTED = 5
"""Frames by which the light on the entities is judged, spread over the round."""
FIT_PASSES = 3
"""How often constants are fitted and the tracking begun anew from what they predict; the last goes on with the
derivatives of the one before."""


@dataclass(frozen=True)
class RefineStep:
    """How far it is: stage, iteration of iterations in it, fraction of all, loss and PSNR [dB] of the last iteration
    (NaN where there are none), eta_s [s] of wall time left (-1: not known)."""

    stage: str
    iteration: int
    iterations: int
    fraction: float
    loss: float
    psnr: float
    eta_s: float


@dataclass(frozen=True)
class Correction:
    """What came of it: the corrected end, positions [m] (T, J, 3) and bodies (T, 13) of the corrected trajectory,
    figures before and after, and the constants that were fitted."""

    physics: PhysicsState
    appearance: AppearanceParameters
    positions: F32
    bodies: dict[str, Any]
    parameters: dict[str, float]
    estimates: tuple[Estimate, ...]
    figures: dict[str, float]
    views: dict[str, Any]


class Refinement:
    """Corrects one trajectory. `run` does the work step by step; `correction` holds once it has ended.

    Args:
        start, end: the states that the trajectory leads from and to.
        cameras: the views, with the size that the provider is asked for.
        simulation: gives a built simulation; asked for only when the state is written back.
        progress: told what a provider is doing, and the fraction of it; may raise to cancel.

    Raises:
        RefineError: no view, or nothing bound to look at.
    """

    def __init__(
        self, scene: Scene, trajectory: Trajectory, start: State, end: State, *, provider: TargetProvider,
        cameras: Sequence[Camera], config: RefineConfig, simulation: Callable[[], Simulation], device: str = "cpu",
        progress: Callable[[str, float], None] | None = None,
    ) -> None:  # fmt: skip
        if not cameras:
            raise RefineError("no view to compare: name at least one camera", code=ErrorCode.INVALID_TARGET)
        if len(config.strengths) > len(cameras):
            raise RefineError(
                f"strengths: found {len(config.strengths)}, expected at most one for each of {len(cameras)} views "
                f"({', '.join(c.name for c in cameras)})",
                code=ErrorCode.INVALID_STRENGTH,
            )
        self.scene, self.trajectory, self.start, self.end = scene, trajectory, start, end
        # What is corrected: the prediction, or what fitted constants make of it.
        self.planned: Trajectory = trajectory
        self.base: PhysicsState = end.physics
        self.parameters: dict[str, float] = dict(start.parameters)
        self.estimates: tuple[Estimate, ...] = ()
        self._belief: Belief | None = None
        self.provider, self.cameras, self.config, self.device = provider, tuple(cameras), config, device
        self._simulation, self._progress = simulation, progress
        self.appearance = start.appearance or scene.initial_appearance()
        self.model = Model(scene, self.appearance, device=device)
        self.motion = Motion.start(self.model, trajectory, nodes=config.nodes)
        self.correction: Correction | None = None
        self._began = time.monotonic()
        self._shades: dict[tuple[object, ...], Shade] = {}
        self._figures: dict[str, float] = {}
        self._polish: Polish | None = None
        self._seen: Film | None = None

    def finish_now(self) -> None:
        """Write back what has been reached so far, without fitting constants; nothing where no target was seen yet."""
        if self._seen is None:
            return
        if self._polish is not None:
            self._take(self._polish)
        self.config = self.config.model_copy(update={"estimate": ()})
        self._measure(self._seen, "after")
        for _ in self._written(self._seen):
            pass

    def run(self) -> Iterator[RefineStep]:
        """Do it; a step each yield.

        Raises:
            RefineError: what was wrong with the targets; RolloutError where the corrected state cannot be simulated.
        """
        stages = self._stages()
        share = 0.85 / len(stages)
        film = None
        for k, (name, views) in enumerate(stages):
            yield self._step(f"targets of {name}", 0, 1, k * share)
            wide = self._film(views, name)
            film = self._seen = wide.narrowed(self.config.width_px)
            if k == 0:
                self._measure(film, "before")
            names = names_of(self.scene, self.config.estimate) if k + 1 == len(stages) else []
            at, part = k * share, (0.15 if names else 0.4) * share
            yield from self._tracked(wide, f"tracking, {name}", at, part)
            if names:
                yield from self._fitted(wide, names, at + part, 0.6 * share)
                part = 0.75 * share
            self._doubt(film)
            yield from self._polished(film, name, at + part, share - part)
        assert film is not None
        self._measure(film, "after")
        yield from self._written(film)

    # --- targets ------------------------------------------------------------------------------------------------------

    def _stages(self) -> list[tuple[str, list[int]]]:
        """Progressive views for a model that imagines them (first the input view, then the sides from renders that hold
        its correction, then all); films were all seen, and are compared at once."""
        everything = list(range(len(self.cameras)))
        if len(everything) == 1 or not getattr(self.provider, "progressive", True):
            return [("all views", everything)]
        return [("the first view", [0]), ("side views", everything[1:]), ("all views", everything)]

    def _film(self, views: list[int], stage: str) -> Film:
        cameras = tuple(self.cameras[v] for v in views)
        shade = self._shade(cameras)
        asked = request(
            self.model, self._gaussians, shade, self.trajectory, self.start, cameras=cameras, stage=stage,
            strengths=[self.config.strength_of(v) for v in views], config=self.config,
            flow=getattr(self.provider, "uses_flow", True),
        )  # fmt: skip
        targets = provide(self.provider, asked, progress=self._progress)
        masks = targets.masks if targets.masks is not None else followed_masks(targets, asked, shade)
        weights = tuple(1.0 if v == 0 else self.config.side_weight for v in views)
        width = max(self.config.width_px, TRACK_WIDTH)
        return Film.scaled(cameras, targets.frames, targets.valid, masks, width=width, weights=weights)

    # --- fitting ------------------------------------------------------------------------------------------------------

    def _tracked(self, film: Film, stage: str, at: float, share: float) -> Iterator[RefineStep]:
        for t in track(self.model, film, self.motion, seed=self.config.seed):
            yield self._step(stage, t + 1, film.frames, at + share * (t + 1) / film.frames)

    def _fitted(self, film: Film, names: list[str], at: float, share: float) -> Iterator[RefineStep]:
        """Constants, and what they predict, which then is what is corrected: from a better prediction more is found,
        and what no camera sees is the simulator's. Again, since the first goal leans towards the wrong prediction."""
        fit = Fit(
            self._simulation(), self.scene, self.start, self.planned, self.base, names=names,
            parameters=self.parameters,
        )  # fmt: skip
        part = share / FIT_PASSES
        for k in range(FIT_PASSES):
            goal = np.stack([self.motion.positions(self.model, t) for t in range(film.frames)])
            for done in fit.improve(goal, self._seen_particles(film), afresh=k < 2):
                yield self._step(
                    "constants", done, fit.rollouts, at + k * part + 0.6 * part * min(done / fit.rollouts, 1)
                )
            if fit.trajectory is self.planned:
                break
            self.planned, self.base, self.parameters = fit.trajectory, fit.end, fit.parameters
            self.motion = Motion.start(self.model, self.planned, nodes=self.config.nodes)
            yield from self._tracked(film, "tracking with fitted constants", at + (k + 0.6) * part, 0.4 * part)
        self.estimates, self._belief = tuple(fit.estimates()), fit.belief()

    def _doubt(self, film: Film) -> None:
        """Forget what tracking did to an entity where the pictures are not better for it: what is seen of a smooth
        roller's turn is little, and where the prediction is good, tracking would only add its own errors. So it would
        where fitted constants predict what was tracked to within those errors."""
        shade = self._shade(film.cameras)
        names = [e.name for e in self.scene.entities]
        found = errors_of_entities(self.model, (self.motion.without(names), self.motion), shade, film)
        vain = {n for n, (before, after) in found.items() if after > BETTER * before}
        if self.estimates:
            moved = np.stack([self.motion.positions(self.model, t) for t in range(film.frames)])
            far = np.linalg.norm(moved - self.planned.positions[: film.frames], axis=-1).mean(0)
            for e in self.scene.entities:
                if far[e.particles].mean() < TRACKED_TO * e.particle_size_m:
                    vain.add(e.name)
        if vain:
            self.motion = self.motion.without(vain)

    def _seen_particles(self, film: Film) -> I64:
        """Those on which some camera sees a Gaussian, in the first, the middle or the last frame."""
        seen = np.zeros(len(self.scene.rest), bool)
        for t in (0, film.frames // 2, film.frames - 1):
            means, covariances = self._gaussians(t)
            drawn = self.model.draw(means, covariances, film.cameras)
            for v, camera in enumerate(film.cameras):
                if film.seen(v, t):
                    seen[self.model.own[visible(self.model, camera, means, drawn.depth[v])]] = True
        return np.flatnonzero(seen)

    def _polished(self, film: Film, stage: str, at: float, share: float) -> Iterator[RefineStep]:
        c = self.config
        shade = self._shade(film.cameras)
        if c.iterations:
            frames = np.unique(np.linspace(0, film.frames - 1, TINTED).round().astype(int)).tolist()
            self.appearance = replace(self.appearance, sh=tinted(self.model, film, self.motion, shade, frames=frames))
            self.model = Model(self.scene, self.appearance, device=self.device)
        polish = Polish(
            self.model, film, self.motion, shade, weights=replace(Weights(), sim=c.lambda_sim),
            iterations=c.iterations, frames_per_step=c.frames_per_step, temporal_opacity=c.temporal_opacity,
            seed=c.seed,
        )  # fmt: skip
        self._polish = polish
        for step in polish.run():
            fraction = at + share * (step.iteration + 1) / max(c.iterations, 1)
            yield self._step(stage, step.iteration + 1, c.iterations, fraction, step.loss, step.psnr)
        self._polish = None
        if c.iterations:
            self._take(polish)

    def _take(self, polish: Polish) -> None:
        self.motion, self.appearance = polish.motion_now(), polish.appearance_now()
        self.model = Model(self.scene, self.appearance, device=self.device)

    def _shade(self, cameras: tuple[Camera, ...]) -> Shade:
        """The background through these cameras; drawn once for each appearance of it."""
        key = (id(self.appearance.background_sh), *((c.name, c.width) for c in cameras))
        if key not in self._shades:
            positions = self.trajectory.positions
            self._shades[key] = Shade(self.scene, self.appearance, cameras, positions, device=self.device)
        return self._shades[key]

    def _gaussians(self, t: int) -> tuple[F32, F32]:
        return self.model.gaussians_at(self.motion.positions(self.model, t), self.motion.rotations(t))

    def _measure(self, film: Film, when: str) -> None:
        shade = self._shade(film.cameras)
        self._figures |= figures(self.model, self.motion, shade, film, when=when)

    # --- physics ------------------------------------------------------------------------------------------------------

    def _written(self, film: Film) -> Iterator[RefineStep]:
        c, scene = self.config, self.scene
        yield self._step("write-back", 0, 1, 0.86)
        count = len(self.trajectory)
        goal = np.stack([self.motion.positions(self.model, t) for t in range(count)])
        rows = {n: np.stack([self.motion.body(n, t) for t in range(count)]) for n in self.motion.shifts}
        before = self.start.appearance or scene.initial_appearance()
        stretch = self.model.stretch(goal[-1], self.motion.rotations(-1))
        shifts, appearance = settle_offsets(scene, before, self.appearance, stretch)
        moved = shifts.any(axis=1)
        goal[:, moved] += shifts[moved]
        self.appearance = appearance
        simulation = self._simulation()
        bodies = {n: _body(r, self.planned.bodies[n], self.planned.times, c.velocity) for n, r in rows.items()}
        physics = write_back(
            scene, self.base, goal - self.planned.positions, self.planned.times, bodies=bodies,
            inside=simulation.settings.inside, velocity=c.velocity, stress=c.stress,
        )  # fmt: skip
        gap = np.linalg.norm(goal[-1] - self.trajectory.positions[-1], axis=1)
        self._figures |= {"moved_mean_m": float(gap.mean()), "moved_max_m": float(gap.max())}
        # A constant that was not looked for this time is known as well as before.
        self._figures |= handed_on(self.start.figures) | (self._belief.figures() if self._belief else {})
        self._figures["seconds"] = time.monotonic() - self._began
        views = {k.name: (film.rgb[v, -1] * 255).astype(np.uint8) for v, k in enumerate(film.cameras)}
        self.correction = Correction(
            physics, appearance, goal, rows, self.parameters, self.estimates, dict(self._figures), views
        )
        yield self._step("write-back", 1, 1, 1.0)

    def _step(
        self, stage: str, iteration: int, iterations: int, fraction: float, loss: float = np.nan, psnr: float = np.nan
    ) -> RefineStep:
        spent = time.monotonic() - self._began
        eta = spent / fraction - spent if fraction > 0.02 else -1.0
        return RefineStep(stage, iteration, iterations, fraction, loss, psnr, eta)


def _body(rows: Any, predicted: Any, times: Any, velocity: str) -> Body:
    """The corrected pose at the end; its twist is the predicted one, plus the rate of the correction if estimated."""
    row = rows[-1].copy()
    if velocity == "estimate" and (rows != predicted).any() and len(times) > 1:
        from scipy.spatial.transform import Rotation

        k = min(5, len(times))
        t = times[-k:] - times[-k:].mean()
        slope = t / (t @ t)
        row[7:10] += slope @ (rows[-k:, :3] - predicted[-k:, :3])
        xyzw = [4, 5, 6, 3]
        turn = Rotation.from_quat(rows[-k:][:, xyzw]) * Rotation.from_quat(predicted[-k:][:, xyzw]).inv()
        row[10:13] += slope @ turn.as_rotvec()
    return Body(row[0:3], row[3:7], row[7:10], row[10:13])
