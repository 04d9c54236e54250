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


class Buffer:
    frames: str = "[]"

    def all_frames_as_yaml(self) -> str:
        return self.frames


def ball(position=(1.0, 2, 3)) -> EntityPose:
    zero = np.zeros(3)
    return EntityPose("ball", "deformable", np.array(position), np.array([0.8, 0, 0, 0.6]), zero, zero, np.eye(2, 3))


@pytest.fixture
def make_frames(monkeypatch: pytest.MonkeyPatch):
    tf2 = ModuleType("tf2_ros")
    tf2.Buffer, tf2.TransformListener = Buffer, lambda buffer, node: None
    tf2.StaticTransformBroadcaster, tf2.TransformBroadcaster = Broadcaster, type("Moving", (Broadcaster,), {})
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2)
    from pw_ros.interfaces.frames import Frames

    now = SimpleNamespace(to_msg=lambda: Time(sec=7))
    node = SimpleNamespace(get_clock=lambda: SimpleNamespace(now=lambda: now), get_logger=lambda: None)
    return lambda prefix="": Frames(node, "table", prefix)


@pytest.fixture
def frames(make_frames):
    return make_frames()


def test_cameras_are_static_and_things_move_under_their_names(frames) -> None:
    scene = ball_scene()
    frames.publish_cameras(scene.cameras)
    ((camera,),) = frames._static.sent
    assert (camera.header.frame_id, camera.child_frame_id) == ("table", "photo_optical")
    assert camera.transform.translation.z == pytest.approx(0.2)
    frames.publish_entities([ball()])
    ((sent,),) = frames._moving.sent
    assert (sent.header.frame_id, sent.child_frame_id, sent.header.stamp.sec) == ("table", "ball", 7)
    t, q = sent.transform.translation, sent.transform.rotation
    assert [t.x, t.y, t.z] == [1, 2, 3] and [q.w, q.z] == pytest.approx([0.8, 0.6])
    frames.publish_entities([])
    assert len(frames._moving.sent) == 1


def test_a_prefix_stands_before_cameras_and_things_and_not_before_the_scenes_frame(make_frames) -> None:
    frames = make_frames("wonder/")
    frames.publish_cameras(ball_scene().cameras)
    frames.publish_entities([ball()])
    sent = [t for messages in (*frames._static.sent, *frames._moving.sent) for t in messages]
    assert [t.child_frame_id for t in sent] == ["wonder/photo_optical", "wonder/ball"]
    assert {t.header.frame_id for t in sent} == {"table"} and frames.optical("photo") == "wonder/photo_optical"


@pytest.mark.parametrize("prefix", ["/wonder/", "my robot/", "~/", "ä_"])
def test_a_prefix_that_tf_would_not_take_is_refused(make_frames, prefix: str) -> None:
    with pytest.raises(ValueError, match="frame_prefix"):
        make_frames(prefix)


def test_a_name_that_a_robot_has_too_is_told_with_what_helps(frames, make_frames) -> None:
    ours = "ball:\n  parent: 'table'\nlink1:\n  parent: 'base'\n"
    robots = "ball:\n  parent: 'gripper'\nphoto_optical:\n  parent: 'head'\n"
    prefixed = make_frames("wonder/")
    for each in (frames, prefixed):
        each.publish_cameras(ball_scene().cameras)
        each.publish_entities([ball()])
    frames._buffer.frames = ours
    assert frames.contested() == ""
    frames._buffer.frames = prefixed._buffer.frames = robots
    told = frames.contested()
    assert "ball (below gripper), photo_optical (below head)" in told and "frame_prefix" in told
    assert prefixed.contested() == ""
    frames._buffer.frames = "a: b: {"
    assert frames.contested() == ""
