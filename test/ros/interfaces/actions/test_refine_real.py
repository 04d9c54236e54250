"""~/refine through the node with the real optimisation: figures, pictures as it runs, films on disk and recorded ones,
kills and cancels, bad targets."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, PWError
from pw_core.loop.films import read_films
from pw_core.loop.ledger import Ledger
from pw_msgs.msg import CameraView, RecordSource, RefineView, TargetFrame
from pw_ros.client import WorldClient
from pw_ros.convert.cameras import camera_to_info, viewmat_to_pose
from pw_ros.convert.images import numpy_to_compressed, numpy_to_image
from support import stand_in
from support.recorded import film_recording
from support.ros_world import head, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    (folder / "configs").mkdir()
    stand_in.write_films(folder, SceneConfig.load(stand_in.write_scene(folder / "configs" / "ball.yaml")), rounds=1)
    return folder


@pytest.fixture(scope="module")
def node(story, start_node):
    return start_node(
        store=str(story / "store"), config_dirs=[str(story / "configs")], input_roots=[str(story)],
        world_factory="support.stand_in:SpottedWorld", refine_preview_every=1, record_memory_mb=1,
    )  # fmt: skip


@pytest.fixture
def world(node):
    """A client, on a fresh scene whose first round is committed."""
    with WorldClient() as client:
        client.wait_until_ready()
        client.reconstruct("ball", replace=True)
        config = stand_in.SceneConfig.load(node.get_parameter("config_dirs").value[0] + "/ball.yaml")
        client.rollout(config.rounds[0].actions, stand_in.DURATION, frame_interval=stand_in.INTERVAL, commit=True)
        client.result(60)
        yield client


def uri(story) -> str:
    return f"file://{story / 'targets' / 'round-1'}"


def inline(story):
    """The films as messages, and the view that the scene does not know."""
    films, origin = read_films(story / "targets" / "round-1")
    frames = [
        TargetFrame(camera=f.name, stamp=seconds(t), image=numpy_to_image(p))
        for f in films for t, p in zip(f.stamps, f.frames, strict=True)
    ]  # fmt: skip
    side = next(f.camera for f in films if f.name == "side")
    own = CameraView(name="side", camera_info=camera_to_info(side), pose=viewmat_to_pose(side.viewmat))
    return frames, [RefineView(view=CameraView(name="photo")), RefineView(view=own)], seconds(origin)


def seconds(t: float) -> Time:
    return Time(sec=int(t), nanosec=round((t - int(t)) * 1e9))


def test_inline_frames_and_films_on_disk_give_the_same_correction(world, story, node) -> None:
    pictures = []
    world.node.create_subscription(
        Image, "/perpetual_wonder/prediction/view/photo/image_raw", lambda m: pictures.append(bytes(m.data)), 10
    )
    frames, views, origin = inline(story)
    world.refine(frames, views=views, time_origin=origin, iterations=30)
    first = world.result(120)
    until(lambda: len(pictures) > 0)
    assert len(set(pictures)) > 1  # of the running optimisation
    before, after = first.before, first.after
    assert after.psnr_masked > before.psnr_masked + 3 and after.psnr > before.psnr
    assert 0 < before.mask_iou < after.mask_iou <= 1 and after.mask_iou > 0.85
    assert np.isfinite(after.loss) and after.mean_correction == pytest.approx(0.05, abs=0.015)
    world.refine(frames_uri=uri(story), iterations=30, commit=True)
    second = world.result(120)
    assert second.after.psnr_masked == pytest.approx(after.psnr_masked, abs=0.3) and head(world) == second.state_id


@pytest.mark.parametrize("mcap", [True, False])
def test_a_recording_on_disk_is_targets(mcap: bool, world, story) -> None:
    pytest.importorskip("rosbags", reason="needs rosbags")
    films, _ = read_films(story / "targets" / "round-1")
    bag = film_recording(story / f"bag_{mcap}", films, mcap=mcap, late_s=0.3)
    world.refine(frames_uri=f"file://{bag}", iterations=10)
    result = world.result(120)
    assert result.after.psnr_masked > result.before.psnr_masked + 3
    alone = next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3"))
    world.refine(frames_uri=f"file://{alone}", iterations=1, views=[RefineView(view=CameraView(name="photo"))])
    assert world.result(120).before.psnr_masked > 0


def test_recorded_topics_are_targets(world, story) -> None:
    films, _ = read_films(story / "targets" / "round-1")
    kinds = {"photo": ("/cam/photo", Image), "side": ("/cam/side/compressed", CompressedImage)}
    publishers = {n: world.node.create_publisher(kind, topic, 10) for n, (topic, kind) in kinds.items()}
    side = next(f.camera for f in films if f.name == "side")
    info = world.node.create_publisher(type(camera_to_info(side)), "/cam/side/camera_info", 10)
    sources = [
        RecordSource(camera="photo", image_topic="/cam/photo"),
        RecordSource(camera="side", image_topic="/cam/side/compressed", camera_info_topic="/cam/side/camera_info",
                     pose=viewmat_to_pose(side.viewmat, frame_id="world")),
    ]  # fmt: skip
    started = world.call("Record", command="start", sources=sources)
    assert started.recording and started.record_id
    until(lambda: all(p.get_subscription_count() for p in (*publishers.values(), info)))
    info.publish(camera_to_info(side))
    time.sleep(0.3)
    for k in range(len(stand_in.TIMES)):
        for film in films:
            make = numpy_to_image if film.name == "photo" else numpy_to_compressed
            publishers[film.name].publish(make(film.frames[k], stamp=seconds(film.stamps[k])))
        time.sleep(0.05)
    until(lambda: all(c.frames == 6 for c in world.call("Record").cameras))
    done = world.call("Record", command="stop")
    assert not done.recording and [c.camera for c in done.cameras] == ["photo", "side"]
    assert done.cameras[0].first == seconds(100.0) and done.cameras[0].bytes > 6 * 144 * 96 * 3 - 1
    world.refine(record_id="r-none")
    with pytest.raises(PWError, match=done.record_id):
        world.result(20)
    world.refine(record_id=done.record_id, iterations=10)
    result = world.result(120)
    assert result.after.psnr_masked > result.before.psnr_masked + 3
    assert world.call("Record", command="clear").record_id == ""


def test_recording_is_bounded_and_says_so(world) -> None:
    picture = np.full((300, 400, 3), 90, np.uint8)  # 0.36 MB of 1 MB
    publisher = world.node.create_publisher(Image, "/cam/big", 10)
    world.call("Record", command="start", sources=[RecordSource(camera="photo", image_topic="/cam/big")])
    until(lambda: publisher.get_subscription_count() > 0)

    def full() -> bool:
        nonlocal tick
        tick += 1
        publisher.publish(numpy_to_image(picture, stamp=Time(sec=tick)))
        try:
            return not world.call("Record").recording
        except PWError as error:
            assert error.code == ErrorCode.RECORD_FULL and "record_memory_mb" in str(error)
            return True

    tick = 0
    until(full)
    assert tick >= 3
    for fields, word in (({"command": "dance"}, "dance"), ({"command": "start", "max_rate": -1.0}, "max_rate")):
        with pytest.raises(PWError, match=word):
            world.call("Record", **fields)


def test_bad_targets_change_nothing(world, story) -> None:
    before, states = head(world), {s.state_id for s in world.states()}
    frames, views, origin = inline(story)
    late = [TargetFrame(camera=f.camera, stamp=f.stamp, image=f.image) for f in frames[::-1]]
    good = {"frames": frames, "views": views, "time_origin": origin}
    for fields, code, reason in (
        ({"frames_uri": "file:///etc"}, ErrorCode.INVALID_TARGET, "input_roots"),
        ({"frames_uri": uri(story) + "0"}, ErrorCode.INVALID_TARGET, "no such folder"),
        ({**good, "frames_uri": uri(story)}, ErrorCode.INVALID_TARGET, "expected one of them"),
        ({**good, "frames": late}, ErrorCode.INVALID_STAMPS, "out of order"),
        ({**good, "time_origin": Time(sec=900)}, ErrorCode.INVALID_STAMPS, "no frame within"),
        ({"provider": "video_diffusion"}, ErrorCode.MISSING_MODEL, "refine.settings.model"),
        ({"provider": "nobody"}, ErrorCode.UNKNOWN_PROVIDER, "nobody"),
        ({**good, "views": [RefineView(view=v.view, strength=1.5) for v in views]}, ErrorCode.INVALID_STRENGTH, "1.5"),
    ):
        world.refine(**fields)
        with pytest.raises(PWError, match=reason) as caught:
            world.result(60)
        assert caught.value.code == code
    assert head(world) == before and {s.state_id for s in world.states()} == states


def test_cancels_and_kills_at_random_moments_leave_the_head(world, story, node) -> None:
    before = head(world)
    picture = world.render("photo")
    began = time.monotonic()
    world.refine(frames_uri=uri(story), iterations=40)
    world.result(120)
    took, rng = time.monotonic() - began, random.Random(3)
    for how in ("cancel", "kill", "cancel", "kill"):
        world.refine(frames_uri=uri(story), iterations=4000, commit=True)
        time.sleep(rng.uniform(0.05, 1.0) * took)
        if how == "cancel":
            assert world.cancel()
            assert world.result(60).error_code == ErrorCode.CANCELED
        else:
            os.kill(node.worker.pid, signal.SIGKILL)
            with pytest.raises(PWError) as caught:
                world.result(60)
            assert caught.value.code == ErrorCode.WORKER_DIED and node.worker.wait_ready(60)
        until(lambda: not node.gate.running)
        assert head(world) == before and np.array_equal(world.render("photo"), picture)


def test_the_example_goes_on_where_it_was_stopped(world, story, tmp_path, monkeypatch) -> None:
    path = Path(__file__).resolve().parents[4] / "examples" / "rounds.py"
    spec = importlib.util.spec_from_file_location("rounds", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    config = SceneConfig.load(story / "configs" / "ball.yaml")
    base = head(world)

    def go() -> None:
        ledger = Ledger(tmp_path / "rounds.json", scene="ball", base=head(world))
        assert ledger.base == base
        ledger.settle({s.state_id for s in world.states() if s.committed})
        example.play(world, config, ledger, story / "targets")

    commit, commits = world.commit, []

    def stop_at_the_second(state: str) -> str:
        commits.append(state)
        if len(commits) == 2:
            raise KeyboardInterrupt
        return commit(state)

    monkeypatch.setattr(world, "commit", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        go()
    assert head(world) == commits[0]
    go()
    chain, states = [], {s.state_id: s for s in world.states()}
    at = head(world)
    while at != base:
        chain.append(at)
        at = states[at].parent
    assert len(chain) == 3 and chain[-1] == commits[0] and commits[1] not in chain  # two rollouts, one correction
