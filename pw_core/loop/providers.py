"""From settings, as a command line or a goal gives them, to a target provider that is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, RefineError
from pw_core.refine.targets.observed import CameraFilm
from pw_core.refine.targets.registry import load_provider
from pw_core.refine.targets.types import TargetProvider


def changed(base: RefineConfig, changes: Mapping[str, Any]) -> RefineConfig:
    """`base` with other values. The settings of its provider go when the provider does.

    Raises:
        RefineError: INVALID_STRENGTH, or INVALID_CONFIG for other values that cannot be, each named.
    """
    fields = base.model_dump()
    if changes.get("provider", base.provider) != base.provider:
        fields["settings"] = {}
    fields |= changes
    try:
        return RefineConfig.model_validate(fields)
    except ValidationError as error:
        faults = {".".join(map(str, e["loc"])): e for e in error.errors()}
        lines = [f"{key}: found {e['input']!r}: {e['msg']}" for key, e in faults.items()]
        code = ErrorCode.INVALID_STRENGTH if any(k.startswith("strength") for k in faults) else ErrorCode.INVALID_CONFIG
        raise RefineError("refinement settings: " + "; ".join(lines), code=code) from None


def make_provider(
    config: RefineConfig, *, films: Sequence[CameraFilm] = (), time_origin: float = 0.0
) -> TargetProvider:
    """The provider that the settings name; `observed` gets the films, others take none.

    Raises:
        RefineError: UNKNOWN_PROVIDER, MISSING_MODEL, PROVIDER_FAILED; INVALID_TARGET for films where none are taken, or
            none where they are.
    """
    name, settings = config.provider, dict(config.settings)
    if name == "observed":
        return load_provider(name, films=films, time_origin=time_origin, **settings)
    if films:
        raise RefineError(
            f"provider '{name}' takes no frames; expected none, or the provider 'observed'",
            code=ErrorCode.INVALID_TARGET,
        )
    if name == "video_diffusion" and not settings.get("model"):
        raise RefineError(
            "provider 'video_diffusion': no model folder; expected refine.settings.model: the folder of "
            "CogVideoX-5B image-to-video as diffusers saves it (docs/targets.md says where to get it)",
            code=ErrorCode.MISSING_MODEL,
        )
    return load_provider(name, **settings)
