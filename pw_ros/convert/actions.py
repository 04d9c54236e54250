"""Physical actions to and from `pw_msgs/PhysicalAction`: pure functions that need no node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from std_msgs.msg import Header

from pw_core.actions import Action, parse_action
from pw_core.errors import ErrorCode
from pw_msgs.msg import PhysicalAction
from pw_ros.convert.geometry import (
    ConversionError,
    arrays_to_pose,
    finite,
    matrix_to_wxyz,
    pose_to_matrix,
    xyz_to_point,
    xyz_to_vector,
)

ACTION_TYPES = ("gravity", "wind", "push", "poke", "tool")


def action_to_fields(message: PhysicalAction, *, to_world: ArrayLike | None = None) -> dict[str, Any]:
    """The fields of an action as they stand in a scene's YAML file, in the scene's world frame, ready for `pw_core`'s
    own checks. A field that its type does not use, or that is empty, is left out, so that defaults apply.

    Args:
        message: the action.
        to_world: transform (4, 4) from `message.header.frame_id` to the world; none: it is in the world frame.

    Raises:
        ConversionError (INVALID_ACTION): an unknown type, a number that is not finite, or bad poses.
    """
    code = ErrorCode.INVALID_ACTION
    kind = message.type
    where = f"action '{message.name or kind}'"
    if kind not in ACTION_TYPES:
        raise ConversionError(f"{where}: type '{kind}' is not known; use one of {', '.join(ACTION_TYPES)}", code=code)
    world = np.eye(4) if to_world is None else np.asarray(to_world, dtype=np.float64)

    def number(name: str) -> float:
        return float(finite(getattr(message, name), f"{where}: {name}", code))

    fields: dict[str, Any] = {"type": kind, "start": number("start"), "duration": number("duration")}
    if message.name:
        fields["name"] = message.name
    if message.entity:
        fields["entity"] = message.entity
    if kind == "tool":
        poses = [pose_to_matrix(p, what=f"{where}: poses[{i}]", code=code) for i, p in enumerate(message.poses)]
        if not poses or len(poses) != len(message.times):
            raise ConversionError(
                f"{where}: a tool needs as many times as poses, and one or more: {len(poses)} poses, "
                f"{len(message.times)} times",
                code=code,
            )
        if message.relative:
            # A displacement seen from turned axes: W D W^-1 with W's rotation; where the axes begin does not matter.
            turn = np.eye(4)
            turn[:3, :3] = world[:3, :3]
            poses = [turn @ p @ turn.T for p in poses]
            fields["relative"] = True
        else:
            poses = [world @ p for p in poses]
        fields["times"] = finite(message.times, f"{where}: times", code).tolist()
        fields["poses"] = [
            {"position": t[:3, 3].tolist(), "orientation": matrix_to_wxyz(t[:3, :3]).tolist()} for t in poses
        ]
        return fields
    d = message.direction
    direction = world[:3, :3] @ finite([d.x, d.y, d.z], f"{where}: direction", code)
    fields["magnitude"] = number("magnitude")
    fields["direction"] = direction.tolist()
    if kind != "gravity":
        c = message.center
        center = finite([c.x, c.y, c.z], f"{where}: center", code)
        fields["center"] = (world[:3, :3] @ center + world[:3, 3]).tolist()
        fields["radius"] = number("radius")
        if message.falloff:
            fields["falloff"] = message.falloff
    return fields


def fields_to_action(fields: Mapping[str, Any], *, frame_id: str = "") -> PhysicalAction:
    """A message of an action's fields (see `action_to_fields`); `None` and missing ones keep the message's zeros."""
    message = PhysicalAction(header=Header(frame_id=frame_id), type=str(fields["type"]))
    for name in ("name", "entity", "falloff"):
        if fields.get(name):
            setattr(message, name, str(fields[name]))
    for name in ("start", "duration", "radius", "magnitude"):
        if fields.get(name) is not None:
            setattr(message, name, float(fields[name]))
    if fields.get("center") is not None:
        message.center = xyz_to_point(fields["center"])
    if fields.get("direction") is not None:
        message.direction = xyz_to_vector(fields["direction"])
    message.poses = [arrays_to_pose(p["position"], p["orientation"]) for p in fields.get("poses") or ()]
    message.times = [float(t) for t in fields.get("times") or ()]
    message.relative = bool(fields.get("relative"))
    return message


def message_to_action(message: PhysicalAction, *, to_world: ArrayLike | None = None) -> Action:
    """The action of a message, in the world frame (see `action_to_fields`).

    Raises:
        ConversionError, RolloutError: both with INVALID_ACTION and the field's name.
    """
    return parse_action(action_to_fields(message, to_world=to_world))


def action_to_message(action: Action, *, frame_id: str = "") -> PhysicalAction:
    """The message of an action, in the world's frame."""
    return fields_to_action(action.model_dump(), frame_id=frame_id)
