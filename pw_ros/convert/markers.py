"""What RViz shows beside the particles: names and bounds of entities, and arrows of actions. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from pw_msgs.msg import EntityState, PhysicalAction

COLORS = {
    "deformable": (0.95, 0.65, 0.2),
    "rigid": (0.35, 0.6, 0.95),
    "tool": (0.5, 0.85, 0.5),
    "gravity": (0.7, 0.7, 0.7),
    "wind": (0.4, 0.8, 1.0),
    "push": (1.0, 0.35, 0.3),
    "poke": (0.9, 0.3, 0.9),
}
ARROW_LENGTH = 0.12
"""[m] of an action's arrow, whatever its magnitude: newtons and m/s^2 have no common length; the text says how much."""

_UNITS = {"gravity": "m/s²", "wind": "m/s²", "push": "N", "poke": "N"}
_BOX_EDGES = [(i, j) for i in range(8) for j in range(i + 1, 8) if (i ^ j).bit_count() == 1]


class _Head(NamedTuple):
    frame_id: str
    stamp: Time | None


def scene_to_markers(
    states: Iterable[EntityState],
    actions: Iterable[PhysicalAction] = (),
    *,
    frame_id: str = "",
    stamp: Time | None = None,
) -> MarkerArray:
    """Names and bounding boxes of entities, arrows and spheres of actions, tools' paths as lines.

    The first marker deletes all earlier ones, so that what is gone from the world goes from the screen, and a late
    subscriber of the latched topic sees exactly what is there.
    """
    head = _Head(frame_id, stamp)
    markers = [_marker(head, "entities", 0, Marker.DELETEALL)]
    for index, state in enumerate(states):
        markers += _entity(head, index, state)
    for index, action in enumerate(actions):
        markers += _tool(head, index, action) if action.type == PhysicalAction.TOOL else _force(head, index, action)
    return MarkerArray(markers=markers)


def _marker(head: _Head, namespace: str, index: int, kind: int, color: tuple[float, ...] = (1, 1, 1)) -> Marker:
    marker = Marker(ns=namespace, id=index, action=Marker.ADD)
    if kind == Marker.DELETEALL:
        marker.action = Marker.DELETEALL
    else:
        marker.type = kind
    marker.header.frame_id = head.frame_id
    if head.stamp is not None:
        marker.header.stamp = head.stamp
    marker.pose.orientation.w = 1.0
    marker.color = ColorRGBA(r=float(color[0]), g=float(color[1]), b=float(color[2]), a=1.0)
    return marker


def _text(head: _Head, namespace: str, index: int, text: str, at: Point, color: tuple[float, ...]) -> Marker:
    marker = _marker(head, namespace, index, Marker.TEXT_VIEW_FACING, color)
    marker.text = text
    marker.pose.position = at
    marker.scale.z = 0.02  # [m] height of a capital letter
    return marker


def _entity(head: _Head, index: int, state: EntityState) -> list[Marker]:
    color = COLORS.get(state.kind, (1.0, 1.0, 1.0))
    low, high = state.bounds_min, state.bounds_max
    box = _marker(head, "bounds", index, Marker.LINE_LIST, color)
    box.scale.x = 0.0015
    corners = [
        Point(x=(low.x, high.x)[i & 1], y=(low.y, high.y)[i >> 1 & 1], z=(low.z, high.z)[i >> 2 & 1]) for i in range(8)
    ]
    box.points = [corners[i] for edge in _BOX_EDGES for i in edge]
    above = Point(x=(low.x + high.x) / 2, y=(low.y + high.y) / 2, z=high.z + 0.02)
    return [box, _text(head, "names", index, state.name, above, color)]


def _force(head: _Head, index: int, action: PhysicalAction) -> list[Marker]:
    direction: NDArray[np.float64] = np.array([action.direction.x, action.direction.y, action.direction.z])
    length = float(np.linalg.norm(direction))
    if not math.isfinite(length) or length == 0:
        return []
    color = COLORS.get(action.type, (1.0, 1.0, 1.0))
    head = _Head(action.header.frame_id or head.frame_id, head.stamp)
    tip = np.array([action.center.x, action.center.y, action.center.z])
    tail = tip - direction / length * ARROW_LENGTH
    arrow = _marker(head, "actions", index, Marker.ARROW, color)
    arrow.points = [Point(x=float(p[0]), y=float(p[1]), z=float(p[2])) for p in (tail, tip)]
    arrow.scale.x, arrow.scale.y, arrow.scale.z = 0.006, 0.014, 0.02  # shaft and head diameters, head length [m]
    text = f"{action.name or action.type} {action.magnitude:.3g} {_UNITS.get(action.type, '')}"
    markers = [arrow, _text(head, "action names", index, text, arrow.points[0], color)]
    if action.radius > 0:
        region = _marker(head, "action regions", index, Marker.SPHERE, color)
        region.pose.position = action.center
        region.scale.x = region.scale.y = region.scale.z = 2 * action.radius
        region.color.a = 0.15
        markers.append(region)
    return markers


def _tool(head: _Head, index: int, action: PhysicalAction) -> list[Marker]:
    if not action.poses:
        return []
    head = _Head(action.header.frame_id or head.frame_id, head.stamp)
    path = _marker(head, "actions", index, Marker.LINE_STRIP, COLORS["tool"])
    path.scale.x = 0.003
    # RViz draws nothing for a strip of one point.
    path.points = [p.position for p in action.poses] if len(action.poses) > 1 else [action.poses[0].position] * 2
    name = action.name or f"{action.type} {action.entity}"
    return [path, _text(head, "action names", index, name, action.poses[0].position, COLORS["tool"])]
