"""Bad input through the node, with the real reconstruction: each a clear error, and the world as it was."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import Point
from sensor_msgs.msg import CompressedImage

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_msgs.msg import CameraView, EntityPrompt, PhysicalAction
from pw_ros.convert.images import bytes_to_array, numpy_to_compressed, numpy_to_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def config() -> dict:
    """Modelling clay, small enough to be quick."""
    source = ROOT / "config/scenes/play_doh.yaml"
    fields = yaml.safe_load(source.read_text())
    fields["photo"] = str((source.parent / fields["photo"]).resolve())
    fields["simulation"] = {**fields["simulation"], "particles": 800}
    return {**fields, "name": "clay", "reconstruct": {"width_px": 192}}


@pytest.fixture(scope="module")
def photo(config) -> np.ndarray:
    import cv2

    return np.ascontiguousarray(cv2.imread(config["photo"])[..., ::-1])


@pytest.fixture(scope="module")
def world(folder, config, start_node):
    from pw_ros.client import WorldClient

    (folder / "configs").mkdir()
    (folder / "configs/clay.yaml").write_text(yaml.safe_dump(config))
    (folder / "configs/typo.yaml").write_text(yaml.safe_dump({**config, "name": "typo", "tabel": {"edge_m": 1.0}}))
    start_node(
        store=str(folder / "store"), config_dirs=[str(folder / "configs")], input_roots=[str(folder)],
        world_factory="support.fake_world:PhotoWorld",
    )  # fmt: skip
    with WorldClient() as client:
        client.wait_until_ready()
        client.reconstruct("clay")
        yield client


def snapshot(world, folder: Path):
    """All that a bad request might change: the tree of states, the scenes, the files."""
    states = [(s.state_id, s.parent, s.head, s.committed, s.saved) for s in world.states()]
    scenes = [(s.scene_id, s.reconstructed, s.selected) for s in world.call("ListScenes").scenes]
    store = folder / "store"
    # A trajectory's file without its state is no part of the tree; nor is the note of which process writes a scene.
    kept = [p for p in store.rglob("*") if p.is_file() and p.parent.name not in ("trajectories", ".locks")]
    return states, scenes, {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in kept}


@pytest.fixture
def refused(world, folder):
    """`refused(call, code, *words)`: that error, those words in it, and nothing changed."""

    def check(call, code: ErrorCode, *words: str) -> None:
        before = snapshot(world, folder)
        with pytest.raises(PWError) as caught:
            call()
        assert caught.value.code == code, caught.value
        for word in words:
            assert word in str(caught.value), caught.value
        assert snapshot(world, folder) == before

    return check


def png_of_size(width: int, height: int) -> CompressedImage:
    """A picture that compresses well: the header alone says how big it is."""
    return numpy_to_compressed(np.zeros((height, width), np.uint8), format="png")


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (lambda: numpy_to_image(np.zeros((1, 1, 3), np.uint8)), "1 x 1"),
        (lambda: numpy_to_image(np.zeros((40, 20_000), np.uint8)), "20000 x 40"),
        (lambda: png_of_size(20_000, 20_000), "20000 x 20000"),
        (lambda: CompressedImage(data=png_of_size(400, 300).data[:-40]), "cut off"),
        (lambda: CompressedImage(data=bytes_to_array(b"GIF89a" + bytes(40))), "no picture that is known"),
        (lambda: CompressedImage(), "empty"),
        (lambda: numpy_to_image(np.zeros((200, 300), np.float32)), "float32"),
    ],
    ids=["1x1", "20000 wide", "20000 square", "truncated", "gif", "empty", "depth"],
)
def test_photos_that_cannot_be_used(world, refused, message, word: str) -> None:
    message = message()
    field = "compressed_images" if isinstance(message, CompressedImage) else "images"
    refused(lambda: world.call("Reconstruct", timeout=60, scene="clay", replace=True, **{field: [message]}),
            ErrorCode.INVALID_IMAGE, word)  # fmt: skip


def test_photo_files_that_cannot_be_used(world, folder, refused, config) -> None:
    whole = Path(config["photo"]).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name, word in (("missing.png", "missing.png"), ("cut.png", "is cut off"), (".", "")):
        asked = {"input_uri": str(folder / name), "replace": True}
        refused(lambda a=asked: world.reconstruct("clay", **a), ErrorCode.INVALID_IMAGE, word)
    missing = yaml.safe_dump({**config, "photo": str(folder / "none.png")})
    (folder / "configs/gone.yaml").write_text(missing.replace("name: clay", "name: gone"))
    refused(lambda: world.reconstruct("gone"), ErrorCode.INVALID_IMAGE, "none.png")


@pytest.mark.parametrize("kind", ["grey", "16 bit"])
def test_grey_and_16_bit_photos_simply_work(world, photo, kind: str) -> None:
    import cv2

    picture = photo[..., 1] if kind == "grey" else cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257
    message = numpy_to_compressed(picture, format="png")
    asked = {"scene": "clay", "scene_id": "grey", "replace": True, "compressed_images": [message]}
    done = world.call("Reconstruct", timeout=120, **asked)
    assert done.psnr > 20 and done.entities[0].particles > 400
    seen = world.render()
    assert np.abs(seen.astype(int) - seen.mean(-1, keepdims=True)).max() <= 6  # grey
    world.call("SelectScene", scene_id="clay")


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ({"box": [1300.0, 20.0, 1500.0, 200.0]}, "outside"),
        ({"box": [-50.0, -50.0, -10.0, -10.0]}, ""),
        ({"box": [488.0, 333.0, 488.0, 602.0]}, ""),
        ({"box": [math.nan, 333.0, 790.0, 602.0]}, ""),
        ({"box": [488.0, 333.0, 790.0]}, "3 numbers"),
        ({"box": [30.0, 560.0, 190.0, 690.0], "points": [Point(x=100.0, y=620.0, z=1.0)]}, ""),  # bare table
        ({"box": [488.0, 333.0, 790.0, 602.0], "points": [Point(x=2000.0, y=470.0, z=1.0)]}, ""),
    ],
    ids=["outside", "negative", "no width", "nan", "three numbers", "background", "point outside"],
)
def test_prompts_outside_the_image_or_on_background(world, refused, prompt, word: str) -> None:
    entity = EntityPrompt(name="play_doh", **prompt)
    with pytest.raises(PWError) as caught:
        world.reconstruct("clay", entities=[entity], replace=True)
    assert caught.value.code in (ErrorCode.INVALID_PROMPT, ErrorCode.INVALID_CONFIG, ErrorCode.RECONSTRUCT_FAILED)
    refused(lambda: world.reconstruct("clay", entities=[entity], replace=True), caught.value.code, word)


def test_unknown_names(world, refused) -> None:
    def rollout(**fields):
        world.rollout(fields.pop("actions", []), fields.pop("duration", 0.1), **fields)
        return world.result(30)

    wind = PhysicalAction(type="wind", duration=1.0, magnitude=1.0)
    wind.direction.x, wind.header.frame_id = 1.0, "gripper"
    other = CameraView(camera_info=numpy_camera())
    other.pose.header.frame_id = "wrist"
    refused(lambda: world.call("SelectScene", scene_id="nope"), ErrorCode.UNKNOWN_SCENE, "nope", "clay")
    refused(lambda: world.call("SelectScene", scene_id="../../etc"), ErrorCode.INVALID_NAME, "letters")
    refused(lambda: world.reconstruct("nope"), ErrorCode.UNKNOWN_SCENE, "nope")
    refused(lambda: world.call("Commit", state_id="nope"), ErrorCode.UNKNOWN_STATE, "nope")
    refused(lambda: world.call("RestoreState", state_id="../root"), ErrorCode.INVALID_NAME)
    refused(lambda: world.call("DeleteState", state_id="nope"), ErrorCode.UNKNOWN_STATE, "nope")
    refused(lambda: world.call("SaveState", state_id="nope"), ErrorCode.UNKNOWN_STATE, "nope")
    refused(lambda: world.call("ListStates", scene_id="nope"), ErrorCode.UNKNOWN_SCENE, "nope")
    refused(lambda: world.call("GetTrajectory", trajectory_id="nope"), ErrorCode.UNKNOWN_TRAJECTORY, "nope")
    refused(lambda: world.call("PlayTrajectory", trajectory_id="nope"), ErrorCode.UNKNOWN_TRAJECTORY, "nope")
    refused(lambda: world.render("nope"), ErrorCode.UNKNOWN_CAMERA, "nope", "photo")
    refused(lambda: world.render(state_id="nope"), ErrorCode.UNKNOWN_STATE, "nope")
    refused(lambda: world.render(view=other), ErrorCode.INVALID_FRAME, "wrist")
    refused(lambda: rollout(from_state="nope"), ErrorCode.UNKNOWN_STATE, "nope")
    refused(lambda: rollout(actions=[wind]), ErrorCode.INVALID_FRAME, "gripper")
    refused(lambda: rollout(return_views=True, cameras=["nope"]), ErrorCode.UNKNOWN_CAMERA, "nope")
    cat = parse_action({"type": "gravity", "duration": 1, "direction": [0, 0, -1], "magnitude": 9.8, "entity": "cat"})
    refused(lambda: rollout(actions=[cat]), ErrorCode.UNKNOWN_ENTITY, "cat", "play_doh")


def numpy_camera():
    from pw_ros.convert.cameras import intrinsics_to_camera_info

    return intrinsics_to_camera_info([[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]], width=64, height=48)


@pytest.mark.parametrize("duration", [math.nan, math.inf, -1.0, 0.0, 1e9])
def test_durations_that_make_no_sense(world, refused, duration: float) -> None:
    def rollout(**fields):
        world.rollout([], **{"duration": 0.1, **fields})
        world.result(30)

    refused(lambda: rollout(duration=duration), ErrorCode.INVALID_DURATION, "duration")
    if duration:  # 0 is the scene's own
        refused(lambda: rollout(frame_interval=duration), ErrorCode.INVALID_DURATION, "frame_interval")
    action = PhysicalAction(type="push", duration=duration, magnitude=1.0, radius=0.1)
    action.direction.x = 1.0
    if duration != 1e9:  # an action may outlast the rollout

        def act():
            world.rollout([action], 0.1)
            world.result(30)

        refused(act, ErrorCode.INVALID_ACTION, "duration")


def test_an_empty_action_list_is_a_wait(world) -> None:
    world.rollout([], 0.06)
    result = world.result(30)
    assert result.error_code == 0 and result.simulated_time == pytest.approx(0.06)
    assert [t.name for t in result.tracks] == ["play_doh"]


def test_a_disk_that_is_full_in_the_middle_of_a_commit(world, folder, refused) -> None:
    world.rollout([], 0.06)
    state = world.result(30).state_id
    full = folder / "store" / "full"
    full.touch()
    refused(lambda: world.commit(state), ErrorCode.STORE_FAILED, state, "File too large")

    def committed():
        world.rollout([], 0.04, commit=True)
        world.result(30)

    before = [s.state_id for s in world.states() if s.head or s.committed]
    with pytest.raises(PWError) as caught:
        committed()
    assert caught.value.code == ErrorCode.STORE_FAILED
    assert [s.state_id for s in world.states() if s.head or s.committed] == before
    assert not list((folder / "store").rglob(".new-*"))
    full.unlink()
    assert world.commit(state) == before[0] and (folder / f"store/clay/states/{state}.safetensors").is_file()


def test_configurations_with_a_typo(world, refused, config) -> None:
    refused(lambda: world.reconstruct("typo"), ErrorCode.INVALID_CONFIG, "tabel")
    text = yaml.safe_dump({**config, "camera": {**config["camera"], "hight_m": 1.0}})
    refused(lambda: world.reconstruct(config_yaml=text), ErrorCode.INVALID_CONFIG, "camera.hight_m")
    refused(lambda: world.reconstruct(config_yaml="name: [clay"), ErrorCode.INVALID_CONFIG, "YAML")
    refused(lambda: world.reconstruct(config_yaml="!!python/object/apply:os.system [ls]"), ErrorCode.INVALID_CONFIG)
    refused(lambda: world.reconstruct(), ErrorCode.INVALID_CONFIG, "scene")


def test_a_store_that_cannot_be_written(folder, start_node) -> None:
    from pw_ros.client import WorldClient

    (folder / "a_file").write_text("")
    start_node(
        namespace="other", store=str(folder / "a_file" / "store"), config_dirs=[str(folder / "configs")],
        world_factory="support.fake_world:PhotoWorld",
    )  # fmt: skip
    with WorldClient("other/perpetual_wonder") as client:
        client.wait_until_ready()
        status = client.status()  # said at the start already
        assert status.error_code == ErrorCode.STORE_FAILED and "a_file" in status.error_msg
        with pytest.raises(PWError) as caught:
            client.reconstruct("clay")
        assert caught.value.code == ErrorCode.STORE_FAILED and "a_file" in str(caught.value)
        assert client.status().scene_id == "" and client.status().error_code == ErrorCode.STORE_FAILED
        with pytest.raises(PWError) as caught:
            client.render()
        assert caught.value.code == ErrorCode.NO_SCENE
