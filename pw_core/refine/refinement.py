"""One round of the closed loop: targets, tracking, constants, photometric optimisation, write-back; in steps that can
be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pw_core.calibrate.constants import names_of
from pw_core.calibrate.gauss_newton import Estimate, Fit, GaussNewtonOptions
from pw_core.calibrate.posterior import Posterior, handed_on
from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F32, I64, Camera
from pw_core.progress import Progress, no_progress
from pw_core.refine.measure import errors_of_entities, figures
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.color_correction import ColorCorrectionOptions, corrected_colors
from pw_core.refine.photometric.optimize import PhotometricOptimizer, PhotometricOptions
from pw_core.refine.photometric.shadow_gain import ShadowGain, ShadowGainOptions
from pw_core.refine.request import followed_masks, request
from pw_core.refine.targets.masks import MaskTrackingOptions
from pw_core.refine.targets.registry import provide
from pw_core.refine.targets.types import TargetProvider
from pw_core.refine.tracking.correspondences import visible
from pw_core.refine.tracking.film import Film, FilmOptions
from pw_core.refine.tracking.track import TrackOptions, track
from pw_core.refine.types import Correction, Instant, RefineStep
from pw_core.refine.writeback import WritebackOptions, transfer_offsets, write_back, written_body
from pw_core.scene import Body, PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


@dataclass(frozen=True, kw_only=True)
class ProgressShares:
    """How long parts take, about: for the fraction that is reported, nothing else hangs on them."""

    stages: float = 0.85
    """Of the whole, all stages of views."""
    writeback: float = 0.86
    """Where the write-back begins, a little after the last stage's end."""
    tracking: float = 0.4
    """Of a stage; what is left of it is photometric optimisation."""
    tracking_before_fit: float = 0.15
    """Of a stage in which constants are fitted too."""
    fitting: float = 0.6
    """Of such a stage, the fit with its own tracking."""
    rollouts: float = 0.6
    """Of a pass of the fit, its rollouts; the rest is tracking."""
    least_for_eta: float = 0.02
    """No time is foretold before this fraction."""


@dataclass(frozen=True, kw_only=True)
class RefinementOptions:
    """How the stages are joined, and the options of each. What users set is in `RefineConfig`."""

    gate_error_ratio: float = 0.97
    """A tracked correction of an entity is kept if the pictures' error is at most so much of what it is without."""
    gate_particle_sizes: float = 1.0
    """Tracking's own error, in particle sizes (0.3 to 0.9 against hidden worlds): where fitted constants predict what
    was tracked to within it, the prediction is kept."""
    fit_passes: int = 3
    """How often constants are fitted and the tracking begun anew from what they predict ..."""
    derivative_passes: int = 2
    """... and in how many of these derivatives are taken anew; the last goes on with those of the one before."""
    body_cover: float = 0.5
    """A pixel is an entity's in the masks that a provider is asked with if entities cover more than this of it."""
    tracking: TrackOptions = field(default_factory=TrackOptions)
    film: FilmOptions = field(default_factory=FilmOptions)
    mask_tracking: MaskTrackingOptions = field(default_factory=MaskTrackingOptions)
    photometric: PhotometricOptions = field(default_factory=PhotometricOptions)
    shadow_gain: ShadowGainOptions = field(default_factory=ShadowGainOptions)
    color_correction: ColorCorrectionOptions = field(default_factory=ColorCorrectionOptions)
    constants: GaussNewtonOptions = field(default_factory=GaussNewtonOptions)
    writeback: WritebackOptions = field(default_factory=WritebackOptions)
    progress: ProgressShares = ProgressShares()


class Refinement:
    """Corrects one trajectory. `run` does the work step by step; `correction` holds once it has ended.

    Args:
        start, end: the states that the trajectory leads from and to.
        cameras: the views, with the size that the provider is asked for.
        simulation: gives a built simulation; asked for only when the state is written back.
        progress: told what a provider is doing, and the fraction of it, and within the steps of `run` again and again
            what is being done; may raise to cancel.

    Raises:
        RefineError: no view, or nothing bound to look at.
    """

    def __init__(
        self, scene: Scene, trajectory: Trajectory, start: State, end: State, *, provider: TargetProvider,
        cameras: Sequence[Camera], config: RefineConfig, simulation: Callable[[], Simulation], device: str = "cpu",
        progress: Progress | None = None, options: RefinementOptions = RefinementOptions(),
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
        self._posterior: Posterior | None = None
        self.provider, self.cameras, self.config, self.device = provider, tuple(cameras), config, device
        self._simulation, self._progress, self.options = simulation, progress or no_progress, options
        self.appearance = start.appearance or scene.initial_appearance()
        self.model = Model(scene, self.appearance, device=device)
        self.motion = Motion.start(self.model, trajectory, nodes=config.nodes)
        self.correction: Correction | None = None
        self._began = time.monotonic()
        self._at = ("starting", 0.0)
        self._shadow_gains: dict[tuple[object, ...], ShadowGain] = {}
        self._figures: dict[str, float] = {}
        self._optimizer: PhotometricOptimizer | None = None
        self._seen: Film | None = None

    def finish_now(self) -> None:
        """Write back what has been reached so far, without fitting constants; nothing where no target was seen yet."""
        if self._seen is None:
            return
        if self._optimizer is not None:
            self._take(self._optimizer)
        self.config = self.config.model_copy(update={"estimate": ()})
        self._measure(self._seen, "after")
        for _ in self._written(self._seen):
            pass

    def run(self) -> Iterator[RefineStep]:
        """Do it; a step each yield.

        Raises:
            RefineError: what was wrong with the targets; RolloutError where the corrected state cannot be simulated.
        """
        stages, o = self._stages(), self.options.progress
        share = o.stages / len(stages)
        film = None
        for k, (name, views) in enumerate(stages):
            yield self._step(f"targets of {name}", 0, 1, k * share)
            wide = self._film(views, name)
            film = self._seen = wide.narrowed(self.config.width_px)
            if k == 0:
                self._measure(film, "before")
            names = names_of(self.scene, self.config.estimate) if k + 1 == len(stages) else []
            at, part = k * share, (o.tracking_before_fit if names else o.tracking) * share
            yield from self._tracked(wide, f"tracking, {name}", at, part)
            if names:
                yield from self._fitted(wide, names, at + part, o.fitting * share)
                part += o.fitting * share
            self._gate(film)
            yield from self._optimized(film, name, at + part, share - part)
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
        shadow_gain = self._shadow_gain(cameras)
        asked = request(
            self.model, self._gaussians, shadow_gain, self.trajectory, self.start, cameras=cameras, stage=stage,
            strengths=[self.config.strength_of(v) for v in views], config=self.config,
            flow=getattr(self.provider, "uses_flow", True), least_cover=self.options.body_cover, ask=self._ask,
        )  # fmt: skip
        targets = provide(self.provider, asked, progress=self._progress)
        masks = targets.masks
        if masks is None:
            masks = followed_masks(
                targets, asked, shadow_gain, options=self.options.mask_tracking, ask=self._ask
            )  # fmt: skip
        weights = tuple(1.0 if v == 0 else self.config.side_weight for v in views)
        width = max(self.config.width_px, self.options.tracking.width_px)
        return Film.scaled(
            cameras, targets.frames, targets.valid, masks, width=width, weights=weights, options=self.options.film
        )

    # --- fitting ------------------------------------------------------------------------------------------------------

    def _tracked(self, film: Film, stage: str, at: float, share: float) -> Iterator[RefineStep]:
        o, seed = self.options.tracking, self.config.seed
        for t in track(self.model, film, self.motion, seed=seed, options=o, ask=self._ask):
            yield self._step(stage, t + 1, film.frames, at + share * (t + 1) / film.frames)

    def _fitted(self, film: Film, names: list[str], at: float, share: float) -> Iterator[RefineStep]:
        """Constants, and what they predict, which then is what is corrected: from a better prediction more is found,
        and what no camera sees is the simulator's. Again, since the first goal leans towards the wrong prediction."""
        fit = Fit(
            self._simulation(), self.scene, self.start, self.planned, self.base, names=names,
            parameters=self.parameters, options=self.options.constants,
        )  # fmt: skip
        passes, rolled = self.options.fit_passes, self.options.progress.rollouts
        part = share / passes
        for k in range(passes):
            goal = np.stack([self.motion.positions(self.model, t) for t in range(film.frames)])
            afresh = k < self.options.derivative_passes
            for done in fit.improve(goal, self._seen_particles(film), afresh=afresh):
                yield self._step(
                    "constants", done, fit.rollouts, at + (k + rolled * min(done / fit.rollouts, 1)) * part
                )
            if fit.trajectory is self.planned:
                break
            self.planned, self.base, self.parameters = fit.trajectory, fit.end, fit.parameters
            self.motion = Motion.start(self.model, self.planned, nodes=self.config.nodes)
            tracked = at + (k + rolled) * part, (1 - rolled) * part
            yield from self._tracked(film, "tracking with fitted constants", *tracked)
        self.estimates, self._posterior = tuple(fit.estimates()), fit.posterior()

    def _gate(self, film: Film) -> None:
        """Forget what tracking did to an entity where the pictures are not better for it: what is seen of a smooth
        roller's turn is little, and where the prediction is good, tracking would only add its own errors. So it would
        where fitted constants predict what was tracked to within those errors."""
        shadow_gain = self._shadow_gain(film.cameras)
        names = [e.name for e in self.scene.entities]
        motions = (self.motion.without(names), self.motion)
        found = errors_of_entities(self.model, motions, shadow_gain, film, ask=self._ask)
        vain = {n for n, (before, after) in found.items() if after > self.options.gate_error_ratio * before}
        if self.estimates:
            moved = np.stack([self.motion.positions(self.model, t) for t in range(film.frames)])
            far = np.linalg.norm(moved - self.planned.positions[: film.frames], axis=-1).mean(0)
            for e in self.scene.entities:
                if far[e.particles].mean() < self.options.gate_particle_sizes * e.particle_size_m:
                    vain.add(e.name)
        if vain:
            self.motion = self.motion.without(vain)

    def _seen_particles(self, film: Film) -> I64:
        """Those on which some camera sees a Gaussian, in the first, the middle or the last frame."""
        o = self.options.tracking.correspondences
        seen = np.zeros(len(self.scene.rest), bool)
        for t in (0, film.frames // 2, film.frames - 1):
            means, covariances = self._gaussians(t)
            drawn = self.model.draw(means, covariances, film.cameras)
            for v, camera in enumerate(film.cameras):
                if film.seen(v, t):
                    seen[self.model.own[visible(self.model, camera, means, drawn.depth[v], options=o)]] = True
        return np.flatnonzero(seen)

    def _optimized(self, film: Film, stage: str, at: float, share: float) -> Iterator[RefineStep]:
        c, o = self.config, self.options
        shadow_gain = self._shadow_gain(film.cameras)
        if c.iterations:
            frames = np.linspace(0, film.frames - 1, o.color_correction.frames).round().astype(int)
            sh = corrected_colors(
                self.model, film, self.motion, shadow_gain, frames=np.unique(frames).tolist(),
                options=o.color_correction, ask=self._ask,
            )  # fmt: skip
            self.appearance = replace(self.appearance, sh=sh)
            self.model = Model(self.scene, self.appearance, device=self.device)
        optimizer = PhotometricOptimizer(
            self.model, film, self.motion, shadow_gain, options=replace(o.photometric, simulation_weight=c.lambda_sim),
            iterations=c.iterations, frames_per_step=c.frames_per_step, temporal_opacity=c.temporal_opacity,
            seed=c.seed,
        )  # fmt: skip
        self._optimizer = optimizer
        for step in optimizer.run():
            fraction = at + share * (step.iteration + 1) / max(c.iterations, 1)
            yield self._step(stage, step.iteration + 1, c.iterations, fraction, step.loss, step.psnr)
        self._optimizer = None
        if c.iterations:
            self._take(optimizer)

    def _take(self, optimizer: PhotometricOptimizer) -> None:
        self.motion, self.appearance = optimizer.motion_now(), optimizer.appearance_now()
        self.model = Model(self.scene, self.appearance, device=self.device)

    def _shadow_gain(self, cameras: tuple[Camera, ...]) -> ShadowGain:
        """The background through these cameras; drawn once for each appearance of it."""
        key = (id(self.appearance.background_sh), *((c.name, c.width) for c in cameras))
        if key not in self._shadow_gains:
            self._shadow_gains[key] = ShadowGain(
                self.scene, self.appearance, cameras, self.trajectory.positions, device=self.device,
                options=self.options.shadow_gain,
            )  # fmt: skip
        return self._shadow_gains[key]

    def _gaussians(self, t: int) -> tuple[F32, F32]:
        return self.model.gaussians_at(self.motion.positions(self.model, t), self.motion.rotations(t))

    def _measure(self, film: Film, when: str) -> None:
        shadow_gain = self._shadow_gain(film.cameras)
        self._figures |= figures(self.model, self.motion, shadow_gain, film, when=when, ask=self._ask)

    def instant(self, *, frame: int = -1) -> Instant:
        """A frame (default: the last) as it would be if the refinement ended now.

        The background keeps the appearance that the refinement started from: shadows are baked in at the end.
        """
        motion, appearance = self.motion, self.appearance
        if self._optimizer is not None:
            motion = self._optimizer.motion_now()
            appearance = replace(self._optimizer.appearance_now(), background_sh=appearance.background_sh)
        t = frame % len(self.trajectory)
        bodies = {}
        for name in motion.shifts:
            row = motion.body(name, t)
            bodies[name] = Body(row[0:3], row[3:7], row[7:10], row[10:13])
        particles = replace(self.end.physics.particles, positions=motion.positions(self.model, t))
        return Instant(PhysicsState(particles, bodies), appearance, float(self.trajectory.times[t]))

    # --- physics ------------------------------------------------------------------------------------------------------

    def _written(self, film: Film) -> Iterator[RefineStep]:
        c, scene = self.config, self.scene
        yield self._step("write-back", 0, 1, self.options.progress.writeback)
        count = len(self.trajectory)
        goal = np.stack([self.motion.positions(self.model, t) for t in range(count)])
        rows = {n: np.stack([self.motion.body(n, t) for t in range(count)]) for n in self.motion.shifts}
        before = self.start.appearance or scene.initial_appearance()
        stretch = self.model.stretch(goal[-1], self.motion.rotations(-1))
        shifts, appearance = transfer_offsets(scene, before, self.appearance, stretch)
        moved = shifts.any(axis=1)
        goal[:, moved] += shifts[moved]
        self.appearance = appearance
        simulation = self._simulation()
        o = self.options.writeback
        bodies = {
            n: written_body(r, self.planned.bodies[n], self.planned.times, velocity=c.velocity, options=o)
            for n, r in rows.items()
        }
        physics = write_back(
            scene, self.base, goal - self.planned.positions, self.planned.times, bodies=bodies,
            inside=simulation.settings.inside, velocity=c.velocity, stress=c.stress, options=o,
        )  # fmt: skip
        gap = np.linalg.norm(goal[-1] - self.trajectory.positions[-1], axis=1)
        self._figures |= {"moved_mean_m": float(gap.mean()), "moved_max_m": float(gap.max())}
        # A constant that was not looked for this time is known as well as before.
        self._figures |= handed_on(self.start.figures) | (self._posterior.figures() if self._posterior else {})
        self._figures["seconds"] = time.monotonic() - self._began
        views = {k.name: (film.rgb[v, -1] * 255).astype(np.uint8) for v, k in enumerate(film.cameras)}
        self.correction = Correction(
            physics, appearance, goal, rows, self.parameters, self.estimates, dict(self._figures), views
        )
        yield self._step("write-back", 1, 1, 1.0)

    def _ask(self) -> None:
        """Whether to go on, within a step; what the callback raises ends it."""
        self._progress(*self._at)

    def _step(
        self, stage: str, iteration: int, iterations: int, fraction: float, loss: float = np.nan, psnr: float = np.nan
    ) -> RefineStep:
        self._at = (stage, iteration / max(iterations, 1))
        spent = time.monotonic() - self._began
        eta = spent / fraction - spent if fraction > self.options.progress.least_for_eta else -1.0
        return RefineStep(stage, iteration, iterations, fraction, loss, psnr, eta)
