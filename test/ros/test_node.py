"""The node over DDS, with the stand-in world: every interface that a planner leans on."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml
from geometry_msgs.msg import Pose, PoseStamped, Quaternion
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_msgs.msg import PhysicalAction, WorldStatus
from pw_ros.convert.clouds import cloud_to_arrays
from pw_ros.convert.images import image_to_numpy
from support.ball_scene import ball_config
from support.ros_world import code_of, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def wind(name: str = "", **changes):
    return parse_action(
        {"type": "wind", "name": name, "duration": 9, "direction": [0, 1, 0], "magnitude": 1, **changes}
    )


@pytest.fixture(scope="module")
def node(tmp_path_factory, start_node):
    folder = tmp_path_factory.mktemp("world")
    configs = folder / "configs"
    configs.mkdir()
    for name, title in (("ball", ""), ("slow", "slow")):
        fields = {**ball_config().model_dump(mode="json", exclude_unset=True), "name": name, "title": title}
        (configs / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    return start_node(
        store=str(folder / "store"), input_roots=[str(folder)], config_dirs=[str(configs)], view_rate=20.0,
        world_factory="support.fake_world:FakeWorld",
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(node):
    from pw_ros.client import WorldClient

    with WorldClient() as client:
        client.wait_until_ready()
        yield client


@pytest.fixture
def world(client):
    """The client, on a fresh scene."""
    for _ in range(200):  # what an earlier test called off may still be compiling
        try:
            client.reconstruct("ball", replace=True)
            break
        except PWError as error:
            if error.code != ErrorCode.BUSY:
                raise
            time.sleep(0.05)
    return client


def test_reconstruct_answers_with_entities_and_root(world) -> None:
    response = world.reconstruct("ball", replace=True)
    assert response.scene_id == "ball" and response.state_id == "root"
    assert [(e.name, e.particles) for e in response.entities] == [("ball", 300)]


def test_a_scene_is_not_replaced_unasked_and_what_was_comes_back_with_its_states(world) -> None:
    for _ in range(2):
        world.rollout([wind()], 0.1, commit=True)
        world.result(20)
    before = [s.state_id for s in world.states()]
    assert code_of(world.reconstruct, "ball") == ErrorCode.SCENE_EXISTS
    assert code_of(world.reconstruct, "slow", scene_id="ball") == ErrorCode.SCENE_EXISTS
    world.open_scene("ball")
    assert [s.state_id for s in world.states()] == before and len(before) == 3
    world.reconstruct("ball", replace=True)
    assert [s.state_id for s in world.states()] == ["root"]
    kept = world.call("ListScenes").replaced[-1]
    assert (kept.scene_id, kept.states) == ("ball", 3) and kept.size > 1000 and kept.replaced.sec > 1_700_000_000
    assert code_of(world.call, "RestoreScene", id=kept.id) == ErrorCode.SCENE_EXISTS
    assert code_of(world.call, "RestoreScene", id="../ball", replace=True) == ErrorCode.INVALID_NAME
    scene = world.call("RestoreScene", id=kept.id, replace=True).scene
    assert (scene.scene_id, scene.head_state) == ("ball", before[-1])
    assert [s.state_id for s in world.states()] == before


def test_a_store_that_goes_away_is_told_and_works_when_it_is_back(world, node) -> None:
    store = Path(node.get_parameter("store").value)
    world.rollout([wind()], 0.1)
    state = world.result(20).state_id
    store.rename(store.with_name("aside"))
    try:
        assert code_of(world.commit, state) == ErrorCode.STORE_FAILED and not store.exists()
        assert code_of(world.call, "SaveState", state_id=state, label="x") == ErrorCode.STORE_FAILED
        assert code_of(world.reconstruct, "ball", scene_id="elsewhere") == ErrorCode.STORE_FAILED
        assert not store.exists()
    finally:
        store.with_name("aside").rename(store)
    world.commit(state)
    assert (store / "ball/states" / f"{state}.safetensors").is_file()


def test_rollout_gives_feedback_tracks_and_views_and_commits(world) -> None:
    world.rollout([wind("slow")], 0.1, return_views=True, max_views=2, commit=True)
    seen = []
    while not world.is_done():
        if world.feedback() is not None:
            seen.append(world.feedback())
        time.sleep(0.005)
    result = world.result()
    assert {f.stage for f in seen} >= {"stepping"} and 0 < max(f.fraction for f in seen) <= 1
    assert seen[-1].entities[0].name == "ball"
    track = result.tracks[0]
    assert np.allclose(track.times, [0, 0.02, 0.04, 0.06, 0.08, 0.1])
    assert track.poses[-1].position.y - track.poses[0].position.y == pytest.approx(0.1, abs=1e-4)
    assert [v.camera for v in result.views] == ["photo", "photo"] and result.views[-1].time == pytest.approx(0.1)
    assert result.committed and [s.state_id for s in world.states() if s.head] == [result.state_id]
    trajectory = world.call("GetTrajectory", trajectory_id=result.trajectory_id, stride=5)
    assert trajectory.times == pytest.approx([0, 0.1]) and trajectory.actions[0].type == "wind"
    assert cloud_to_arrays(trajectory.frames[1])["positions"].shape == (300, 3)


def test_a_what_if_leaves_the_head_alone(world) -> None:
    world.rollout([], 0.04)
    result = world.result(30)
    states = {s.state_id: s for s in world.states()}
    assert states["root"].head and not states[result.state_id].committed
    assert world.commit(result.state_id) == "root"
    assert code_of(world.call, "DeleteState", state_id=result.state_id) == ErrorCode.STATE_IN_USE
    assert world.call("Reset").state_id == "root"
    assert world.call("SaveState", state_id=result.state_id, label="kept").path.startswith("ball/states/")
    assert world.call("RestoreState", state_id="kept").state_id == result.state_id


@pytest.mark.parametrize("name", ["slow", "slow compile"])
def test_cancel_ends_the_goal_and_the_next_one_works(world, name: str) -> None:
    """How soon is measured in test/benchmark/parts/node.py."""
    world.rollout([wind(name)], 5.0)
    if name == "slow":
        until(lambda: world.feedback() is not None and world.feedback().fraction > 0)
    else:
        until(lambda: world.status().status == WorldStatus.COMPILING)
    assert world.cancel()
    result = world.result(5)
    assert result.error_code == ErrorCode.CANCELED
    assert (result.simulated_time > 0) == (name == "slow") == bool(result.tracks)
    assert next(s for s in world.states() if s.head).state_id == "root"  # also while it compiles on
    world.rollout([], 0.04)
    assert world.result(20).error_code == 0


def test_a_killed_worker_fails_its_goal_and_the_next_one_works(world, node) -> None:
    world.rollout([wind()], 0.1, commit=True)
    committed = world.result(20).state_id
    world.rollout([wind("slow")], 20.0)
    until(lambda: world.feedback() is not None and world.feedback().fraction > 0)
    os.kill(node.worker.pid, signal.SIGKILL)
    assert code_of(world.result, 10) == ErrorCode.WORKER_DIED
    world.rollout([], 0.04)
    result = world.result(60)
    states = {s.state_id: s for s in world.states()}
    assert states[committed].head and states[result.state_id].parent == committed


def test_bad_input_is_refused_with_its_code(world) -> None:
    def rollout(*args, **fields):
        world.rollout(*args, **fields)
        world.result(20)

    nan = PhysicalAction(type="push", duration=float("nan"))
    assert code_of(rollout, [nan], 0.1) == ErrorCode.INVALID_ACTION
    assert code_of(rollout, [PhysicalAction(type="kick", duration=1.0)], 0.1) == ErrorCode.INVALID_ACTION
    assert code_of(rollout, [wind(radius=0.001)], 0.1) == ErrorCode.INVALID_ACTION
    assert code_of(rollout, [wind(entity="cat")], 0.1) == ErrorCode.UNKNOWN_ENTITY
    assert code_of(rollout, [], 0.0) == ErrorCode.INVALID_DURATION
    assert code_of(rollout, [], float("nan")) == ErrorCode.INVALID_DURATION
    assert code_of(rollout, [], 0.1, from_state="nope") == ErrorCode.UNKNOWN_STATE
    assert code_of(rollout, [], 0.1, return_views=True, cameras=["nope"]) == ErrorCode.UNKNOWN_CAMERA
    framed = PhysicalAction(type="wind", duration=1.0, magnitude=1.0)
    framed.header.frame_id, framed.direction.x = "gripper", 1.0
    assert code_of(rollout, [framed], 0.1) == ErrorCode.INVALID_FRAME
    assert code_of(world.render, "nope") == ErrorCode.UNKNOWN_CAMERA
    assert code_of(world.render, state_id="nope") == ErrorCode.UNKNOWN_STATE
    assert code_of(world.call, "SelectScene", scene_id="nope") == ErrorCode.UNKNOWN_SCENE
    assert code_of(world.reconstruct, "nope") == ErrorCode.UNKNOWN_SCENE
    assert code_of(world.reconstruct, "ball", input_uri="/etc/passwd", replace=True) == ErrorCode.INVALID_IMAGE
    assert [s.state_id for s in world.states()] == ["root"]
    assert world.status().status == WorldStatus.IDLE


def has_tf2() -> bool:
    return importlib.util.find_spec("tf2_ros") is not None


@pytest.mark.skipif(has_tf2(), reason="tf2_ros is here")
def test_other_frames_are_refused_before_a_scene_is_made(world) -> None:
    before = {s.scene_id for s in world.call("ListScenes").scenes if s.reconstructed}
    table = PoseStamped()
    table.header.frame_id = "robot"
    assert code_of(world.reconstruct, "ball", scene_id="new", table_pose=table) == ErrorCode.INVALID_FRAME
    assert code_of(world.reconstruct, "ball", scene_id="new", world_frame="robot") == ErrorCode.INVALID_FRAME
    assert {s.scene_id for s in world.call("ListScenes").scenes if s.reconstructed} == before


@pytest.mark.skipif(not has_tf2(), reason="needs tf2_ros")
def test_with_tf2_a_table_pose_places_the_scene_and_goals_come_in_the_robots_frame(world, node) -> None:
    table = PoseStamped()
    table.header.frame_id, table.pose.position.x = "robot", 1.0
    table.pose.orientation.z = table.pose.orientation.w = 0.5**0.5  # the scene's x is the robot's y
    scenes = {s.scene_id for s in world.call("ListScenes").scenes if s.reconstructed}
    for frame, w in (("world", 0.5**0.5), ("robot", 9.0)):
        bad = PoseStamped(pose=Pose(orientation=Quaternion(w=w)))
        bad.header.frame_id = frame
        assert code_of(world.reconstruct, "ball", scene_id="new", table_pose=bad) == ErrorCode.INVALID_FRAME
    assert {s.scene_id for s in world.call("ListScenes").scenes if s.reconstructed} == scenes
    world.reconstruct("ball", table_pose=table, replace=True)
    until(lambda: node.frames._buffer.can_transform("world", "robot", rclpy.time.Time()))
    action = PhysicalAction(type="wind", duration=1.0, magnitude=1.0, radius=0.5)
    action.header.frame_id, action.direction.y, action.center.x = "robot", 1.0, 1.0
    world.rollout([action], 0.04)
    trajectory = world.call("GetTrajectory", trajectory_id=world.result(20).trajectory_id)
    (done,) = trajectory.actions
    assert (done.direction.x, done.center.x, done.center.y) == pytest.approx((1.0, 0.0, 0.0), abs=1e-9)
    until(lambda: node.frames._buffer.can_transform("world", "photo_optical", rclpy.time.Time()))


def test_render_view_answers_while_a_goal_runs(world) -> None:
    still = world.render("photo")
    assert still.shape == (64, 96, 3) and still.std() > 5
    world.rollout([wind("slow")], 5.0)
    until(lambda: world.feedback() is not None and world.feedback().fraction > 0)  # so that it has moved
    assert np.array_equal(world.render("photo"), still) and not world.is_done()
    assert code_of(world.call, "SelectScene", scene_id="ball") == ErrorCode.BUSY
    assert code_of(world.reconstruct, "ball", replace=True) == ErrorCode.BUSY
    assert world.cancel()
    moved = world.result(5)
    end = {"trajectory_id": moved.trajectory_id, "time": moved.simulated_time}
    assert not np.array_equal(world.render("photo", **end), still)
    for time_s in (9.0, -1.0, float("nan")):
        of = {"trajectory_id": moved.trajectory_id, "time": time_s}
        assert code_of(world.render, "photo", **of) == ErrorCode.INVALID_TIME


def test_render_view_answers_while_kernels_compile(world) -> None:
    still = world.render("photo")
    world.rollout([wind("slow compile")], 0.1)
    until(lambda: world.status().status == WorldStatus.COMPILING)
    assert np.array_equal(world.render("photo"), still) and world.status().status == WorldStatus.COMPILING
    assert world.result(20).error_code == 0


def test_reconstruct_can_be_called_off(world) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(code_of(world.reconstruct, "slow")))
    thread.start()
    until(lambda: world.status().status == WorldStatus.RECONSTRUCTING)
    assert world.cancel_reconstruct()
    thread.join(5)
    assert codes == [ErrorCode.RECONSTRUCT_CANCELED] and world.states()[0].state_id == "root"
    assert not world.cancel_reconstruct()


def test_topics_hold_the_head_and_predictions_stay_apart(world) -> None:
    from pw_ros.qos import LATCHED

    got: dict[str, object] = {}

    def listen(kind, topic: str, qos=1):
        return world.node.create_subscription(kind, f"/perpetual_wonder/{topic}", lambda m: got.update({topic: m}), qos)

    subscriptions = [
        listen(Image, "view/photo/image_raw"), listen(Image, "view/photo/depth"),
        listen(CameraInfo, "view/photo/camera_info"), listen(PointCloud2, "particles", LATCHED),
        listen(PointCloud2, "prediction/particles", LATCHED), listen(Image, "prediction/view/photo/image_raw"),
    ]  # fmt: skip
    until(lambda: {"view/photo/image_raw", "view/photo/depth", "view/photo/camera_info", "particles"} <= got.keys())
    picture = image_to_numpy(got["view/photo/image_raw"])
    assert np.array_equal(picture, world.render("photo"))
    depth = image_to_numpy(got["view/photo/depth"])
    assert depth.dtype == np.float32 and 0.2 < np.nanmedian(depth) < 2
    assert got["view/photo/camera_info"].width == 96
    before = cloud_to_arrays(got["particles"])["positions"]
    world.rollout([wind("slow")], 0.3)
    world.result(20)
    until(lambda: "prediction/view/photo/image_raw" in got)
    after = cloud_to_arrays(got["prediction/particles"])["positions"]
    assert (after - before)[:, 1].mean() == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(cloud_to_arrays(got["particles"])["positions"], before)
    for subscription in subscriptions:
        world.node.destroy_subscription(subscription)


def test_the_world_is_sent_when_its_state_is_another_one_and_not_when_one_is_saved(world, node, monkeypatch) -> None:
    sent = []
    monkeypatch.setattr(node.topics, "_publish", lambda frame, *_: sent.append(frame))
    world.call("SaveState", label="kept")
    assert sent == [] and [s.label for s in world.states()] == ["kept"]
    world.rollout([wind()], 0.1)
    end = world.result(20).state_id
    sent.clear()  # the prediction
    world.commit(end)
    assert len(sent) == 1 and next(s for s in world.states() if s.head).state_id == end


def test_a_trajectory_plays_back(world) -> None:
    world.rollout([wind()], 0.2)
    result = world.result(20)
    clouds: list[PointCloud2] = []
    topic = "/perpetual_wonder/prediction/particles"
    subscription = world.node.create_subscription(PointCloud2, topic, clouds.append, 10)
    played = world.call("PlayTrajectory", trajectory_id=result.trajectory_id, rate=1.0)
    assert played.duration == pytest.approx(0.2)
    until(lambda: len(clouds) >= 8)
    world.node.destroy_subscription(subscription)


def test_pictures_come_inline_or_from_below_the_roots(world, node) -> None:
    import cv2

    root = Path(node.get_parameter("input_roots").value[0])
    cv2.imwrite(str(root / "photo.png"), np.full((48, 64, 3), 90, np.uint8))
    (root / "cut.png").write_bytes((root / "photo.png").read_bytes()[:60])
    (root / "way_out").symlink_to("/etc")
    anew = {"input_uri": str(root / "photo.png"), "replace": True}
    assert world.reconstruct("ball", **anew).scene_id == "ball"
    assert world.reconstruct("ball", photo=np.full((48, 64, 3), 90, np.uint8), scene_id="other").scene_id == "other"
    for name in ("cut.png", "missing.png", "way_out/passwd", "../photo.png"):
        asked = {"input_uri": str(root / name), "replace": True}
        assert code_of(world.reconstruct, "ball", **asked) == ErrorCode.INVALID_IMAGE, name
    (root / "shots").mkdir()
    (root / "shots" / "a.png").symlink_to(root / "photo.png")
    assert world.reconstruct("ball", input_uri=str(root / "shots"), replace=True).scene_id == "ball"
    (root.parent / "b.png").write_bytes((root / "photo.png").read_bytes())
    (root / "shots" / "b.png").symlink_to(root.parent / "b.png")
    asked = {"input_uri": str(root / "shots"), "replace": True}
    assert code_of(world.reconstruct, "ball", **asked) == ErrorCode.INVALID_IMAGE
    fields = ball_config().model_dump(mode="json", exclude_unset=True) | {"refine": {"settings": {"model": "/etc"}}}
    assert code_of(world.reconstruct, config_yaml=yaml.safe_dump(fields), replace=True) == ErrorCode.INVALID_CONFIG
    assert code_of(world.reconstruct, config_yaml="name: [") == ErrorCode.INVALID_CONFIG
    assert code_of(world.reconstruct, config_yaml="{name: x, colour: red}") == ErrorCode.INVALID_CONFIG
    assert code_of(world.reconstruct, "ball", scene_id="../x") == ErrorCode.INVALID_CONFIG
    assert {s.scene_id for s in world.call("ListScenes").scenes} >= {"ball", "other", "slow"}
    assert world.call("SelectScene", scene_id="ball").scene.cameras == ["photo"]


def test_parameters_are_checked(node) -> None:
    assert not node.set_parameters([Parameter("busy_policy", value="maybe")])[0].successful
    assert not node.set_parameters([Parameter("view_rate", value=0.0)])[0].successful
    assert not node.set_parameters([Parameter("store", value="/elsewhere")])[0].successful
    assert node.set_parameters([Parameter("view_rate", value=10.0)])[0].successful
    for name in node.list_parameters([], 1).names:
        assert name in ("use_sim_time", "start_type_description_service") or node.describe_parameter(name).description


def test_busy_goals_are_rejected_when_told(world, node) -> None:
    node.set_parameters([Parameter("busy_policy", value="reject")])
    try:
        world.rollout([wind("slow")], 5.0)
        until(lambda: world.feedback() is not None)
        first, result = world._goal, world._result
        world.rollout([], 0.1)
        assert code_of(world.result, 5) == ErrorCode.BUSY
        world._goal, world._result = first, result
        assert world.cancel()
        assert world.result(5).error_code == ErrorCode.CANCELED
    finally:
        node.set_parameters([Parameter("busy_policy", value="wait")])


def group_members(group: int) -> list[str]:
    """Command lines of the living processes (zombies are not) of a process group."""
    out = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in out.splitlines()]
    return [args for pgid, stat, args in rows if int(pgid) == group and not stat.startswith("Z")]


def test_ctrl_c_twice_ends_cleanly(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root / "test"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, str(root / "scripts" / "world_node"), "--ros-args", "-p", f"store:={tmp_path}",
         "-p", "world_factory:=support.fake_world:FakeWorld", "-r", "__node:=other"],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    started: list[str] = []
    for line in process.stdout:
        started.append(line)
        if "scenes are in" in line:
            break
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in out, "".join(started) + out
    until(lambda: not group_members(process.pid))
