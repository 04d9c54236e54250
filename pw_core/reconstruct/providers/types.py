"""What providers for a single photo are given and give back, and how one is found by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from pw_core.config import ProviderConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32
from pw_core.plugins import PluginGroup, load_plugin
from pw_core.progress import Progress
from pw_core.reconstruct.types import Rgb

Kind = Literal["auto", "depth", "disparity"]

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class DepthGuess:
    """values (H, W) of the photo's size, 0 where unknown. kind: `depth` grows with the distance along the optical axis,
    `disparity` with its inverse; either up to scale and offset. `auto`: whichever fits the table better."""

    values: F32
    kind: Kind = "auto"


@runtime_checkable
class DepthProvider(Protocol):
    """Depth of one photo. Made from its settings: `Provider(**settings)`."""

    name: str

    def depth(self, photo: Rgb, *, folder: Path, progress: Progress) -> DepthGuess:
        """Of that photo (H, W, 3); `folder` is for files on the way."""
        ...


@runtime_checkable
class ViewsProvider(Protocol):
    """More pictures of what one photo shows, as from a camera that moves. Made from its settings."""

    name: str

    def views(self, photo: Rgb, *, folder: Path, progress: Progress) -> dict[str, Rgb]:
        """By file name, each of the photo's size (H, W, 3); what is in `folder` from an earlier call is used again."""
        ...


VIEWS = PluginGroup(
    group="pw_core.views_providers", what="views provider", key="reconstruct.more_views",
    built_in={"gen3c": "pw_core.reconstruct.providers.gen3c:Gen3c"}, protocol=ViewsProvider, needs="name and views()",
    error=ReconstructError, unknown=ErrorCode.INVALID_CONFIG, failed=ErrorCode.INVALID_CONFIG,
)  # fmt: skip
DEPTH = PluginGroup(
    group="pw_core.depth_providers", what="depth provider", key="reconstruct.depth",
    built_in={
        "transformers": "pw_core.reconstruct.providers.depth_model:DepthModel",
        "program": "pw_core.reconstruct.providers.depth_program:DepthProgram",
    },
    protocol=DepthProvider, needs="name and depth()", error=ReconstructError, unknown=ErrorCode.INVALID_CONFIG,
    failed=ErrorCode.INVALID_CONFIG,
)  # fmt: skip


def load_provider(config: ProviderConfig, group: PluginGroup) -> Any:
    """The provider of that name, made from its settings. Built-in names go first.

    Raises:
        ReconstructError (INVALID_CONFIG): a name nobody has, one that cannot be imported, settings it does not take, or
            one that is no such provider.
    """
    return load_plugin(group, config.provider, config.settings)


def settings_of(model: type[S], settings: dict[str, Any], *, key: str) -> S:
    """The settings as that model.

    Raises:
        ReconstructError (INVALID_CONFIG): each fault with its path.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        lines = [f"{'.'.join([key, *map(str, e['loc'])])}: {e['msg']}" for e in error.errors()]
        raise ReconstructError("; ".join(lines), code=ErrorCode.INVALID_CONFIG) from None
