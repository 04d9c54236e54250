"""A scene's configuration out of a message: what it may say, and what only the node's own files may."""

from __future__ import annotations

from typing import Any

from pw_core.config import SceneConfig
from pw_core.documents.reading import DocumentError, parse_yaml
from pw_core.errors import ErrorCode, PWError

NOT_BY_MESSAGE = (
    "reconstruct.depth", "reconstruct.more_views", "reconstruct.views.sam2.checkpoint", "refine.provider",
    "refine.settings",
)  # fmt: skip
"""Fields that name a program or a file, which a message may not: those are of the node's scene files. `photo` is one
too, and is passed over, since pictures come with the message or by its input_uri."""


def yaml_to_config(text: str) -> SceneConfig:
    """The configuration that `config_yaml` holds.

    Raises:
        PWError (INVALID_CONFIG): no YAML, a fault in it, or a field of NOT_BY_MESSAGE.
    """
    try:
        fields = parse_yaml(text)
    except DocumentError as error:
        raise PWError(f"config_yaml: {error}", code=ErrorCode.INVALID_CONFIG) from None
    config = SceneConfig.parse(fields, source="config_yaml").model_copy(update={"photo": ""})
    named = [path for path in NOT_BY_MESSAGE if _is_set(config, path)]
    if named:
        raise PWError(
            f"config_yaml: {' and '.join(named)} would run a program or read a file; a message may not name one, a "
            "scene configuration of the node may", code=ErrorCode.INVALID_CONFIG,
        )  # fmt: skip
    return config


def _is_set(config: SceneConfig, path: str) -> bool:
    *parents, name = path.split(".")
    part: Any = config
    for parent in parents:
        part = getattr(part, parent)
    default = type(part).model_fields[name].get_default(call_default_factory=True)
    return bool(getattr(part, name) != default)
