"""The action ~/refine: target frames in, feedback while they correct a trajectory, the corrected state at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_msgs.action import Refine
from pw_msgs.msg import ParameterEstimate, RefineFigures, TargetFrame
from pw_ros.convert.images import ImageError, compressed_to_numpy, image_to_numpy, to_rgb8
from pw_ros.interfaces.goals import DETACH_AFTER, GoalServer
from pw_ros.interfaces.rollout import camera_of
from pw_ros.worker.inputs import Allowed

if TYPE_CHECKING:
    from pw_ros.node import WorldNode

KEEP_WITHIN = 120.0
"""[s] a cancelled goal that keeps its best waits for the worker to write it back."""
UNITS = {
    "youngs_modulus_pa": ("stiffness", "Pa"), "viscosity_pa_s": ("viscosity", "Pa s"),
    "yield_stress_pa": ("yield_stress", "Pa"), "floor_friction": ("friction", "1"),
    "wind_x": ("wind_x", "m/s^2"), "wind_y": ("wind_y", "m/s^2"), "wind_z": ("wind_z", "m/s^2"),
}  # fmt: skip
"""How `pw_core.calibrate.constants` calls a constant: its name and unit in messages."""


class RefineServer(GoalServer):
    """Serves goals one at a time with rollouts, as the node's gate lets them through."""

    def __init__(self, node: WorldNode) -> None:
        super().__init__(node, Refine, "refine", unknown=ErrorCode.REFINE_UNKNOWN)

    def run(self, handle: ServerGoalHandle, result: Refine.Result, stamp: Time) -> None:
        """See GoalServer."""
        node, request = self.node, handle.request
        views = [target_camera(node, v.view) for v in request.views]
        named = [c if v.view.camera_info.width else c.name for c, v in zip(views, request.views, strict=True)]
        films, uri, origin = self._targets(request, named)
        every = int(node.get_parameter("refine_preview_every").value)
        running = self.start(
            handle,
            provider=request.provider or (Refine.Goal.OBSERVED if sources_of(request) else ""),
            trajectory=request.trajectory_id,
            cameras=views,
            films=films,
            frames_uri=uri,
            time_origin=origin,
            changes=goal_to_changes(request),
            keep_best=bool(request.keep_best_on_cancel),
            commit=bool(request.commit),
        )
        node.topics.predict_actions(())
        node.report(status="refining", stage="starting", fraction=None)
        loss, polished = math.nan, 0

        def heard(name: str, value: Any) -> None:
            nonlocal loss, polished
            if name == "progress":  # of the provider, within a step
                node.report(status="refining", stage=value[0], fraction=None)
            elif name == "step":
                if math.isfinite(value.loss):
                    loss, polished = value.loss, polished + 1
                feedback = Refine.Feedback(
                    stage=value.stage, fraction=value.fraction, iteration=value.iteration, iterations=value.iterations,
                    loss=value.loss, psnr=value.psnr, eta=value.eta_s,
                )  # fmt: skip
                handle.publish_feedback(feedback)
                if value.iteration % every == 0:  # drawn if someone looks
                    node.topics.show({"live": True}, stamp)
                eta = value.eta_s if value.eta_s >= 0 else None
                node.report(status="refining", stage=value.stage, fraction=value.fraction, eta=eta)

        try:
            patience = KEEP_WITHIN if request.keep_best_on_cancel else DETACH_AFTER
            self.follow(handle, running, heard, patience=patience)
        finally:
            node.topics.show(None, stamp)
        result.iterations = polished
        job = running.job
        done = job.future.result() if job.done else {"state_id": "", "committed": False}
        if done["state_id"]:
            result.state_id, result.parent, result.committed = done["state_id"], done["parent"], done["committed"]
            figures = done["figures"]
            result.before = figures_of(figures, "before")
            result.after = figures_of(figures, "after", loss=loss)
            result.estimates = [estimate_to_message(e, done["parameters"]) for e in done["estimates"]]
        if done.get("canceled") or (handle.is_cancel_requested and not done["committed"]):
            kept = f"; the best so far is state '{result.state_id}'" if result.state_id else ""
            raise PWError(f"canceled after {polished} iterations{kept}", code=ErrorCode.CANCELED)

    def _targets(self, request: Any, views: Sequence[Camera | str]) -> tuple[list[dict[str, Any]], str, float | None]:
        """Films, or the path of the folder that they lie in, and the stamp [s] of t = 0 on their clock."""
        node = self.node
        if len(sources := sources_of(request)) > 1:
            raise PWError(f"found {' and '.join(sources)}, expected one of them", code=ErrorCode.INVALID_TARGET)
        if request.frames_uri:
            allowed = Allowed(node.get_parameter("input_roots").value, "frames_uri", ErrorCode.INVALID_TARGET)
            return [], str(allowed.path(request.frames_uri)), seconds_of(request.time_origin)
        if request.frames:
            return frames_to_films(request.frames, views, request.time_origin), "", 0.0
        if request.provider not in ("", Refine.Goal.OBSERVED) or not (request.record_id or node.recorder.record_id):
            return [], "", 0.0
        return node.recorder.films(request.record_id, request.time_origin), "", 0.0


def sources_of(request: Any) -> list[str]:
    """The fields of a goal that name observed frames; who names some means the provider `observed`."""
    return [n for n in ("frames", "frames_uri", "record_id") if getattr(request, n)]


def seconds_of(stamp: Time) -> float | None:
    """[s]; None where it is zero."""
    return _nanoseconds(stamp) * 1e-9 or None


def figures_of(figures: dict[str, float], when: str, *, loss: float = math.nan) -> RefineFigures:
    """Figures of a corrected state, "before" its refinement or "after" it; what was not measured is NaN."""
    moved = when == "after"
    return RefineFigures(
        loss=loss, psnr=figures.get(f"psnr_image_{when}", math.nan), psnr_masked=figures.get(f"psnr_{when}", math.nan),
        mask_iou=figures.get(f"mask_iou_{when}", math.nan),
        mean_correction=figures.get("moved_mean_m", 0.0) if moved else 0.0,
        max_correction=figures.get("moved_max_m", 0.0) if moved else 0.0,
    )  # fmt: skip


def estimate_to_message(estimate: Any, applied: dict[str, float]) -> ParameterEstimate:
    """A fitted constant; `applied`: the constants of the corrected state."""
    entity, _, key = estimate.name.rpartition(".")
    name, unit = UNITS.get(key, (key, ""))
    deviation = estimate.error if key.startswith("wind") else estimate.error * abs(estimate.value)
    return ParameterEstimate(
        name=name, entity=entity, unit=unit, before=estimate.before, after=estimate.value,
        deviation=deviation if estimate.observable else math.inf, applied=estimate.name in applied,
    )  # fmt: skip


def goal_to_changes(request: Any) -> dict[str, Any]:
    """Fields of RefineConfig that a goal sets.

    Raises:
        PWError: INVALID_STRENGTH; INVALID_TARGET for weights.
    """
    changes: dict[str, Any] = {"seed": int(request.seed), "estimate": tuple(request.estimate)}
    if request.iterations:
        changes["iterations"] = int(request.iterations)
    if request.prompt:
        changes["prompt"] = request.prompt
    strengths = [None if v.strength < 0 else round(float(v.strength), 6) for v in request.views]
    if any(s is not None and not 0 <= s <= 1 for s in strengths):
        text = f"views: strengths {strengths}, expected 0 to 1 each (or below 0: as configured)"
        raise PWError(text, code=ErrorCode.INVALID_STRENGTH)
    if any(s is not None for s in strengths):
        changes["strengths"] = tuple(strengths)
    weights = [float(v.weight) for v in request.views]
    if any(not (math.isfinite(w) and w > 0) for w in weights) or len(set(weights[1:])) > 1:
        text = f"views: weights {weights}, expected above 0, and the same for all views but the first"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
    if len(set(weights)) > 1:
        changes["side_weight"] = weights[1] / weights[0]
    return changes


def target_camera(node: WorldNode, view: Any) -> Camera:
    """As `camera_of`, with TARGET_CAMERA_UNKNOWN for a name that the scene does not have."""
    try:
        return camera_of(node, view)
    except PWError as error:
        if error.code != ErrorCode.UNKNOWN_CAMERA:
            raise
        raise PWError(str(error), code=ErrorCode.TARGET_CAMERA_UNKNOWN) from None


def frames_to_films(frames: list[TargetFrame], views: Sequence[Camera | str], origin: Time) -> list[dict[str, Any]]:
    """Arguments of a CameraFilm for each camera: views first, in their order, then others of the scene by name. Stamps
    [s] are from `origin`; zero: from the earliest frame. Views by name may have films of another size than the camera.

    Raises:
        PWError: INVALID_TARGET for what is no picture; TARGET_CAMERA_UNKNOWN for a view without frames.
    """
    if not frames:
        return []
    ticks = [_nanoseconds(f.stamp) for f in frames]
    zero = _nanoseconds(origin) or min(ticks)
    known = {v if isinstance(v, str) else v.name: v for v in views}
    rows: dict[str, list[int]] = {name: [] for name in known}
    for k, frame in enumerate(frames):
        rows.setdefault(frame.camera, []).append(k)
    films = []
    for name, own in rows.items():
        what = f"frames of camera '{name}'"
        if not own:
            raise PWError(f"{what}: found none, expected some", code=ErrorCode.TARGET_CAMERA_UNKNOWN)
        pictures = [_picture(frames[k], f"frames[{k}]") for k in own]
        _same_size(pictures, what)
        valid = None
        if any(frames[k].mask.data for k in own):
            masks = [_mask(frames[k], p, f"frames[{k}]") for k, p in zip(own, pictures, strict=True)]
            valid = np.stack(masks)
        films.append(
            {
                "camera": known.get(name, name),
                "stamps": np.array([(ticks[k] - zero) * 1e-9 for k in own]),
                "frames": np.stack(pictures),
                "valid": valid,
            }
        )
    return films


def _nanoseconds(stamp: Time) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _picture(frame: TargetFrame, what: str) -> Any:
    raw, packed = bool(frame.image.data), bool(frame.compressed.data)
    if raw == packed:
        found = "both" if raw else "neither"
        text = f"{what}: found {found} of image and compressed, expected one"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
    try:
        return to_rgb8(image_to_numpy(frame.image) if raw else compressed_to_numpy(frame.compressed))
    except ImageError as error:
        raise PWError(f"{what}: {error}", code=ErrorCode.INVALID_TARGET) from None


def _mask(frame: TargetFrame, picture: Any, what: str) -> Any:
    if not frame.mask.data:
        return np.ones(picture.shape[:2], np.bool_)
    try:
        mask = image_to_numpy(frame.mask)
    except ImageError as error:
        raise PWError(f"{what}.mask: {error}", code=ErrorCode.INVALID_TARGET) from None
    if mask.dtype != np.uint8 or mask.shape != picture.shape[:2]:
        text = f"{what}.mask: found {mask.dtype} {mask.shape}, expected mono8 of shape {picture.shape[:2]}"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
    return mask > 0


def _same_size(pictures: list[Any], what: str) -> None:
    sizes = sorted({p.shape[:2] for p in pictures})
    if len(sizes) > 1:
        text = f"{what}: found sizes (height, width) {sizes}, expected one"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
