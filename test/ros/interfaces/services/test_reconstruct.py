"""Reconstruct with what robots have: several pictures, intrinsics, poses, depth, or a folder below the input roots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_core.reconstruct import Inputs, ViewInput
from pw_msgs.msg import WorldStatus
from pw_msgs.srv import Reconstruct
from pw_ros.convert.cameras import camera_to_info, viewmat_to_pose
from pw_ros.convert.images import metres_to_millimetres, numpy_to_compressed, numpy_to_image
from pw_ros.convert.inputs import request_to_inputs, with_lens
from support import ball, hanging_ball

LITTLE = {"width_px": 120, "steps": 30, "bind_steps": 9, "voxels": 32}
NAMES = ("poses", "depth", "camera")


def request(inputs: Inputs, *, compressed: bool = False, millimetres: bool = False, leave: tuple[str, ...] = ()) -> Any:
    """The inputs as the request's fields."""
    fields: dict[str, Any] = {"images": [], "compressed_images": [], "camera_infos": [], "camera_poses": [],
                              "depths": []}  # fmt: skip
    for v in inputs.views:
        if compressed:
            fields["compressed_images"].append(numpy_to_compressed(v.image, format="png"))
        else:
            fields["images"].append(numpy_to_image(v.image))
        if v.camera is not None:
            if "camera" not in leave:
                fields["camera_infos"].append(camera_to_info(v.camera))
            if "poses" not in leave:
                fields["camera_poses"].append(viewmat_to_pose(v.camera.viewmat, frame_id="map"))
        if v.depth is not None and "depth" not in leave:
            fields["depths"].append(numpy_to_image(metres_to_millimetres(v.depth) if millimetres else v.depth))
    return fields


def read(fields: dict[str, Any], to_world: Any = lambda frame: None) -> Inputs | None:
    return request_to_inputs(Reconstruct.Request(**fields), to_world)


def test_pictures_come_back_with_what_came_along() -> None:
    given, _ = ball.shots(2, depth=True)
    for compressed in (False, True):
        for millimetres in (False, True):
            got = read(request(given, compressed=compressed, millimetres=millimetres))
            assert got is not None and got.route == "posed rgbd"
            for a, b in zip(got.views, given.views):
                assert np.array_equal(a.image, b.image) and np.allclose(a.K, b.K)
                assert np.allclose(a.viewmat, b.viewmat, atol=1e-9)
                assert np.allclose(a.depth, b.depth, atol=6e-4 if millimetres else 0)
    assert [v.name for v in got.views] == ["image_000.png", "image_001.png"]
    assert read({}) is None


@pytest.mark.parametrize(("count", "leave", "route"), [
    (1, NAMES, "photo"), (1, ("poses",), "rgbd"), (2, NAMES, "photos"), (2, ("depth",), "posed"),
    (2, ("poses",), "rgbd pictures"), (2, ("poses", "camera"), "rgbd pictures"),
])  # fmt: skip
def test_what_is_given_decides_the_way(count: int, leave: tuple[str, ...], route: str) -> None:
    got = read(request(ball.shots(count, depth=True)[0], leave=leave))
    assert got is not None and got.route == route


def test_poses_are_carried_into_the_scenes_frame() -> None:
    given, _ = ball.shots(1, depth=True)
    shift = np.eye(4)
    shift[:3, 3] = [1, 2, 3]
    asked: list[str] = []
    got = read(request(given), lambda frame: asked.append(frame) or shift)
    assert asked == ["map"]
    camera = got.views[0].camera
    assert camera is not None and np.allclose(camera.centre - given.views[0].camera.centre, [1, 2, 3])


def refused(call: Any, match: str, code: ErrorCode) -> None:
    with pytest.raises(PWError, match=match) as caught:
        call()
    assert caught.value.code == code


def test_what_does_not_fit_together_is_named() -> None:
    given, _ = ball.shots(2, depth=True)
    fields = request(given)
    image, lens = ErrorCode.INVALID_IMAGE, ErrorCode.INVALID_CAMERA
    refused(lambda: read(fields | {"depths": fields["depths"][:1]}), "depths: 1 for 2 pictures", image)
    refused(lambda: read({**request(given, leave=("camera",))}), "poses need camera_infos", lens)
    refused(lambda: read(fields | {"images": [], "compressed_images": []}), "camera_infos: 2 for 0 pictures", image)
    wide = camera_to_info(Camera("c", given.views[0].K, np.eye(4), 480, 360))
    refused(lambda: read(fields | {"camera_infos": [fields["camera_infos"][0], wide]}),
            r"images\[1\]: camera_infos\[1\] is of 480 x 360 px, the picture of 240 x 180", lens)  # fmt: skip
    bad = numpy_to_image(given.views[0].image)
    refused(lambda: read(fields | {"depths": [fields["depths"][0], bad]}), r"depths\[1\]: depth is 16UC1", image)
    depth = numpy_to_image(given.views[0].depth)
    refused(lambda: read(fields | {"images": [depth, depth]}), r"images\[0\]: a photo has 8 or 16 bits", image)


def test_a_single_photo_takes_its_lens_and_refuses_a_pose() -> None:
    given, _ = ball.shots(1, depth=False)
    view, lens = given.views[0], ErrorCode.INVALID_CAMERA
    refused(lambda: with_lens(ball.config(), view), "camera_poses: the lift of a single photo", lens)
    got = read(request(given, leave=("poses",)))
    assert with_lens(ball.config(), got.views[0]).camera.hfov_deg == pytest.approx(47.0, abs=0.1)
    K = view.K.copy()
    K[0, 2] += 40
    off = Camera("c", K, np.eye(4), 240, 180)
    got = read(request(given, leave=NAMES) | {"camera_infos": [camera_to_info(off)]})
    refused(lambda: with_lens(ball.config(), got.views[0]), "optical centre is 17 %", lens)


def write_folder(folder: Path, inputs: Inputs) -> None:
    """As docs/reconstruct.md says: pictures, cameras.json, depth/."""
    (folder / "depth").mkdir(parents=True)
    cameras = []
    for v in inputs.views:
        cv2.imwrite(str(folder / v.name), v.image[..., ::-1])
        cv2.imwrite(str(folder / "depth" / f"{Path(v.name).stem}.png"), metres_to_millimetres(v.depth))
        cameras.append({"name": v.name, "K": v.K.tolist(), "viewmat": v.viewmat.tolist()})
    (folder / "cameras.json").write_text(json.dumps(cameras))


@pytest.mark.slow
def test_the_worker_makes_scenes_of_pictures_and_folders_and_can_be_called_off(tmp_path: Path) -> None:
    from pw_ros.worker.process import Worker
    from pw_ros.worker.protocol import Event, Progressed, WorkerOptions
    from pw_ros.worker.requests import ReconstructRequest

    worker = Worker(WorkerOptions(store=str(tmp_path / "store"), input_roots=(str(tmp_path),)))
    try:
        assert worker.wait_ready(60)
        asked = ball.config(reconstruct={"views": LITTLE})
        inputs, _ = ball.shots(9, depth=True)
        events: list[Event] = []

        def stop_at_the_fit(event: Event) -> None:
            if isinstance(event, Progressed) and event.stage.startswith("posed rgbd: fit"):
                worker.cancel(stopped)

        stopped = worker.submit(ReconstructRequest(config=asked, inputs=inputs), on_event=stop_at_the_fit)
        with pytest.raises(PWError) as caught:
            stopped.future.result(120)
        assert caught.value.code == ErrorCode.RECONSTRUCT_CANCELED and not worker.snapshot.scene_id
        job = worker.submit(ReconstructRequest(config=asked, inputs=inputs), on_event=events.append)
        done = job.future.result(240)
        assert done.route == "posed rgbd" and done.scale_from == "given poses or depth" and not done.left_out
        assert done.psnr > 15 and worker.snapshot.scene_id == "ball"
        assert {e.stage.split(":")[0] for e in events if isinstance(e, Progressed)} == {"posed rgbd"}
        assert isinstance(events[-1], Progressed) and events[-1].fraction == 1.0
        kept = tmp_path / "store" / "ball" / "reconstruction"
        assert (kept / "index.html").is_file() and (kept / "splats.ply").is_file() and not list(kept.rglob("*.part"))
        assert not (kept / "fit.safetensors").exists()  # only a next run could use it
        write_folder(tmp_path / "robot", ball.shots(1, depth=True)[0])
        one = asked.model_copy(update={"name": "one"})
        done = worker.call(ReconstructRequest(config=one, uri=str(tmp_path / "robot")), timeout=120)
        assert done.route == "rgbd" and worker.snapshot.entities[0].volume_m3 == pytest.approx(5.2e-4, rel=0.3)
        with pytest.raises(PWError, match="holds no picture"):
            worker.call(ReconstructRequest(config=asked, uri=str(tmp_path / "store"), replace=True), timeout=60)
        assert worker.snapshot.scene_id == "one"
    finally:
        worker.close()


@pytest.mark.slow
def test_over_dds_the_way_is_in_the_status_and_the_answer(start_node, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    from pw_ros.client import WorldClient

    (tmp_path / "configs").mkdir()
    fields = ball.config(reconstruct={"views": LITTLE}).model_dump(mode="json")
    (tmp_path / "configs" / "ball.yaml").write_text(yaml.safe_dump(fields))
    write_folder(tmp_path / "robot", ball.shots(1, depth=True)[0])
    start_node(namespace="pictures", store=str(tmp_path / "store"), config_dirs=[str(tmp_path / "configs")],
               input_roots=[str(tmp_path / "robot")])  # fmt: skip
    with WorldClient("pictures/perpetual_wonder") as client:
        client.wait_until_ready(90)
        stages: list[str] = []
        client.node.create_subscription(WorldStatus, "/pictures/perpetual_wonder/status",
                                        lambda m: stages.append(m.stage), 50)  # fmt: skip
        one = request(ball.shots(1, depth=True)[0], compressed=True, millimetres=True, leave=("poses",))
        done = client.call("Reconstruct", timeout=120, scene="ball", scene_id="one", **one)
        assert done.route == "rgbd" and done.scale_from == "given poses or depth" and np.isnan(done.psnr)
        assert done.entities[0].name == "ball" and [s for s in stages if s.startswith("rgbd: ")]
        for v in (request(ball.shots(9, depth=True)[0]), {"input_uri": str(tmp_path / "robot")}):
            done = client.call("Reconstruct", timeout=240, scene="ball", replace=True, **_without_frame(v))
            assert done.route == ("posed rgbd" if "images" in v else "rgbd") and not done.left_out
        middle, seen = np.zeros(3), hanging_ball.camera(np.zeros(3), 0.0)
        picture, _, mask = hanging_ball.shot(seen, middle)
        hung = request(Inputs((ViewInput("photo.png", picture, None, seen.K, seen.viewmat),)), leave=("poses",))
        plain = yaml.safe_dump(hanging_ball.config(mask).model_dump(mode="json", exclude_unset=True))
        done = client.call("Reconstruct", timeout=120, config_yaml=plain, scene_id="hung", **hung)
        assert done.scene_id == "hung" and done.route == "photo" and not done.doubts
        assert done.entities[0].mass == pytest.approx(4 / 3 * np.pi * hanging_ball.RADIUS**3 * 1000, rel=0.15)
        before = client.call("ListScenes").selected
        twins = request(ball.shots(2, depth=False, poses=False)[0])
        twins["images"][1] = twins["images"][0]
        told = {**fields, "reconstruct": {"more_views": {"provider": "gen3c"}}}
        for bad, match, code in (
            (twins | {"scene": "ball"}, "are the same picture", ErrorCode.INVALID_IMAGE),
            ({"config_yaml": yaml.safe_dump(told)}, "reconstruct.more_views would run", ErrorCode.INVALID_CONFIG),
            (one | {"scene": "ball", "input_uri": "/x"}, "not both", ErrorCode.INVALID_IMAGE),
        ):  # fmt: skip
            refused(lambda b=bad: client.call("Reconstruct", timeout=60, replace=True, **b), match, code)
        assert client.call("ListScenes").selected == before


def _without_frame(fields: dict[str, Any]) -> dict[str, Any]:
    """Poses in the scene's own frame, which needs no tf2."""
    for pose in fields.get("camera_poses", []):
        pose.header.frame_id = ""
    return fields
