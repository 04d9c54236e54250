"""What every target provider is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F32, Camera
from pw_core.progress import Progress
from pw_core.refine.targets.checks import check_shape, check_strengths, check_times, view_names

Frames = NDArray[np.uint8]
Masks = NDArray[np.int32]

UNCERTAIN = -1
"""In masks: a pixel of which it is not known what it shows. 0 is the background, others are entity ids + 1."""


@dataclass(frozen=True, eq=False)
class TargetRequest:
    """A rollout as it was predicted, for which targets are wanted: V views of T frames, checked when it is made.

    times [s] (T,), rising. cameras: the V views. frames (V, T, H, W, 3): the rendered prediction. flow [px]
    (V, T - 1, H, W, 2): where each pixel moves to in the next frame, x right and y down. masks (V, T, H, W): entity id
    + 1, 0 for the background. strengths (V,): 0 keeps the prediction, 1 is free of it. first_frames (V, H, W, 3): each
    view's first frame as the last round left it; frames[:, 0] where it is None.

    Raises:
        RefineError: INVALID_STAMPS, INVALID_STRENGTH, or INVALID_TARGET for what does not fit together.
    """

    times: NDArray[np.float64]
    cameras: tuple[Camera, ...]
    frames: Frames
    flow: F32
    masks: Masks
    prompt: str
    strengths: tuple[float, ...]
    seed: int
    stage: str
    first_frames: Frames | None = None

    def __post_init__(self) -> None:
        views = view_names(self.cameras)
        times = check_times(self.times, what="the trajectory's times")
        frames = self.frames
        if not views:
            raise RefineError("a request needs one view or more", code=ErrorCode.INVALID_TARGET)
        for view, c in zip(views, self.cameras):
            if not (np.isfinite(c.K).all() and np.isfinite(c.viewmat).all()):
                raise RefineError(f"{view}: the camera's K or viewmat holds NaN", code=ErrorCode.INVALID_TARGET)
        v, t = len(views), len(times)
        h, w = frames.shape[2:4] if isinstance(frames, np.ndarray) and frames.ndim == 5 else (0, 0)
        check_shape("predicted frames", frames, (v, t, h, w, 3), np.uint8)
        check_shape("flow", self.flow, (v, t - 1, h, w, 2), np.float32)
        check_shape("predicted masks", self.masks, (v, t, h, w), np.int32)
        if self.first_frames is not None:
            check_shape("first frames", self.first_frames, (v, h, w, 3), np.uint8)
        for i, view in enumerate(views):
            c = self.cameras[i]
            if (c.height, c.width) != (h, w):
                raise RefineError(
                    f"{view}: the camera has {c.width} x {c.height} px, its predicted frames {w} x {h} px",
                    code=ErrorCode.INVALID_TARGET,
                )
            bad = np.flatnonzero(~np.isfinite(self.flow[i]).all((1, 2, 3)))
            if len(bad):
                raise RefineError(f"{view}, frame {bad[0]}: the flow holds NaN", code=ErrorCode.INVALID_TARGET)
        if self.masks.min(initial=0) < 0:
            raise RefineError(
                f"predicted masks: found {self.masks.min()}, expected entity id + 1, or 0",
                code=ErrorCode.INVALID_TARGET,
            )
        check_strengths(self.strengths, views=views)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """V, T, H, W."""
        v, t, h, w = self.frames.shape[:4]
        return v, t, h, w


@dataclass(frozen=True, eq=False)
class TargetFrames:
    """What the rollout should have looked like: V views of T frames.

    frames (V, T, H, W, 3). valid (V, T, H, W): False where nothing was observed, which the loss leaves out. masks
    (V, T, H, W): entity id + 1, 0 for the background, -1 where it is not certain; None where the provider knows none.
    """

    frames: Frames
    valid: NDArray[np.bool_]
    masks: Masks | None = None


@runtime_checkable
class TargetProvider(Protocol):
    """Anything that makes targets. Made from its settings: `Provider(**settings)`.

    Two more attributes may be there: `progressive` (False: all views at once, where True asks first for the input view,
    then for the others) and `uses_flow` (False: the request's flow may be zero).
    """

    name: str

    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        """Targets for that request, of its shape. Called once for each stage of a refinement."""
        ...
