"""What RViz is given to show."""

import math

import numpy as np
import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Vector3
from visualization_msgs.msg import Marker, MarkerArray

from pw_msgs.msg import EntityState, PhysicalAction
from pw_ros.convert import markers


def state(name: str = "dough", kind: str = "deformable") -> EntityState:
    return EntityState(
        name=name, kind=kind, bounds_min=Point(x=0.3, y=-0.1, z=0.0), bounds_max=Point(x=0.5, y=0.1, z=0.04)
    )


def push(**changes: object) -> PhysicalAction:
    fields: dict[str, object] = {
        "type": "push", "name": "nudge", "start": 0.1, "duration": 0.2, "entity": "dough",
        "center": Point(x=0.4, y=0.1, z=0.02), "direction": Vector3(x=1.0), "radius": 0.05, "magnitude": 2.0,
        "falloff": "gaussian",
    }  # fmt: skip
    return PhysicalAction(**(fields | changes))


def by_namespace(message: MarkerArray) -> dict[str, list[Marker]]:
    result: dict[str, list[Marker]] = {}
    for marker in message.markers:
        result.setdefault(marker.ns, []).append(marker)
    return result


def test_markers_of_entities() -> None:
    message = markers.scene_to_markers([state(), state("pin", "rigid")], frame_id="world", stamp=Time(sec=2))
    assert message.markers[0].action == Marker.DELETEALL
    found = by_namespace(message)
    assert [m.text for m in found["names"]] == ["dough", "pin"]
    box = found["bounds"][0]
    assert len(box.points) == 24  # twelve edges
    lengths = sorted(math.dist((a.x, a.y, a.z), (b.x, b.y, b.z)) for a, b in zip(box.points[::2], box.points[1::2]))
    np.testing.assert_allclose(lengths, [0.04] * 4 + [0.2] * 8)
    assert all(m.header.frame_id == "world" and m.header.stamp.sec == 2 for m in message.markers)
    keys = [(m.ns, m.id) for m in message.markers[1:]]
    assert len(keys) == len(set(keys))


def test_markers_of_actions() -> None:
    tool = PhysicalAction(type="tool", entity="pin", poses=[Pose(), Pose(position=Point(x=0.3))], times=[0.0, 1.0])
    still = push(direction=Vector3(), name="nothing")
    found = by_namespace(markers.scene_to_markers([], [push(magnitude=2.5), tool, still], frame_id="world"))
    arrow = found["actions"][0]
    assert arrow.type == Marker.ARROW
    assert (arrow.points[1].x, arrow.points[1].y) == (0.4, 0.1)  # the tip is where the force acts
    assert arrow.points[0].x == pytest.approx(0.4 - markers.ARROW_LENGTH)
    assert found["action names"][0].text == "nudge 2.5 N"
    assert found["action regions"][0].scale.x == pytest.approx(0.1)
    assert [p.x for p in found["actions"][1].points] == [0.0, 0.3]
    assert len(found["actions"]) == 2  # an action without direction has no arrow
