"""One round of the closed loop: targets, tracking, polishing, constants, write-back; in steps that can be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F32, Camera
from pw_core.refine import parameters as constants
from pw_core.refine.film import Film
from pw_core.refine.model import Model
from pw_core.refine.polish import Polish, Weights
from pw_core.refine.shade import Shade
from pw_core.refine.targets.base import TargetFrames, TargetProvider, TargetRequest, provide
from pw_core.refine.track import Motion, track
from pw_core.refine.writeback import settle_offsets, write_back
from pw_core.scene import Body, Look, PhysicsState, Scene, State, Trajectory

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


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
    look: Look
    positions: F32
    bodies: dict[str, Any]
    parameters: dict[str, float]
    estimates: tuple[constants.Estimate, ...]
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
        self.scene, self.trajectory, self.start, self.end = scene, trajectory, start, end
        self.provider, self.cameras, self.config, self.device = provider, tuple(cameras), config, device
        self._simulation, self._progress = simulation, progress
        self.look = start.look or scene.initial_look()
        self.model = Model(scene, self.look, device=device)
        self.motion = Motion.start(self.model, trajectory, nodes=config.nodes)
        self.correction: Correction | None = None
        self._began = time.monotonic()
        self._shade: Shade | None = None
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
        self._figures["psnr_after"] = self._psnr(self._seen)
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
            film = self._seen = self._film(views, name)
            if k == 0:
                self._figures["psnr_before"] = self._psnr(film)
            for t in track(self.model, film, self.motion, seed=self.config.seed):
                yield self._step(f"tracking, {name}", t + 1, film.frames, k * share + 0.4 * share * t / film.frames)
            yield from self._polished(film, name, k * share + 0.4 * share, 0.6 * share)
        assert film is not None
        self._figures["psnr_after"] = self._psnr(film)
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
        request = self._request(cameras, stage, [0.5 if v and self.config.strength else 1.0 for v in views])
        targets = provide(self.provider, request, progress=self._progress)
        masks = targets.masks if targets.masks is not None else self._masks(targets, request, cameras)
        weights = tuple(1.0 if v == 0 else self.config.side_weight for v in views)
        return Film.scaled(cameras, targets.frames, targets.valid, masks, width=self.config.width_px, weights=weights)

    def _request(self, cameras: tuple[Camera, ...], stage: str, lighter: list[float]) -> TargetRequest:
        shade = Shade(self.scene, self.look, cameras, self.trajectory.positions, device=self.device)
        count, v = len(self.trajectory), len(cameras)
        h, w = cameras[0].height, cameras[0].width
        frames = np.zeros((v, count, h, w, 3), np.uint8)
        masks = np.zeros((v, count, h, w), np.int32)
        flow = np.zeros((v, count - 1, h, w, 2), np.float32)
        before = None
        for t in range(count):
            means, covariances = self._gaussians(t)
            drawn = self.model.draw(means, covariances, cameras)
            cover = np.clip(drawn.alpha.sum(-1, keepdims=True), 0, 1)
            for i in range(v):
                frames[i, t] = np.clip((drawn.rgb[i] + (1 - cover[i]) * shade.plain(i)) * 255 + 0.5, 0, 255)
            label = np.where(cover[..., 0] > 0.5, drawn.alpha.argmax(-1) + 1, 0)
            masks[:, t] = np.where((cover[..., 0] > 0.1) & (cover[..., 0] < 0.9), -1, label)
            if before is not None and getattr(self.provider, "uses_flow", True):
                flow[:, t - 1] = self._flow(*before, means, covariances, cameras)
            before = (means, covariances)
        strengths = tuple(float(np.clip(self.config.strength * x, 0, 1)) for x in lighter)
        return TargetRequest(
            times=self.trajectory.times, cameras=cameras, frames=frames, flow=flow, masks=np.maximum(masks, 0),
            prompt=self.config.prompt, strengths=strengths, seed=self.config.seed, stage=stage,
            first_frames=np.stack([self.start.views.get(c.name, frames[i, 0]) for i, c in enumerate(cameras)])
            if all(self.start.views.get(c.name, frames[0, 0]).shape == (h, w, 3) for c in cameras) else None,
        )  # fmt: skip

    def _flow(self, means: F32, covars: F32, means_after: F32, covars_after: F32, cameras: tuple[Camera, ...]) -> F32:
        import torch

        from pw_core.render.flow import optical_flow

        def tensor(a: Any) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(self.device)

        with torch.no_grad():
            flow = optical_flow(
                tensor(means), tensor(covars), tensor(means_after), tensor(covars_after),
                torch.sigmoid(tensor(self.look.opacities)), tensor(np.stack([c.viewmat for c in cameras])),
                tensor(np.stack([c.K for c in cameras])), cameras[0].width, cameras[0].height,
            )  # fmt: skip
        return np.asarray(flow.forward.cpu().numpy())

    def _masks(self, targets: TargetFrames, request: TargetRequest, cameras: tuple[Camera, ...]) -> Any:
        """Followed through the targets themselves: never from the render that is fitted to them."""
        from pw_core.refine.targets.masks import track_masks

        shade = Shade(self.scene, self.look, cameras, self.trajectory.positions, device=self.device)
        out = []
        for v in range(len(cameras)):
            behind = np.clip(shade.plain(v) * 255 + 0.5, 0, 255).astype(np.uint8)
            out.append(
                track_masks(
                    targets.frames[v], start_masks=request.masks[v, 0], predicted_masks=request.masks[v],
                    background=behind, valid=targets.valid[v],
                )
            )  # fmt: skip
        return np.stack(out)

    # --- fitting ------------------------------------------------------------------------------------------------------

    def _polished(self, film: Film, stage: str, at: float, share: float) -> Iterator[RefineStep]:
        c = self.config
        self._shade = Shade(self.scene, self.look, film.cameras, self.trajectory.positions, device=self.device)
        polish = Polish(
            self.model, film, self.motion, self._shade, weights=replace(Weights(), sim=c.lambda_sim),
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
        self.motion, self.look = polish.motion_now(), polish.look_now()
        self.model = Model(self.scene, self.look, device=self.device)

    def _gaussians(self, t: int) -> tuple[F32, F32]:
        return self.model.gaussians_at(self.motion.positions(self.model, t), self.motion.rotations(t))

    def _psnr(self, film: Film) -> float:
        """[dB] inside the targets' masks, over every third frame and all views."""
        shade = self._shade or Shade(self.scene, self.look, film.cameras, self.trajectory.positions, device=self.device)
        squares, pixels = 0.0, 0
        for t in range(film.frames - 1, -1, -3):
            drawn = self.model.draw(*self._gaussians(t), film.cameras)
            for v in range(len(film.cameras)):
                inside = film.valid[v, t] & (film.masks[v, t] > 0)
                cover = np.clip(drawn.alpha[v].sum(-1, keepdims=True), 0, 1)
                gap = (drawn.rgb[v] + (1 - cover) * shade.plain(v) - film.rgb[v, t])[inside]
                squares, pixels = squares + float((gap**2).mean(-1).sum()), pixels + len(gap)
        return float(-10 * np.log10(max(squares / max(pixels, 1), 1e-10)))

    # --- physics ------------------------------------------------------------------------------------------------------

    def _written(self, film: Film) -> Iterator[RefineStep]:
        c, scene = self.config, self.scene
        yield self._step("write-back", 0, 1, 0.86)
        count = len(self.trajectory)
        goal = np.stack([self.motion.positions(self.model, t) for t in range(count)])
        rows = {n: np.stack([self.motion.body(n, t) for t in range(count)]) for n in self.motion.shifts}
        before = self.start.look or scene.initial_look()
        shifts, look = settle_offsets(scene, before, self.look, self.model.stretch(goal[-1], self.motion.rotations(-1)))
        moved = shifts.any(axis=1)
        goal[:, moved] += shifts[moved]
        self.look = look
        base, planned = self.end.physics, self.trajectory.positions
        parameters, estimates = dict(self.start.parameters), []
        simulation = self._simulation()
        names = constants.names_of(scene, c.estimate)
        if names:
            fit = constants.Fit(
                simulation, scene, self.start.physics, self.trajectory.actions, self.trajectory.times, goal,
                names=names, parameters=parameters,
            )  # fmt: skip
            for done in fit.run():
                yield self._step("constants", done, fit.rollouts, 0.86 + 0.12 * min(done / fit.rollouts, 1))
            parameters, estimates = fit.parameters, fit.estimates
            # From here the prediction is that of the fitted constants: its stresses and what no camera saw are better.
            planned, base = constants.simulate(
                simulation, scene, self.start.physics, self.trajectory.actions, self.trajectory.times, parameters
            )
        bodies = {n: _body(r, self.trajectory.bodies[n], self.trajectory.times, c.velocity) for n, r in rows.items()}
        physics = write_back(
            scene, base, goal - planned, self.trajectory.times, bodies=bodies, inside=simulation.settings.inside,
            velocity=c.velocity, stress=c.stress,
        )  # fmt: skip
        gap = np.linalg.norm(goal[-1] - self.trajectory.positions[-1], axis=1)
        self._figures |= {"moved_mean_m": float(gap.mean()), "moved_max_m": float(gap.max())}
        self._figures["seconds"] = time.monotonic() - self._began
        views = {k.name: (film.rgb[v, -1] * 255).astype(np.uint8) for v, k in enumerate(film.cameras)}
        self.correction = Correction(
            physics, look, goal, rows, parameters, tuple(estimates), dict(self._figures), views
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
