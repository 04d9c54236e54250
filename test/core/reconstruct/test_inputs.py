"""What was given: which route it allows, and input that cannot be used, each with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.inputs import Inputs, check, metres
from support.ball import shots


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


def test_what_is_given_decides_the_route() -> None:
    asked = ((1, False, True), (1, True, True), (3, False, False), (3, True, False), (3, False, True), (3, True, True))
    routes = [shots(n, depth=d, poses=p)[0].route for n, d, p in asked]
    assert routes == ["photo", "rgbd", "photos", "rgbd pictures", "posed", "posed rgbd"]
    assert isinstance(shots(1, depth=False)[0], Inputs)
