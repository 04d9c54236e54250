"""The action ~/refine over DDS, with a stand-in for the optimisation: goals, feedback, cancelling, bad targets."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_msgs.action import Refine
from pw_msgs.msg import CameraView, RefineView, TargetFrame
from pw_ros.client import WorldClient
from pw_ros.convert.cameras import camera_to_info, viewmat_to_pose
from pw_ros.convert.images import numpy_to_compressed, numpy_to_image
from pw_ros.convert.refine import goal_to_changes
from support.ball_scene import ball_config
from support.ros_world import head, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
GREY = np.full((64, 96, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def node(tmp_path_factory, start_node):
    folder = tmp_path_factory.mktemp("world")
    (folder / "configs").mkdir()
    fields = {**ball_config().model_dump(mode="json", exclude_unset=True), "name": "ball"}
    (folder / "configs" / "ball.yaml").write_text(yaml.safe_dump(fields))
    return start_node(
        store=str(folder / "store"), config_dirs=[str(folder / "configs")], busy_policy="reject",
        world_factory="support.fake_world:FakeWorld",
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(node):
    with WorldClient() as client:
        client.wait_until_ready()
        yield client


@pytest.fixture
def world(client, node):
    """The client, on a fresh scene with one committed rollout of 0.1 s."""
    until(lambda: not node.gate.running)
    client.reconstruct("ball", replace=True)
    wind = parse_action({"type": "wind", "duration": 9, "direction": [0, 1, 0], "magnitude": 1})
    client.rollout([wind], 0.1, commit=True)
    client.result(20)
    return client


def film(*, camera: str = "photo", picture=GREY, ticks=(0, 20, 40, 60, 80, 100)) -> list[TargetFrame]:
    """Stamps [ms] after second 7; every other frame is compressed."""
    frames = []
    for k, t in enumerate(ticks):
        packed = k % 2 == 1
        body = {"compressed": numpy_to_compressed(picture)} if packed else {"image": numpy_to_image(picture)}
        frames.append(TargetFrame(camera=camera, stamp=Time(sec=7, nanosec=t * 1_000_000), **body))
    return frames


def test_a_goal_corrects_the_last_committed_trajectory(world) -> None:
    before = head(world)
    plain = world.render("photo")
    seen = []
    world.refine(film(), iterations=20, prompt="slow", time_origin=Time(sec=7), estimate=["wind"], commit=True)
    while not world.is_done():
        if world.feedback() is not None:
            seen.append(world.feedback())
        time.sleep(0.01)
    result = world.result(20)
    assert {f.stage for f in seen} == {"all views"} and all(f.iterations == 20 for f in seen)
    assert len({f.iteration for f in seen}) > 2 and all(f.loss == pytest.approx(1 / f.iteration) for f in seen)
    assert all(f.psnr == pytest.approx(19 + f.iteration) and f.eta == 1 for f in seen)
    assert result.parent == before and result.committed and head(world) == result.state_id
    assert result.iterations == 20 and result.after.loss == pytest.approx(0.05)
    assert (result.before.psnr_masked, result.after.psnr_masked) == (20, 30)
    assert result.after.mean_correction == pytest.approx(0.01)
    (wind,) = result.estimates
    assert (wind.name, wind.unit, wind.after, wind.deviation, wind.applied) == ("wind_x", "m/s^2", 1.0, 0.25, True)
    # What is played back has its own look, whatever the head's is.
    corrected = world.render("photo")
    assert not np.array_equal(corrected, plain)
    trajectories = {s.state_id: s.trajectory_id for s in world.states()}
    old = world.render("photo", trajectory_id=trajectories[before], time=0.1)
    assert np.array_equal(old, plain)
    new = world.render("photo", trajectory_id=trajectories[result.state_id], time=0.1)
    assert not np.array_equal(new, plain)


@pytest.mark.parametrize("keep", [False, True])
def test_cancelling_leaves_the_head_alone_and_keeps_the_best_if_told(world, keep: bool) -> None:
    before, states = head(world), {s.state_id for s in world.states()}
    world.refine(film(), iterations=1000, prompt="slow", keep_best_on_cancel=keep, commit=True)
    until(lambda: world.feedback() is not None)
    assert world.cancel()
    result = world.result(20)
    assert result.error_code == ErrorCode.CANCELED and not result.committed and bool(result.state_id) == keep
    assert head(world) == before
    assert {s.state_id for s in world.states()} - states == ({result.state_id} if keep else set())


def test_one_goal_at_a_time_with_rollouts(world) -> None:
    world.refine(film(), iterations=1000, prompt="slow")
    until(lambda: world.feedback() is not None)
    first = (world._goal, world._result)
    for again in (lambda: world.rollout([], 0.1), lambda: world.refine(film())):
        again()
        with pytest.raises(PWError) as caught:
            world.result(10)
        assert caught.value.code == ErrorCode.BUSY
    world._goal, world._result = first
    assert world.cancel() and world.result(10).error_code == ErrorCode.CANCELED


def test_a_killed_worker_fails_the_goal(world, node) -> None:
    before = head(world)
    world.refine(film(), iterations=1000, prompt="slow", commit=True)
    until(lambda: world.feedback() is not None)
    os.kill(node.worker.pid, signal.SIGKILL)
    with pytest.raises(PWError) as caught:
        world.result(30)
    assert caught.value.code == ErrorCode.WORKER_DIED
    assert node.worker.wait_ready(60)
    assert head(world) == before


def strong(strength: float) -> RefineView:
    return RefineView(view=CameraView(name="photo"), weight=1.0, strength=strength)


def test_views_by_name_and_with_a_camera_of_their_own(world, node) -> None:
    camera = node.camera("photo")
    own = CameraView(name="wrist", camera_info=camera_to_info(camera), pose=viewmat_to_pose(camera.viewmat))
    views = [RefineView(view=CameraView(name="photo")), RefineView(view=own)]
    world.refine(film(camera="wrist") + film(), views=views, iterations=2)
    assert world.result(20).iterations == 2
    big = GREY.repeat(2, 0).repeat(2, 1)
    world.refine(film(picture=big), views=views[:1], iterations=2)
    assert world.result(20).iterations == 2
    world.refine(film(), views=views)
    with pytest.raises(PWError, match="wrist") as caught:
        world.result(20)
    assert caught.value.code == ErrorCode.TARGET_CAMERA_UNKNOWN


def test_bad_targets_are_told_and_change_nothing(world) -> None:
    before, states = head(world), {s.state_id for s in world.states()}
    both = film()
    both[0].compressed = both[1].compressed
    mixed = film()
    mixed[2].image = numpy_to_image(GREY[:32])
    depth = film()
    depth[0].image = numpy_to_image(np.full((64, 96), np.nan, np.float32))
    for fields, code in (
        ({"frames": []}, ErrorCode.INVALID_TARGET),
        ({"frames": both}, ErrorCode.INVALID_TARGET),
        ({"frames": mixed}, ErrorCode.INVALID_TARGET),
        ({"frames": depth}, ErrorCode.INVALID_TARGET),
        ({"frames": film(picture=GREY * 0)}, ErrorCode.INVALID_TARGET),
        ({"frames": film(picture=GREY[:32])}, ErrorCode.INVALID_TARGET),
        ({"frames": film(ticks=(0, 40, 20))}, ErrorCode.INVALID_STAMPS),
        ({"frames": film(), "time_origin": Time(sec=3)}, ErrorCode.INVALID_STAMPS),
        ({"frames": film(camera="nope")}, ErrorCode.TARGET_CAMERA_UNKNOWN),
        ({"frames": film(), "views": [RefineView(view=CameraView(name="nope"))]}, ErrorCode.TARGET_CAMERA_UNKNOWN),
        ({"frames": film(), "views": [strong(1.5)]}, ErrorCode.INVALID_STRENGTH),
        ({"frames": film(), "trajectory_id": "t-none"}, ErrorCode.UNKNOWN_TRAJECTORY),
        ({"provider": "nobody"}, ErrorCode.UNKNOWN_PROVIDER),
        ({"frames": film(), "estimate": ["mood"]}, ErrorCode.INVALID_CONFIG),
    ):
        world.refine(**fields)
        with pytest.raises(PWError) as caught:
            world.result(20)
        assert caught.value.code == code and str(caught.value), (fields.keys(), caught.value)
    assert head(world) == before and {s.state_id for s in world.states()} == states


def test_a_goal_gives_each_view_its_own_strength() -> None:
    def goal(*strengths: float) -> Refine.Goal:
        return Refine.Goal(views=[RefineView(strength=s, weight=1.0) for s in strengths])

    assert goal_to_changes(goal(0.75, -1.0))["strengths"] == (0.75, None)
    assert "strengths" not in goal_to_changes(goal(-1.0, -1.0))
    for wrong in (1.5, float("nan")):
        with pytest.raises(PWError, match="0 to 1 each") as caught:
            goal_to_changes(goal(0.5, wrong))
        assert caught.value.code == ErrorCode.INVALID_STRENGTH
