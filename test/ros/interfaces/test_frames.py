"""Cameras and things on TF, with a stand-in for tf2_ros, which is not everywhere."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import count
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped

from pw_core.appearance import EntityPose
from support.ball_scene import ball_scene


class Broadcaster:
    def __init__(self, node) -> None:
        self.sent: list = []

    def sendTransform(self, transforms) -> None:
        self.sent.append(list(transforms))


class Buffer:
    """Holds the last transform of each name that was heard."""

    frames: str = "[]"

    def __init__(self) -> None:
        self.heard: dict[str, TransformStamped] = {}

    def all_frames_as_yaml(self) -> str:
        return self.frames

    def hear(self, *transforms: TransformStamped) -> None:
        self.heard |= {t.child_frame_id: t for t in transforms}

    def lookup_transform(self, target: str, source: str, time: object) -> TransformStamped:
        if source not in self.heard:
            raise LookupError(f"{source} passed to lookupTransform does not exist")
        assert self.heard[source].header.frame_id == target
        return self.heard[source]


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

    ticks = count(7)
    now = SimpleNamespace(to_msg=lambda: Time(sec=next(ticks)))
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
    assert (sent.header.frame_id, sent.child_frame_id, sent.header.stamp.sec) == ("table", "ball", 8)
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


def sent_by(frames) -> list:
    """What a world has put on TF last: its cameras and its things."""
    return [*frames._static.sent[-1], *frames._moving.sent[-1]]


def test_two_worlds_that_send_the_same_names_below_one_frame_are_told_with_what_helps(make_frames) -> None:
    one, two, third = make_frames(), make_frames(), make_frames("third/")
    for k, each in enumerate((one, two, third)):
        each.publish_cameras(ball_scene().cameras)
        each.publish_entities([ball((1.0 + k, 2, 3))])
    for listener in (one, two, third):
        for each in (one, two, third):
            listener._buffer.hear(*sent_by(each))
    told = one.contested()
    assert "ball" in told and "photo_optical" not in told and "frame_prefix" in told  # the cameras stand alike
    assert third.contested() == ""
    for _ in range(20):  # the other world is gone
        one.publish_entities([ball()])
        one._buffer.hear(*sent_by(one))
        told = one.contested()
    assert told == ""


def test_a_world_alone_is_never_told_of_another_however_late_its_own_words_come(make_frames) -> None:
    frames = make_frames()
    frames.publish_cameras(ball_scene().cameras)
    assert frames.contested() == ""
    for k in range(300):
        frames.publish_entities([ball((0.01 * k, 2, 3))])
        if k % 7 == 0:
            frames._buffer.hear(*sent_by(frames))
        assert frames.contested() == ""


def test_a_thing_called_as_a_camera_or_as_the_scenes_frame_is_told(make_frames) -> None:
    frames = make_frames()
    for name in ("table", "photo_optical"):
        frames.publish_cameras(ball_scene().cameras)
        frames.publish_entities([replace(ball(), name=name)])
        assert name in frames.contested() and "frame_prefix" in frames.contested()
