"""Entity prompts of a reconstruct request as entries of a scene configuration: pure functions that need no node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode
from pw_msgs.msg import EntityPrompt
from pw_ros.convert.geometry import ConversionError


def prompt_to_fields(message: EntityPrompt, *, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of `pw_core.config.EntityConfig` that a prompt gives, over those of `base` (an entity of a
    configuration, as plain data); what the message leaves empty stays as it is there.

    Raises:
        ConversionError (INVALID_PROMPT): a box without four numbers, a parameter that is not a number, or an
            unknown kind.
    """
    where = f"entity '{message.name}'"
    fields: dict[str, Any] = dict(base or {"name": message.name})
    if message.box:
        if len(message.box) != 4:
            raise ConversionError(
                f"{where}: box must be [left, top, right, bottom], got {len(message.box)} numbers",
                code=ErrorCode.INVALID_PROMPT,
            )
        fields["prompt"] = {**fields.get("prompt", {}), "box": [float(v) for v in message.box]}
    if message.points:
        fields["prompt"] = {
            **fields.get("prompt", {}),
            "points": [(p.x, p.y) for p in message.points if p.z > 0],
            "negative_points": [(p.x, p.y) for p in message.points if p.z <= 0],
        }
    material = dict(fields.get("material", {}))
    if message.material:
        # Another substance: the parameters of the one before say nothing about it.
        if message.material != material.get("model"):
            material = {}
        material["model"] = message.material
    for item in message.material_params:
        try:
            material[item.key] = float(item.value)
        except ValueError:
            raise ConversionError(
                f"{where}: material parameter {item.key} must be a number, got '{item.value}'",
                code=ErrorCode.INVALID_PROMPT,
            ) from None
    if material:
        fields["material"] = material
    if message.kind:
        if message.kind not in ("deformable", "rigid", "tool"):
            raise ConversionError(
                f"{where}: kind '{message.kind}' is not known; use deformable, rigid or tool",
                code=ErrorCode.INVALID_PROMPT,
            )
        if (message.kind == "deformable") == (material.get("model") == "rigid"):
            raise ConversionError(
                f"{where}: a {message.kind} entity cannot be of material '{material.get('model', '')}'",
                code=ErrorCode.INVALID_PROMPT,
            )
        fields["tool"] = message.kind == "tool"
    if message.above:
        fields["above"] = message.above
    if message.diameter:
        fields["diameter_m"] = message.diameter
    if message.depth_ratio:
        fields["depth_ratio"] = message.depth_ratio
    if message.revolved:
        fields["shape"] = "revolve"
    return fields


def with_prompts(config: SceneConfig, prompts: Sequence[EntityPrompt]) -> SceneConfig:
    """The configuration with prompts laid over its entities by name. Entities that no prompt names are left out: the
    request says what is in its picture. No prompts at all: the configuration as it is.

    The configuration's rounds are dropped when they act on an entity that is no longer there.

    Raises:
        ConversionError (INVALID_PROMPT): see `prompt_to_fields`.
        SceneError (INVALID_CONFIG): the result is no valid configuration; the message names the field.
    """
    if not prompts:
        return config
    fields = config.model_dump(exclude_unset=True)
    known = {entity["name"]: entity for entity in fields["entities"]}
    fields["entities"] = [prompt_to_fields(p, base=known.get(p.name)) for p in prompts]
    names = {p.name for p in prompts}
    acted_on = {action.entity for round_ in config.rounds for action in round_.actions if action.entity}
    if not acted_on <= names:
        fields.pop("rounds", None)
    return SceneConfig.parse(fields, source="reconstruct request")
