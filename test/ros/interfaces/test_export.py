"""~/export and the topics of things over DDS, with the stand-in world."""

from __future__ import annotations

import os
import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from plyfile import PlyData
from sensor_msgs.msg import CameraInfo, PointCloud2

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode
from pw_ros.convert.clouds import cloud_to_arrays
from pw_ros.convert.geometry import time_after
from pw_ros.interfaces.topics.things import path_type
from pw_ros.qos import LATCHED
from support.ball_scene import ball_scene
from support.ros_world import code_of, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SPLATS = "/perpetual_wonder/prediction/splats"
WIND = parse_action({"type": "wind", "duration": 9, "direction": [0, 1, 0], "magnitude": 1})


@pytest.fixture(scope="module")
def node(tmp_path_factory, start_node):
    from pw_core.world import World

    store = tmp_path_factory.mktemp("exporting") / "store"
    World(store).adopt(ball_scene())
    return start_node(
        store=str(store), scene="ball", view_rate=30.0, frame_prefix="wonder/",
        world_factory="support.fake_world:FakeWorld",
    )  # fmt: skip


@pytest.fixture(scope="module")
def world(node):
    from pw_ros.client import WorldClient

    with WorldClient() as client:
        client.wait_until_ready()
        yield client


def exported(world, name: str, **fields):
    world.export(name, **fields)
    return world.result(100)  # the first may compile kernels


def folder(node) -> Path:
    return Path(node.get_parameter("store").value) / ".exports"


def test_a_state_and_a_trajectory_are_exported_into_the_stores_folder(world, node) -> None:
    world.rollout([WIND], 0.1, commit=True)
    trajectory = world.result(20).trajectory_id
    still = exported(world, "head.ply")
    path = folder(node) / "head.ply"
    assert (still.path, still.size) == (str(path), path.stat().st_size)
    assert len(PlyData.read(str(path))["vertex"]) == len(ball_scene().foreground) + len(ball_scene().background)
    assert np.load(exported(world, "last.npz", trajectory_id="last").path)["positions"].shape == (6, 300, 3)
    frames = Path(exported(world, "frames", trajectory_id=trajectory).path)
    assert len(list(frames.glob("*.ply"))) == 6
    one = exported(world, "one.ply", trajectory_id=trajectory, at_time=True, time=0.04)
    assert one.size == still.size and one.wall_time > 0


def test_names_lead_nowhere_else_and_what_is_there_stays(world, node) -> None:
    exported(world, "twice.ply", replace=True)
    codes = {
        ErrorCode.INVALID_NAME: ["../x.ply", "/tmp/x.ply", "a/b.ply", "", ".ply", "x..ply", "a b.ply"],
        ErrorCode.STORE_FAILED: ["x.exe", "twice.ply"],
    }
    for code, names in codes.items():
        for name in names:
            world.export(name)
            assert code_of(world.result, 20) == code, name
    for fields, code in (
        ({"state_id": "nope"}, ErrorCode.UNKNOWN_STATE), ({"trajectory_id": "nope"}, ErrorCode.UNKNOWN_TRAJECTORY),
        ({"at_time": True}, ErrorCode.INVALID_TIME), ({"state_id": "root", "trajectory_id": "last"}, 502),
    ):  # fmt: skip
        world.export("y.ply", **fields)
        assert code_of(world.result, 20) == code, fields
    before = (folder(node) / "twice.ply").stat().st_ino
    assert exported(world, "twice.ply", replace=True).path and (folder(node) / "twice.ply").stat().st_ino != before
    assert not list(folder(node).glob(".export-*")) and not (folder(node) / "y.ply").exists()


def test_feedback_rises_and_a_cancelled_export_leaves_nothing(world, node) -> None:
    world.rollout([WIND], 10.0, frame_interval=0.01)
    trajectory = world.result(60).trajectory_id
    world.export("long", trajectory_id=trajectory)
    seen = []
    until(lambda: world.feedback() is not None and (seen.append(world.feedback().fraction) or seen[-1] > 0.02))
    assert seen == sorted(seen) and world.feedback().eta > 0 and world.feedback().stage == "writing"
    assert world.cancel()
    assert world.result(20).error_code == ErrorCode.CANCELED
    assert not (folder(node) / "long").exists() and not list(folder(node).glob(".export-*"))


def test_what_a_killed_worker_had_half_written_is_swept_by_the_next(world, node) -> None:
    world.rollout([WIND], 10.0, frame_interval=0.01, commit=True)
    trajectory = world.result(60).trajectory_id
    world.export("killed", trajectory_id=trajectory)
    until(lambda: world.feedback() is not None and world.feedback().fraction > 0.01)
    starts = node.worker.starts
    os.kill(node.worker.pid, signal.SIGKILL)
    assert code_of(world.result, 60) == ErrorCode.WORKER_DIED
    until(lambda: node.worker.starts > starts)
    assert node.worker.wait_ready(60)
    assert not list(folder(node).glob(".export-*")) and not (folder(node) / "killed").exists()


def test_a_full_disk_leaves_nothing_half_written(world, node) -> None:
    before = resource.prlimit(node.worker.pid, resource.RLIMIT_FSIZE)
    for name in ("full.ply", "full.mcap", "full.rrd", "full.usd", "full.glb"):
        resource.prlimit(node.worker.pid, resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            world.export(name)
            assert code_of(world.result, 60) == ErrorCode.STORE_FAILED, name
        finally:
            resource.prlimit(node.worker.pid, resource.RLIMIT_FSIZE, before)
        assert not (folder(node) / name).exists() and not list(folder(node).glob(".export-*")), name


@contextmanager
def listening(world, kind, topic: str, got: list, qos=1):
    """What is heard meanwhile; a test that fails leaves no listener to the next."""
    subscription = world.node.create_subscription(kind, f"/perpetual_wonder/{topic}", got.append, qos)
    try:
        yield subscription
    finally:
        world.node.destroy_subscription(subscription)


def test_splats_and_poses_are_those_of_the_head_and_come_to_who_is_late(world, node) -> None:
    world.call("Reset")
    things: list = []
    ground: list = []
    poses: list = []
    for _ in range(2):  # the second time, listeners are late
        for got in (things, ground, poses):
            got.clear()
        with (
            listening(world, PointCloud2, "splats", things),
            listening(world, PointCloud2, "background/splats", ground),
            listening(world, PoseStamped, "entities/ball/pose", poses, LATCHED),
        ):
            until(lambda: things and ground and poses)
    cloud = cloud_to_arrays(things[-1])
    scene = ball_scene()
    assert len(cloud["positions"]) == len(scene.foreground) and len(cloud_to_arrays(ground[-1])["x"]) == 1600
    assert np.allclose(cloud["opacity"], 1 / (1 + np.exp(-3)), atol=1e-6) and 0.003 < np.median(cloud["size"]) < 0.006
    assert abs(cloud["colors"].mean(0) - [204, 51, 51]).max() < 2
    (pose,) = node.worker.snapshot.poses
    p = poses[-1].pose.position
    assert np.array_equal([p.x, p.y, p.z], pose.position) and poses[-1].header.frame_id == "world"


@pytest.mark.skipif(path_type() is None, reason="nav_msgs is not installed")
def test_the_path_of_a_prediction_is_its_centroids_way_with_rising_stamps(world) -> None:
    paths: list = []
    with listening(world, path_type(), "prediction/entities/ball/path", paths, LATCHED) as made:
        until(lambda: made.get_publisher_count() if hasattr(made, "get_publisher_count") else True)
        world.rollout([WIND], 0.2)
        world.result(20)
        until(lambda: paths and len(paths[-1].poses) == 11)
    stamps = [p.header.stamp.sec + p.header.stamp.nanosec * 1e-9 for p in paths[-1].poses]
    ys = [p.pose.position.y for p in paths[-1].poses]
    assert np.all(np.diff(stamps) > 0) and ys[-1] - ys[0] == pytest.approx(0.2, abs=1e-3)


def test_a_frame_prefix_is_in_pictures_headers_and_nowhere_else(world) -> None:
    got: list = []
    with listening(world, CameraInfo, "view/photo/camera_info", got):
        until(lambda: got)
    view = world.call("RenderView", format="jpeg")
    assert got[-1].header.frame_id == view.compressed.header.frame_id == "wonder/photo_optical"
    world.rollout([WIND], 0.1)
    track = world.result(20).tracks[0]
    assert (track.name, track.header.frame_id) == ("ball", "world")


def test_predicted_poses_rise_to_the_end(world) -> None:
    poses: list = []
    with listening(world, PoseStamped, "prediction/entities/ball/pose", poses, LATCHED):
        time.sleep(0.5)
        world.rollout([WIND], 0.2)
        track = world.result(20).tracks[0]
        until(lambda: poses and poses[-1].pose == track.poses[-1])


def test_predicted_splats_follow_the_rollout_with_rising_stamps_and_come_to_who_is_late(world, node) -> None:
    world.call("Reset")
    got: list = []
    with listening(world, PointCloud2, "prediction/splats", got):
        until(lambda: node.count_subscribers(SPLATS))
        time.sleep(0.3)
        world.rollout([WIND], 0.2)
        track = world.result(20).tracks[0]
        end, stamp = track.poses[-1], time_after(track.header.stamp, track.times[-1])
        until(lambda: got and got[-1].header.stamp == stamp)
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in got]
    # On a busy machine the node learns late that somebody came, and sends the newest once more.
    assert stamps == sorted(stamps) and len(stamps) - len(set(stamps)) <= 1
    last = cloud_to_arrays(got[-1])
    assert len(last["x"]) == len(ball_scene().foreground)
    assert np.allclose(last["opacity"], 1 / (1 + np.exp(-3)), atol=1e-6) and 0.003 < np.median(last["size"]) < 0.006
    assert last["positions"].mean(0)[1] == pytest.approx(end.position.y, abs=2e-3) and end.position.y > 0.1
    late: list = []
    with listening(world, PointCloud2, "prediction/splats", late):
        until(lambda: late)
    assert bytes(late[-1].data) == bytes(got[-1].data) and late[-1].header.stamp == got[-1].header.stamp


def test_predicted_splats_of_a_played_trajectory_are_asked_for_only_while_somebody_listens(world, node) -> None:
    world.rollout([WIND], 0.2)
    trajectory = world.result(20).trajectory_id
    until(lambda: not node.count_subscribers(SPLATS))
    asked: list = []
    submit = node.worker.submit
    node.worker.submit = lambda request, *a, **k: (asked.append(type(request).__name__), submit(request, *a, **k))[1]
    try:
        world.call("PlayTrajectory", trajectory_id=trajectory, rate=1.0, loop=True)
        time.sleep(0.5)
        assert "SplatsRequest" not in asked
        got: list = []
        with listening(world, PointCloud2, "prediction/splats", got):
            until(lambda: len({(m.header.stamp.sec, m.header.stamp.nanosec) for m in got}) > 5)
        assert np.ptp([cloud_to_arrays(m)["positions"][:, 1].mean() for m in got]) > 0.05
    finally:
        del node.worker.submit
        world.call("PlayTrajectory", stop=True)
