"""Predictions on the view topics: matching stamps, and a playback whose pictures are drawn before it begins."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from pw_core.actions import parse_action
from pw_ros.convert.images import image_to_numpy
from pw_ros.interfaces.topics import playback
from pw_ros.worker.requests import ReconstructRequest
from support.ball_scene import ball_config
from support.ros_world import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
WIND = parse_action({"type": "wind", "name": "slow", "duration": 9, "direction": [0, 1, 0], "magnitude": 1})
BASE = "/perpetual_wonder/prediction"


@pytest.fixture(scope="module")
def node(tmp_path_factory, start_node):
    folder: Path = tmp_path_factory.mktemp("world")
    node = start_node(store=str(folder), world_factory="support.fake_world:FakeWorld", view_rate=10.0)
    assert node.worker.wait_ready(60)
    return node


@pytest.fixture(scope="module")
def world(node):
    from pw_ros.client import WorldClient

    node.worker.call(ReconstructRequest(config=ball_config()), timeout=60)
    with WorldClient() as client:
        client.wait_until_ready()
        yield client


@pytest.fixture
def listen(world, node):
    """`listen(kind, topic)`: a list that fills, once the node has seen the subscriber."""
    subscriptions = []

    def start(kind, topic: str) -> list:
        got: list = []
        subscriptions.append(world.node.create_subscription(kind, f"{BASE}/{topic}", got.append, 50))
        until(lambda: node.count_subscribers(f"{BASE}/{topic}") > 0)
        time.sleep(0.3)  # the publisher matches a little after the graph knows
        return got

    yield start
    for subscription in subscriptions:
        world.node.destroy_subscription(subscription)


def stamps(messages) -> list[tuple[int, int]]:
    return [(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages]


def test_pictures_of_a_running_rollout_have_the_particles_stamps(world, listen) -> None:
    images, depths = listen(Image, "view/photo/image_raw"), listen(Image, "view/photo/depth")
    infos, clouds = listen(CameraInfo, "view/photo/camera_info"), listen(PointCloud2, "particles")
    for messages in (images, depths, infos, clouds):
        messages.clear()
    world.rollout([WIND], 0.3)
    result = world.result(30)
    end = stamps(result.tracks)[0]
    until(lambda: len(set(stamps(images)) & set(stamps(clouds))) > 2)
    assert set(stamps(images)) <= set(stamps(clouds)), "each picture is of a frame"
    assert set(stamps(images)) | set(stamps(depths)) <= set(stamps(infos)) and min(stamps(images)) >= end


def test_who_comes_late_sees_the_prediction_and_not_the_head(world, listen) -> None:
    world.rollout([WIND], 0.3)
    result = world.result(30)
    images = listen(Image, "view/photo/image_raw")
    until(lambda: len(images) >= 2)
    wanted = world.render("photo", trajectory_id=result.trajectory_id, time=0.3)
    assert np.array_equal(image_to_numpy(images[-1]), wanted)
    assert not np.array_equal(wanted, world.render("photo"))


def test_every_frame_of_a_playback_has_its_picture(world, listen) -> None:
    world.rollout([WIND], 0.2)
    result = world.result(30)
    images, clouds = listen(Image, "view/photo/image_raw"), listen(PointCloud2, "particles")
    until(lambda: len(images) >= 1)
    images.clear()
    clouds.clear()
    world.call("PlayTrajectory", trajectory_id=result.trajectory_id, rate=0.5)
    until(lambda: len(set(stamps(clouds))) >= 11)
    time.sleep(0.3)
    played = sorted(set(stamps(clouds)))
    assert len(played) == 11 and set(played) <= set(stamps(images))
    first = next(m for m in images if stamps([m])[0] == played[0])
    last = next(m for m in images if stamps([m])[0] == played[-1])
    for message, at in ((first, 0.0), (last, 0.2)):
        drawn = world.render("photo", trajectory_id=result.trajectory_id, time=at)
        assert np.array_equal(image_to_numpy(message), drawn)


def test_what_does_not_fit_the_cache_is_drawn_as_it_plays(world, listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "CACHE_BYTES", 1000)
    world.rollout([WIND], 0.2)
    result = world.result(30)
    images, clouds = listen(Image, "view/photo/image_raw"), listen(PointCloud2, "particles")
    clouds.clear()
    world.call("PlayTrajectory", trajectory_id=result.trajectory_id, rate=0.2)
    until(lambda: len(set(stamps(clouds))) >= 11)
    until(lambda: len(set(stamps(images)) & set(stamps(clouds))) >= 3)


def test_a_playback_can_be_stopped_and_gives_way_to_a_rollout(world, listen) -> None:
    world.rollout([WIND], 0.2)
    result = world.result(30)
    clouds = listen(PointCloud2, "particles")
    for end in (lambda: world.call("PlayTrajectory", stop=True), lambda: world.rollout([], 0.04)):
        world.call("PlayTrajectory", trajectory_id=result.trajectory_id, loop=True)
        count = len(clouds)
        until(lambda c=count: len(clouds) > c + 15)
        end()
    assert world.result(30).error_code == 0
    time.sleep(0.3)
    count = len(clouds)
    time.sleep(0.5)
    assert len(clouds) == count


def test_another_scene_ends_a_playback(world, node, listen) -> None:
    world.rollout([WIND], 0.2)
    result = world.result(30)
    images, clouds = listen(Image, "view/photo/image_raw"), listen(PointCloud2, "particles")
    world.call("PlayTrajectory", trajectory_id=result.trajectory_id, loop=True)
    count = len(clouds)
    until(lambda: len(clouds) > count + 5 and images)
    node.worker.call(ReconstructRequest(config=ball_config().model_copy(update={"name": "other"})), timeout=60)
    until(lambda: world.status().scene_id == "other")
    time.sleep(0.2)
    count = len(clouds)
    time.sleep(0.5)
    assert len(clouds) == count and world.render("photo").shape == (64, 96, 3)
