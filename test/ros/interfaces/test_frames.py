"""Cameras and things on TF, with a stand-in for tf2_ros, which is not everywhere."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from pw_core.appearance import EntityPose
from support.ball_scene import ball_scene


class Broadcaster:
    def __init__(self, node) -> None:
        self.sent: list = []

    def sendTransform(self, transforms) -> None:
        self.sent.append(list(transforms))


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch):
    tf2 = ModuleType("tf2_ros")
    tf2.Buffer, tf2.TransformListener = object, lambda buffer, node: None
    tf2.StaticTransformBroadcaster, tf2.TransformBroadcaster = Broadcaster, type("Moving", (Broadcaster,), {})
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2)
    from pw_ros.interfaces.frames import Frames

    now = SimpleNamespace(to_msg=lambda: Time(sec=7))
    node = SimpleNamespace(get_clock=lambda: SimpleNamespace(now=lambda: now), get_logger=lambda: None)
    return Frames(node, "table")


def test_cameras_are_static_and_things_move_under_their_names(frames) -> None:
    scene = ball_scene()
    frames.publish_cameras(scene.cameras)
    ((camera,),) = frames._static.sent
    assert (camera.header.frame_id, camera.child_frame_id) == ("table", "photo_optical")
    assert camera.transform.translation.z == pytest.approx(0.2)
    zero = np.zeros(3)
    pose = EntityPose("ball", "deformable", np.array([1.0, 2, 3]), np.array([0.8, 0, 0, 0.6]), zero, zero, np.eye(2, 3))
    frames.publish_entities([pose])
    ((ball,),) = frames._moving.sent
    assert (ball.header.frame_id, ball.child_frame_id, ball.header.stamp.sec) == ("table", "ball", 7)
    t, q = ball.transform.translation, ball.transform.rotation
    assert [t.x, t.y, t.z] == [1, 2, 3] and [q.w, q.z] == pytest.approx([0.8, 0.6])
    frames.publish_entities([])
    assert len(frames._moving.sent) == 1
