"""Input that cannot be used, each with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.config import Sam2Settings, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.inputs import Inputs, ViewInput, check, metres
from pw_core.reconstruct.segmentation.sam import predictor
from pw_core.reconstruct.splatting.checkpoint import resume
from pw_core.reconstruct.splatting.parameters import start
from support.ball import camera, config, shot, shots


def refused(inputs: Inputs, match: str, code: ErrorCode) -> None:
    with pytest.raises(ReconstructError, match=match) as caught:
        check(inputs)
    assert caught.value.code == code


def photos(count: int = 4) -> Inputs:
    return shots(count, depth=False, poses=False)[0]


def changed(inputs: Inputs, index: int, **changes: object) -> Inputs:
    views = list(inputs.views)
    views[index] = replace(views[index], **changes)
    return replace(inputs, views=tuple(views))


def test_two_identical_photos() -> None:
    inputs = photos()
    twin = changed(inputs, 2, image=inputs.views[0].image)
    refused(twin, "v00.png and v02.png are the same", ErrorCode.INVALID_IMAGE)


def test_a_blurred_photo() -> None:
    inputs = photos()
    soft = cv2.GaussianBlur(inputs.views[1].image, (0, 0), 9)
    refused(changed(inputs, 1, image=soft), "blurred: v01.png", ErrorCode.INVALID_IMAGE)


def test_mixed_sizes() -> None:
    inputs = photos()
    small = np.ascontiguousarray(inputs.views[3].image[:90])
    refused(changed(inputs, 3, image=small), r"most are 240 x 180 px, but v03.png is 240 x 90", ErrorCode.INVALID_IMAGE)


def test_one_corrupt_file_among_many(tmp_path: Path) -> None:
    for v in photos().views:
        cv2.imwrite(str(tmp_path / v.name), v.image)
    whole = (tmp_path / "v02.png").read_bytes()
    (tmp_path / "v02.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReconstructError, match=r"v02\.png") as caught:
        Inputs.load(tmp_path)
    assert caught.value.code == ErrorCode.INVALID_IMAGE


def test_folders_without_pictures_and_films_without_frames(tmp_path: Path) -> None:
    with pytest.raises(ReconstructError, match="holds no picture"):
        Inputs.load(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"not a film")
    with pytest.raises(ReconstructError, match="no frame"):
        Inputs.load(tmp_path / "film.mp4")


def test_wrong_intrinsics_and_poses() -> None:
    inputs = shots(3, depth=False)[0]
    K = inputs.views[0].K.copy()
    K[0, 2] = 900
    refused(changed(inputs, 0, K=K), "cx 900", ErrorCode.INVALID_CAMERA)
    refused(changed(inputs, 1, viewmat=2 * inputs.views[1].viewmat), "v01.png: its pose holds no rotation",
            ErrorCode.INVALID_CAMERA)  # fmt: skip


def test_depth_of_another_size_or_kind() -> None:
    inputs = shots(3, depth=True)[0]
    refused(changed(inputs, 0, depth=inputs.views[0].depth[::2, ::2]), "depth is 120 x 90 px", ErrorCode.INVALID_IMAGE)
    with pytest.raises(ReconstructError, match="uint8"):
        metres(np.ones((4, 4), np.uint8))
    with pytest.raises(ReconstructError, match="no pixel"):
        metres(np.full((4, 4), np.nan, np.float32))
    assert metres(np.full((4, 4), 1500, np.uint16))[0, 0] == pytest.approx(1.5)


@pytest.mark.parametrize("value", [True, False])
def test_masks_that_cover_everything_or_nothing(value: bool) -> None:
    inputs = photos()
    masks = {"ball": {"v00.png": np.full((180, 240), value)}}
    refused(replace(inputs, masks=masks), "mask of 'ball' in v00.png covers", ErrorCode.INVALID_PROMPT)


@pytest.mark.slow
def test_no_overlap_names_the_pictures() -> None:
    pytest.importorskip("pycolmap")
    rng = np.random.default_rng(0)
    views = tuple(
        replace(v, image=cv2.resize(rng.integers(0, 255, (45, 60, 3), np.uint8), (240, 180)), K=None, viewmat=None)
        for v in photos(3).views
    )
    with pytest.raises(ReconstructError, match=r"too little overlap.*v00\.png") as caught:
        reconstruct(config(), Inputs(views))
    assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED


def test_missing_and_wrong_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ReconstructError, match=r"views\.sam2\.checkpoint: none is named") as caught:
        predictor(Sam2Settings(), video=False)
    assert caught.value.code == ErrorCode.MISSING_WEIGHTS
    with pytest.raises(ReconstructError, match=r"sam\.pt does not exist"):
        predictor(Sam2Settings(checkpoint=str(tmp_path / "sam.pt")), video=True)
    (tmp_path / "fit.safetensors").write_bytes(b"no")
    with pytest.raises(ReconstructError, match="not a checkpoint"):
        resume(tmp_path / "fit.safetensors", start(np.eye(3), np.eye(3), sh_degree=0))


class StopError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["plane", "masks", "fit: step 20", "features", "meshes", "particles", "bound"])
def test_cancelled_in_every_stage_and_started_again(ball_rgbd, tmp_path: Path, stage: str) -> None:
    inputs, _ = ball_rgbd
    small = ViewsSettings(width_px=120, steps=30, bind_steps=9, voxels=32, checkpoint_every=10)

    def stop(now: str, fraction: float) -> None:
        if now.startswith(stage):
            raise StopError

    with pytest.raises(StopError):
        reconstruct(config(), inputs, settings=small, folder=tmp_path, progress=stop)
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "report.json").exists()
    steps: list[str] = []
    scene = reconstruct(config(), inputs, settings=small, folder=tmp_path, progress=lambda s, f: steps.append(s))
    assert len(scene.entities) == 1
    fitted = [s for s in steps if s.startswith("fit: step")]
    if stage in ("features", "meshes", "particles", "bound"):
        assert not fitted  # the fit was done, and is not done again
    elif stage.startswith("fit"):
        assert not any("step 10 of" in s for s in fitted)


@pytest.mark.slow
def test_cancelled_while_poses_are_found_and_started_again(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    views = []
    for k in range(7):
        cam = camera(0.06 * k, name=f"v{k}.png", enlarged=2)
        views.append(ViewInput(cam.name, shot(cam, grain=0.4)[0]))
    inputs, told = Inputs(tuple(views)), []

    def run_to(stage: str) -> list[str]:
        told.clear()

        def stop(now: str, fraction: float) -> None:
            told.append(now)
            if now == stage:
                raise StopError

        with pytest.raises(StopError):
            reconstruct(config(), inputs, settings=ViewsSettings(width_px=120), folder=tmp_path, progress=stop)
        assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "report.json").exists()
        return list(told)

    for stage in ("features", "matching", "poses"):
        run_to(stage)
        assert not (tmp_path / "sfm" / "model").exists()  # nothing that a next run would take for whole
    assert run_to("plane")[:4] == ["features", "matching", "poses", "plane"]
    assert run_to("plane") == ["plane"]  # the poses are there, and are not sought again
    # The fit corrects masks that its own scale came from: what is done after it finds the scale that it was made in.
    small = ViewsSettings(width_px=120, steps=60, bind_steps=9, voxels=32)
    asked = config(seen=camera(0.0, enlarged=2))
    done = [reconstruct(asked, inputs, settings=small, folder=tmp_path) for _ in range(2)]
    first, second = (s.provenance["figures"]["train"]["psnr_db"] for s in done)
    assert second == pytest.approx(first, abs=1e-6)
    assert done[1].provenance["plane"]["scale"] == done[0].provenance["plane"]["scale"]


def test_exif_focal_length_is_the_first_guess(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 35
    picture = Image.fromarray(photos(1).views[0].image)
    picture.save(tmp_path / "with.jpg", exif=exif)
    picture.save(tmp_path / "without.jpg")
    found = {v.name: v.focal_px for v in Inputs.load(tmp_path).views}
    # 35 mm on a 36 x 24 mm picture, over the diagonal: 240 x 180 px is one of 300 px.
    assert found == {"with.jpg": pytest.approx(35 * 300 / 43.267, rel=1e-3), "without.jpg": 0.0}
