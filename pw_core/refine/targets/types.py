"""What every target provider is given and gives back, and how one is found by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, PWError, RefineError
from pw_core.gaussians import F32, Camera
from pw_core.progress import Progress

Frames = NDArray[np.uint8]
Masks = NDArray[np.int32]

GROUP = "pw_core.target_providers"
"""The entry-point group in which other packages announce theirs."""

BUILT_IN = {
    "observed": "pw_core.refine.targets.observed:Observed",
    "video_diffusion": "pw_core.refine.targets.video_diffusion:VideoDiffusion",
}


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
        from pw_core.refine.targets.checks import check_request

        check_request(self)

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


def provider_names() -> list[str]:
    """Built-in and installed ones."""
    return sorted({*BUILT_IN, *(e.name for e in entry_points(group=GROUP))})


def load_provider(name: str, **settings: Any) -> TargetProvider:
    """The provider of that name, made from its settings. Built-in names go first.

    Raises:
        RefineError: UNKNOWN_PROVIDER for a name nobody has; PROVIDER_FAILED for one that cannot be imported or made;
            and what the provider itself says of its settings.
    """
    if name in BUILT_IN:
        from importlib import import_module

        module, _, attribute = BUILT_IN[name].partition(":")
        make: Callable[..., object] = getattr(import_module(module), attribute)
    else:
        found = [e for e in entry_points(group=GROUP) if e.name == name]
        if not found:
            raise RefineError(
                f"target provider '{name}' is not known; there are: {', '.join(provider_names())}. Others announce "
                f"themselves in the entry-point group '{GROUP}'",
                code=ErrorCode.UNKNOWN_PROVIDER,
            )
        try:
            make = found[0].load()
        except Exception as error:
            raise RefineError(
                f"target provider '{name}' ({found[0].value}) cannot be imported: {error}",
                code=ErrorCode.PROVIDER_FAILED,
            ) from error
    try:
        made = make(**settings)
    except TypeError as error:
        raise RefineError(
            f"target provider '{name}' does not take the settings {sorted(settings)}: {error}",
            code=ErrorCode.PROVIDER_FAILED,
        ) from error
    if not isinstance(made, TargetProvider):
        raise RefineError(
            f"target provider '{name}' makes a {type(made).__name__}, which lacks `name` or `frames(request, *, "
            "progress)`",
            code=ErrorCode.PROVIDER_FAILED,
        )
    return made


def provide(provider: TargetProvider, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
    """The provider's targets, checked against the request.

    Raises:
        RefineError: INVALID_TARGET for targets that do not fit; PROVIDER_FAILED where the provider itself broke.
            Whatever `progress` raises to cancel passes through.
    """
    from pw_core.refine.targets.checks import check_targets

    cancelled: list[BaseException] = []

    def report(what: str, fraction: float) -> None:
        if progress is not None:
            try:
                progress(what, fraction)
            except BaseException as error:
                cancelled.append(error)
                raise

    try:
        targets = provider.frames(request, progress=report)
    except PWError:
        raise
    except Exception as error:
        if error in cancelled:
            raise
        raise RefineError(
            f"target provider '{provider.name}' failed in stage '{request.stage}': {type(error).__name__}: {error}",
            code=ErrorCode.PROVIDER_FAILED,
        ) from error
    check_targets(targets, request, source=f"target provider '{provider.name}'")
    return targets


def view_names(cameras: Sequence[Camera]) -> list[str]:
    """Names for messages: "view 0 ('photo')"."""
    return [f"view {i} ('{c.name}')" for i, c in enumerate(cameras)]
