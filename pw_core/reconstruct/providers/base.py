"""What providers for a single photo are given and give back, and how one is found by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from pw_core.config import ProviderConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32
from pw_core.progress import Progress
from pw_core.reconstruct.types import Rgb

Kind = Literal["auto", "depth", "disparity"]

VIEWS_GROUP, DEPTH_GROUP = "pw_core.views_providers", "pw_core.depth_providers"
"""The entry-point groups in which other packages announce theirs."""
BUILT_IN = {
    VIEWS_GROUP: {"gen3c": "pw_core.reconstruct.providers.gen3c:Gen3c"},
    DEPTH_GROUP: {
        "transformers": "pw_core.reconstruct.providers.depth_model:DepthModel",
        "program": "pw_core.reconstruct.providers.depth_program:DepthProgram",
    },
}
KEYS = {VIEWS_GROUP: "reconstruct.more_views", DEPTH_GROUP: "reconstruct.depth"}

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


def load_provider(config: ProviderConfig, group: str) -> Any:
    """The provider of that name, made from its settings. Built-in names go first.

    Raises:
        ReconstructError (INVALID_CONFIG): a name nobody has, one that cannot be imported, or settings it does not take.
    """
    key, name, built_in = KEYS[group], config.provider, BUILT_IN[group]
    if name in built_in:
        module, _, attribute = built_in[name].partition(":")
        make: Callable[..., Any] = getattr(import_module(module), attribute)
    else:
        found = [e for e in entry_points(group=group) if e.name == name]
        if not found:
            known = sorted({*built_in, *(e.name for e in entry_points(group=group))})
            raise ReconstructError(
                f"{key}.provider: '{name}' is not known; there are: {', '.join(known)}. Others announce themselves in "
                f"the entry-point group '{group}'", code=ErrorCode.INVALID_CONFIG,
            )  # fmt: skip
        try:
            make = found[0].load()
        except Exception as error:
            raise ReconstructError(f"{key}.provider: '{name}' ({found[0].value}) cannot be imported: {error}",
                                   code=ErrorCode.INVALID_CONFIG) from error  # fmt: skip
    try:
        return make(**config.settings)
    except TypeError as error:
        raise ReconstructError(f"{key}.settings: '{name}' does not take {sorted(config.settings)}: {error}",
                               code=ErrorCode.INVALID_CONFIG) from error  # fmt: skip


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
