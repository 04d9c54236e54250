"""Target providers by name, and their targets, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, PWError, RefineError
from pw_core.plugins import PluginGroup, load_plugin
from pw_core.progress import Progress
from pw_core.refine.targets.checks import check_not_black, check_shape, view_names
from pw_core.refine.targets.types import UNCERTAIN, TargetFrames, TargetProvider, TargetRequest

PROVIDERS = PluginGroup(
    group="pw_core.target_providers",
    what="target provider",
    key="",
    built_in={
        "observed": "pw_core.refine.targets.observed:Observed",
        "video_diffusion": "pw_core.refine.targets.video_diffusion:VideoDiffusion",
    },
    protocol=TargetProvider,
    needs="`name` or `frames(request, *, progress)`",
    error=RefineError,
    unknown=ErrorCode.UNKNOWN_PROVIDER,
    failed=ErrorCode.PROVIDER_FAILED,
)
"""All that are known: other packages announce theirs in its entry-point group."""


def provider_names() -> list[str]:
    """Built-in and installed ones."""
    return PROVIDERS.names()


def load_provider(name: str, **settings: Any) -> TargetProvider:
    """The provider of that name, made from its settings. Built-in names go first.

    Raises:
        RefineError: UNKNOWN_PROVIDER for a name nobody has; PROVIDER_FAILED for one that cannot be imported or made;
            and what the provider itself says of its settings.
    """
    provider: TargetProvider = load_plugin(PROVIDERS, name, settings)
    return provider


def provide(provider: TargetProvider, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
    """The provider's targets, checked against the request.

    Raises:
        RefineError: INVALID_TARGET for targets that do not fit; PROVIDER_FAILED where the provider itself broke.
            Whatever `progress` raises to cancel passes through.
    """
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


def check_targets(targets: TargetFrames, request: TargetRequest, *, source: str) -> None:
    """RefineError (INVALID_TARGET) for targets that are not of the request's shape, black, or with bad masks."""
    views = view_names(request.cameras)
    shape = request.shape
    if not isinstance(targets, TargetFrames):
        raise RefineError(
            f"{source}: gave a {type(targets).__name__}, expected TargetFrames", code=ErrorCode.INVALID_TARGET
        )
    check_shape(f"{source}: frames", targets.frames, (*shape, 3), np.uint8)
    check_shape(f"{source}: valid", targets.valid, shape, np.bool_)
    for i, view in enumerate(views):
        for k in range(shape[1]):
            check_not_black(targets.frames[i, k], targets.valid[i, k], what=f"{source}: {view}, frame {k}")
    if not targets.valid.any():
        raise RefineError(f"{source}: no pixel of any frame was observed", code=ErrorCode.INVALID_TARGET)
    if targets.masks is not None:
        check_shape(f"{source}: masks", targets.masks, shape, np.int32)
        check_masks(targets.masks, request, source=source)


def check_masks(masks: NDArray[np.int32], request: TargetRequest, *, source: str) -> None:
    """Masks (V, T, H, W) with no value but -1, 0 and those of the prediction, or RefineError (INVALID_TARGET)."""
    known = {UNCERTAIN, 0, *np.unique(request.masks).tolist()}
    for i, view in enumerate(view_names(request.cameras)):
        for k in range(masks.shape[1]):
            strange = set(np.unique(masks[i, k]).tolist()) - known
            if strange:
                raise RefineError(
                    f"{source}: {view}, frame {k}: masks hold {sorted(strange)}, expected only {sorted(known)} (-1 not "
                    "certain, 0 background, else entity id + 1)",
                    code=ErrorCode.INVALID_TARGET,
                )
        if (masks[i] == UNCERTAIN).all():
            raise RefineError(f"{source}: {view}: no pixel of the masks is certain", code=ErrorCode.INVALID_TARGET)
