"""~/refine with targets that the worker makes itself: a video model's, loaded from disk (tiny, with random weights),
and those of a third party's package, found by its entry point."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from pw_core.errors import ErrorCode, PWError
from pw_core.refine.targets.registry import PROVIDERS
from pw_msgs.msg import CameraView, RecordSource, RefineView, TargetFrame
from pw_ros.client import WorldClient
from pw_ros.convert.cameras import camera_to_info, viewmat_to_pose
from pw_ros.convert.images import numpy_to_image
from support import stand_in
from support.ros_world import head, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
REPOSITORY = Path(__file__).resolve().parents[4]
SIZE = {"height": 48, "width": 80, "steps": 4, "device": "cpu", "memory": "none"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder as pip leaves it: the example, and the metadata of its entry point."""
    site = tmp_path_factory.mktemp("site")
    example = (REPOSITORY / "examples" / "target_provider.py").read_text()
    (site / "target_provider.py").write_text(example)
    info = site / "third_party-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1\n")
    line = next(x for x in example.splitlines() if x.strip().startswith("brighter ="))
    (info / "entry_points.txt").write_text(f"[{PROVIDERS.group}]\n{line.strip().replace(chr(34), '')}\n")
    sys.path.append(str(site))  # the spawned worker inherits it
    yield site
    sys.path.remove(str(site))


@pytest.fixture(scope="module")
def node(tmp_path_factory, installed, start_node):
    from support.tiny_video import save_pipeline

    folder = tmp_path_factory.mktemp("world")
    configs = folder / "configs"
    configs.mkdir()
    model = save_pipeline(folder / "video")
    plain = yaml.safe_load(stand_in.write_scene(configs / "plain.yaml").read_text())
    for name, refine in {
        "video": {"provider": "video_diffusion", "settings": {"model": str(model), **SIZE}, "prompt": "a ball"},
        "other": {"provider": "brighter", "settings": {"gain": 1.3}},
    }.items():
        fields = {**plain, "name": name, "refine": {**plain["refine"], **refine}}
        (configs / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    node = start_node(
        store=str(folder / "store"), config_dirs=[str(configs)], world_factory="support.stand_in:SpottedWorld"
    )  # fmt: skip
    node.configs = configs
    return node


@pytest.fixture
def client(node, monkeypatch):
    """`told`: the stages that every feedback and status spoke of; who only asks for the last misses quick ones."""
    told: list[str] = []

    def overheard(real):
        def heard(self, message) -> None:
            real(self, message)
            told.append(getattr(message, "feedback", message).stage)

        return heard

    for name in ("_on_feedback", "_on_status"):
        monkeypatch.setattr(WorldClient, name, overheard(getattr(WorldClient, name)))
    with WorldClient() as client:
        client.told = told
        client.wait_until_ready()
        yield client


def opened(client, node, scene: str):
    """The client, on that scene, whose first round is committed."""
    until(lambda: not node.gate.running)  # a cancelled goal is left behind at once, and ends a little later
    client.reconstruct(scene, replace=True)
    config = stand_in.SceneConfig.load(node.configs / f"{scene}.yaml")
    client.rollout(config.rounds[0].actions, stand_in.DURATION, frame_interval=stand_in.INTERVAL, commit=True)
    client.result(60)
    return client


def both(node, *, strength: float = -1.0) -> list[RefineView]:
    """The photo's camera, and one that the scene does not know."""
    _, side = stand_in.cameras_of(stand_in.spotted(stand_in.SceneConfig.load(node.configs / "plain.yaml")))
    own = CameraView(name="side", camera_info=camera_to_info(side), pose=viewmat_to_pose(side.viewmat))
    return [RefineView(view=CameraView(name="photo"), weight=1.0, strength=strength),
            RefineView(view=own, weight=1.0, strength=strength)]  # fmt: skip


def followed(world, *frames, **goal):
    """The result of a refinement, and all stages that it told of, in their order."""
    world.told.clear()
    world.refine(*frames, **goal)
    result = world.result(120)
    return result, [s for s in dict.fromkeys(world.told) if s]


def test_a_video_model_on_disk_makes_the_targets(client, node) -> None:
    world = opened(client, node, "video")
    before = head(world)
    result, stages = followed(world, views=both(node), iterations=3, seed=5, commit=True)
    assert result.parent == before and result.committed and head(world) == result.state_id
    # One view first, then the other, then both: the model is asked three times, and polishing runs after each.
    assert result.iterations == 9
    assert any(s.startswith("video model, view 1 of") for s in stages), stages
    assert [s for s in stages if s in ("the first view", "side views", "all views")] == [
        "the first view", "side views", "all views",
    ]  # fmt: skip
    assert np.isfinite([result.before.psnr, result.after.psnr, result.after.loss]).all()
    assert not np.array_equal(world.render("photo"), world.render("photo", state_id=before))


def test_the_model_leaves_a_goal_of_strength_zero_nearer_to_the_prediction_and_repeats_itself(client, node) -> None:
    world = opened(client, node, "video")

    def refined(strength: float, seed: int):
        world.refine(views=both(node, strength=strength)[:1], iterations=2, seed=seed)
        result = world.result(120)
        return world.render("photo", state_id=result.state_id), result

    first, free = refined(0.9, 1)
    again, _ = refined(0.9, 1)
    other, _ = refined(0.9, 2)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    _, kept = refined(0.0, 1)
    assert kept.before.psnr > free.before.psnr  # the targets of strength 0 are the prediction, through the VAE


def test_a_goal_is_cancelled_while_the_model_runs(client, node) -> None:
    world = opened(client, node, "video")
    before, states = head(world), {s.state_id for s in world.states()}
    world.refine(views=both(node), iterations=3, commit=True)
    until(lambda: world.status() and world.status().stage.startswith("video model"))
    assert world.cancel()
    result = world.result(60)
    assert result.error_code == ErrorCode.CANCELED and not result.state_id and not result.committed
    assert head(world) == before and {s.state_id for s in world.states()} == states


def test_a_third_partys_provider_is_found_by_its_entry_point(client, node) -> None:
    world = opened(client, node, "other")
    before = head(world)
    result, stages = followed(world, iterations=30, commit=True)
    assert "brightening" in stages
    assert result.committed and head(world) == result.state_id and result.parent == before
    # The masks it hands on are those of the prediction; only the colours differ.
    assert result.before.mask_iou > 0.99 and result.after.mask_iou > 0.95
    assert result.after.psnr_masked > result.before.psnr_masked + 1
    assert world.render("photo").mean() > world.render("photo", state_id=before).mean() + 0.5


def test_a_goal_may_name_a_provider_and_not_its_settings(client, node) -> None:
    """The settings of the scene's own provider go when another is named."""
    world = opened(client, node, "other")
    with pytest.raises(PWError, match=r"refine\.settings\.model") as caught:
        world.refine(provider="video_diffusion")
        world.result(60)
    assert caught.value.code == ErrorCode.MISSING_MODEL
    world = opened(client, node, "video")
    world.refine(provider="brighter", iterations=2)
    assert world.result(60).state_id


def test_frames_are_observed_whatever_the_scene_is_set_to_but_a_recording_nobody_named_is_not_used(
    client, node
) -> None:
    world = opened(client, node, "other")
    picture = world.render("photo")
    frames = [TargetFrame(camera="photo", stamp=seconds(t), image=numpy_to_image(picture)) for t in stand_in.TIMES]
    result, stages = followed(world, frames, iterations=1)
    assert result.state_id and "brightening" not in stages

    publisher = world.node.create_publisher(Image, "/cam/photo", 10)
    world.call("Record", command="start", sources=[RecordSource(camera="photo", image_topic="/cam/photo")])
    until(lambda: publisher.get_subscription_count() > 0)
    for frame in frames:
        publisher.publish(numpy_to_image(picture, stamp=frame.stamp))
        time.sleep(0.05)
    record = world.call("Record", command="stop").record_id
    result, stages = followed(world, iterations=1)
    assert result.state_id and "brightening" in stages
    result, stages = followed(world, record_id=record, iterations=1)
    assert result.state_id and "brightening" not in stages
    world.call("Record", command="clear")


def seconds(t: float) -> Time:
    return Time(sec=100 + int(t), nanosec=round((t - int(t)) * 1e9))
