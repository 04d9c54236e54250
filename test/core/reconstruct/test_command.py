"""`pw reconstruct --views` from the command line: folders, films, RGB-D, and what it says of input it cannot use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.config import Sam2Settings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs
from pw_core.reconstruct.segmentation.sam import predictor
from support.ball import camera, config, shot, shots
from support.ball_photo import ball_config, ball_photo

LITTLE = {"width_px": 120, "steps": 30, "bind_steps": 9, "voxels": 32}


def write(folder: Path, inputs: Inputs, *, millimetres: bool = True) -> Path:
    """A folder as the documentation describes it."""
    folder.mkdir()
    cameras = [{"name": v.name, "K": v.K.tolist(), "viewmat": v.viewmat.tolist()} for v in inputs.views
               if v.K is not None and v.viewmat is not None]  # fmt: skip
    if cameras:
        (folder / "cameras.json").write_text(json.dumps(cameras))
    for v in inputs.views:
        cv2.imwrite(str(folder / v.name), v.image[..., ::-1])
        if v.depth is not None:
            (folder / "depth").mkdir(exist_ok=True)
            file = folder / "depth" / Path(v.name).stem
            if millimetres:
                cv2.imwrite(f"{file}.png", (1000 * v.depth).round().astype(np.uint16))
            else:
                np.save(f"{file}.npy", v.depth)
    return folder


def scene_file(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "ball.yaml"
    path.write_text(yaml.safe_dump(config(**{"reconstruct": {"views": LITTLE}, **changes}).model_dump(mode="json")))
    return path


def run(tmp_path: Path, views: Path, **changes: Any) -> Any:
    store = tmp_path / "store"
    return CliRunner().invoke(app, ["reconstruct", str(scene_file(tmp_path, **changes)), "--views", str(views),
                                    "--store", str(store)])  # fmt: skip


@pytest.mark.slow
def test_a_folder_with_depth_and_poses_becomes_a_scene_with_its_report(tmp_path: Path, ball_rgbd) -> None:
    folder = write(tmp_path / "views", ball_rgbd[0], millimetres=False)
    command = [sys.executable, "-m", "pw_core.cli", "reconstruct", str(scene_file(tmp_path)), "--views", str(folder)]
    done = subprocess.run([*command, "--store", str(tmp_path / "store")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "9 pictures, taken as: posed rgbd" in done.stdout and "ball: deformable" in done.stdout
    kept = tmp_path / "store" / "ball" / "reconstruction"
    for name in ("index.html", "report.json", "splats.ply", "meshes/ball.ply", "masks/ball/v00.png.png"):
        assert (kept / name).is_file(), name
    assert not list((tmp_path / "store").rglob("*.part"))


@pytest.mark.slow
def test_one_picture_with_depth(tmp_path: Path) -> None:
    done = run(tmp_path, write(tmp_path / "views", shots(1, depth=True)[0]))
    assert done.exit_code == 0, done.output
    assert "1 pictures, taken as: rgbd" in done.output and (tmp_path / "store" / "ball" / "scene.yaml").is_file()


@pytest.mark.slow
def test_posed_pictures_without_depth_have_points_triangulated(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    views = []
    for k in range(9):
        cam = camera(0.14 * (k - 4), name=f"v{k}.png", enlarged=2)
        views.append((cam, shot(cam)[0]))
    from pw_core.reconstruct import ViewInput

    inputs = Inputs(tuple(ViewInput(c.name, image, K=c.K, viewmat=c.viewmat) for c, image in views))
    done = run(tmp_path, write(tmp_path / "views", inputs), seen=views[0][0])
    assert done.exit_code == 0, done.output
    assert "taken as: posed" in done.output
    report = json.loads((tmp_path / "store" / "ball" / "reconstruction" / "report.json").read_text())
    assert report["poses"]["poses"] == "given" and report["plane"]["scale_from"] == "given poses or depth"
    assert (tmp_path / "store" / "ball" / "reconstruction" / "sfm" / "model" / "images.bin").is_file()


@pytest.mark.slow
def test_a_film(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    film = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 24, (480, 360))
    for k in range(34):
        picture = shot(camera(0.018 * k, enlarged=2), grain=0.4)[0]
        if k % 2:
            picture = cv2.GaussianBlur(picture, (0, 0), 3)  # of each two the sharp one is taken
        film.write(np.ascontiguousarray(picture[..., ::-1]))
    film.release()
    views = LITTLE | {"max_frames": 17, "object_size_m": 0.1, "width_px": 240}
    done = run(tmp_path, tmp_path / "film.avi", seen=camera(0.0, enlarged=2), reconstruct={"views": views})
    assert done.exit_code == 0, done.output
    assert "17 pictures, taken as: photos" in done.output
    report = json.loads((tmp_path / "store" / "ball" / "reconstruction" / "report.json").read_text())
    assert len(report["poses"]["registered"]) >= 15 and report["plane"]["scale_from"] == "object size 0.1 m"
    assert all(int(n[6:12]) % 2 == 0 for n in report["poses"]["registered"])


def spoiled(tmp_path: Path, how: str) -> Path:
    inputs, _ = shots(4, depth=how == "depth", poses=how in ("depth", "intrinsics"))
    folder = write(tmp_path / "views", inputs)
    third = folder / "v02.png"
    if how == "twins":
        third.write_bytes((folder / "v00.png").read_bytes())
    elif how == "blur":
        cv2.imwrite(str(third), cv2.GaussianBlur(cv2.imread(str(third)), (0, 0), 9))
    elif how == "corrupt":
        third.write_bytes(third.read_bytes()[:900])
    elif how == "sizes":
        cv2.imwrite(str(third), cv2.imread(str(third))[:90])
    elif how == "intrinsics":
        cameras = json.loads((folder / "cameras.json").read_text())
        cameras[2]["K"][0][0] = 3.0
        (folder / "cameras.json").write_text(json.dumps(cameras))
    elif how == "depth":
        cv2.imwrite(str(folder / "depth" / "v02.png"), np.full((90, 120), 400, np.uint16))
    return folder


@pytest.mark.parametrize(("how", "code", "words"), [
    ("twins", ErrorCode.INVALID_IMAGE, "v00.png and v02.png are the same picture"),
    ("blur", ErrorCode.INVALID_IMAGE, "blurred: v02.png"),
    ("corrupt", ErrorCode.INVALID_IMAGE, "v02.png"),
    ("sizes", ErrorCode.INVALID_IMAGE, "v02.png is 240 x 90"),
    ("intrinsics", ErrorCode.INVALID_CAMERA, "v02.png: intrinsics fx 3"),
    ("depth", ErrorCode.INVALID_IMAGE, "v02.png: depth is 120 x 90 px and the picture 240 x 180"),
])  # fmt: skip
def test_input_that_cannot_be_used_is_an_error_with_its_reason(
    tmp_path: Path, how: str, code: ErrorCode, words: str
) -> None:
    done = run(tmp_path, spoiled(tmp_path, how))
    assert done.exit_code == 1 and f"error {int(code)}: " in done.output
    assert words in " ".join(done.output.split()), done.output
    assert not (tmp_path / "store" / "ball").exists()


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path, ball_rgbd) -> None:
    folder = write(tmp_path / "views", ball_rgbd[0])
    views = LITTLE | {"masks": "sam2", "sam2": {"checkpoint": str(tmp_path / "sam.pt"), "size": "large"}}
    done = run(tmp_path, folder, reconstruct={"views": views})
    text = " ".join(done.output.split())
    assert done.exit_code == 1 and f"error {int(ErrorCode.MISSING_WEIGHTS)}: " in text
    assert "views.sam2.checkpoint" in text and "does not exist" in text and "'large'" in text
    wrong = scene_file(tmp_path, reconstruct={"views": LITTLE}).read_text().replace("steps: 30", "stepz: 30")
    (tmp_path / "ball.yaml").write_text(wrong)
    done = CliRunner().invoke(app, ["reconstruct", str(tmp_path / "ball.yaml"), "--views", str(folder)])
    assert done.exit_code == 1 and "reconstruct.views.stepz" in done.output


def test_missing_and_wrong_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ReconstructError, match=r"views\.sam2\.checkpoint: none is named") as caught:
        predictor(Sam2Settings(), video=False)
    assert caught.value.code == ErrorCode.MISSING_WEIGHTS
    with pytest.raises(ReconstructError, match=r"sam\.pt does not exist"):
        predictor(Sam2Settings(checkpoint=str(tmp_path / "sam.pt")), video=True)


def test_prompts_of_a_photo_of_another_size_are_said_to_be_of_that(tmp_path: Path) -> None:
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    photo = ball_photo()
    cv2.imwrite(str(small), photo[..., ::-1])
    cv2.imwrite(str(large), cv2.resize(photo, None, fx=2, fy=2)[..., ::-1])
    scene = tmp_path / "ball.yaml"
    scene.write_text(yaml.safe_dump(ball_config().model_dump(mode="json") | {"photo": "small.png"}))
    outputs = [
        CliRunner().invoke(app, ["reconstruct", str(scene), "--photo", str(p), "--store", str(tmp_path / "s")]).output
        for p in (large, small)
    ]
    assert "640 x 352 px, the scene file's photo 320 x 176" in outputs[0].replace("\n", " ")
    assert "the scene file's photo" not in outputs[1] and "looks like its pictures" in outputs[1]
