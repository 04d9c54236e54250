"""Films are resampled to the trajectory's times; files are read; bad films are refused with their reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import Camera
from pw_core.refine.targets.observed import CameraFilm, Observed, nearest
from pw_core.refine.targets.registry import provide
from support.target_request import H, W, camera, make_request


def pictures(levels: list[int], *, height: int = H, width: int = W) -> np.ndarray:
    return np.stack([np.full((height, width, 3), v, np.uint8) for v in levels])


def test_the_nearest_frame_within_the_tolerance() -> None:
    film = CameraFilm("cam0", np.array([99.99, 100.041, 100.079, 100.5]), pictures([50, 60, 70, 80]))
    out = provide(Observed(films=[film], time_origin=100.0, tolerance=0.015), make_request())
    assert out.frames[0, :, 0, 0, 0].tolist() == [50, 60, 70, 0, 0]
    assert out.valid[0].all((1, 2)).tolist() == [True, True, True, False, False]
    assert not out.valid[0, 3:].any() and out.masks is None
    assert nearest([0.0], [-1.0, 5.0]).tolist() == [0, 0]
    assert nearest([0.0, 1.0], [0.5, 0.51]).tolist() == [0, 1]


def test_a_blend_is_by_time() -> None:
    film = CameraFilm("cam0", np.array([0.0, 0.1, 0.2]), pictures([50, 150, 250]))
    near = provide(Observed(films=[film]), make_request())
    mixed = provide(Observed(films=[film], blend=True), make_request())
    assert near.frames[0, :, 0, 0, 0].tolist() == [50, 50, 150, 150, 250]
    assert mixed.frames[0, :, 0, 0, 0].tolist() == [50, 90, 130, 170, 210]


def test_views_go_by_name_and_pixels_not_seen_are_left_out() -> None:
    valid = np.ones((5, H, W), np.bool_)
    valid[:, :, :20] = False
    masks = np.zeros((5, H, W), np.int32)
    masks[:, 20:30, 30:40] = 1
    stamps = np.arange(5) * 0.04
    films = [
        CameraFilm("cam1", stamps, pictures([90] * 5), masks=masks),
        CameraFilm(camera("cam0"), stamps, pictures([30] * 5), valid=valid, masks=masks),
    ]
    out = provide(Observed(films=films), make_request(views=2))
    assert (out.frames[0] == 30).all() and (out.frames[1] == 90).all()
    assert np.array_equal(out.valid[0], valid) and out.valid[1].all()
    assert out.masks is not None and np.array_equal(out.masks[1], masks)


def test_a_film_of_another_size_is_scaled() -> None:
    valid = np.ones((1, 2 * H, 2 * W), np.bool_)
    valid[:, :21] = False
    masks = np.zeros((1, 2 * H, 2 * W), np.int32)
    masks[:, :, 41:] = 1
    film = CameraFilm("cam0", np.zeros(1), pictures([40], height=2 * H, width=2 * W), valid, masks)
    provider = Observed(films=[film], tolerance=1.0)
    (known,) = provider.cameras([camera("cam0")])
    assert (known.width, known.height) == (2 * W, 2 * H)
    out = provide(provider, make_request())
    assert not out.valid[0, 0, :11].any() and out.valid[0, 0, 11:].all()  # a pixel half observed is not observed
    assert out.masks is not None
    assert out.masks[0, 0, 0, 18:23].tolist() == [0, 0, -1, 1, 1]


def shifted(c: Camera) -> Camera:
    viewmat = c.viewmat.copy()
    viewmat[0, 3] += 0.05
    return Camera(c.name, c.K, viewmat, c.width, c.height)


STAMPS = np.arange(5) * 0.04
GOOD = pictures([90] * 5)


@pytest.mark.parametrize(
    ("film", "code", "words"),
    [
        (("cam0", STAMPS[:4], GOOD), ErrorCode.INVALID_TARGET, "'cam0': found 5 frames and 4 stamps"),
        (("cam0", STAMPS[::-1], GOOD), ErrorCode.INVALID_STAMPS, "'cam0': stamps are out of order: number 1"),
        (("cam0", STAMPS, pictures([90, 90, 0, 90, 90])), ErrorCode.INVALID_TARGET, "'cam0': frame 2: all black"),
        (("cam0", STAMPS, np.full((5, H, W, 3), np.nan)), ErrorCode.INVALID_TARGET, "frame 0 holds NaN at pixel"),
        (("cam0", STAMPS, np.full((5, H, W, 3), 3.0)), ErrorCode.INVALID_TARGET, "floats from 3 to 3, expected 0 to 1"),
        (("cam0", STAMPS, GOOD[..., 0]), ErrorCode.INVALID_TARGET, r"found shape \(5, 48, 64\), expected \(frames"),
        (("cam0", STAMPS, GOOD, np.ones((5, H, 3), np.bool_)), ErrorCode.INVALID_TARGET, "valid: found bool"),
        (("cam0", STAMPS + 9, GOOD), ErrorCode.INVALID_STAMPS, "no frame within 0.02 s of any .* 9.000 to 9.160 s"),
        (("other", STAMPS, GOOD), ErrorCode.TARGET_CAMERA_UNKNOWN, "no film of camera 'cam0'; .* of: other"),
        ((shifted(camera("cam0")), STAMPS, GOOD), ErrorCode.TARGET_CAMERA_UNKNOWN, "the pose by 0.05"),
        (("cam0", STAMPS, pictures([90] * 5, width=80)), ErrorCode.INVALID_TARGET, "80 x 48 px, expected the shape of"),
        ((camera("cam0", width=80), STAMPS, GOOD), ErrorCode.INVALID_TARGET, "expected the camera's 80 x 48 px"),
    ],
)
def test_bad_films(film: tuple[Any, ...], code: ErrorCode, words: str) -> None:
    with pytest.raises(RefineError, match=words) as caught:
        provide(Observed(films=[CameraFilm(*film)]), make_request())
    assert caught.value.code == code


def test_bad_settings() -> None:
    film = CameraFilm("cam0", STAMPS, GOOD)
    with pytest.raises(RefineError, match="'cam0': the scene does not know that camera; it has: photo") as caught:
        Observed(films=[film]).cameras([camera("photo")])
    assert caught.value.code == ErrorCode.TARGET_CAMERA_UNKNOWN
    for settings, words in (
        ({"films": []}, "found no film"), ({"films": [film, film]}, "more than one film of camera 'cam0'"),
        ({"films": [film], "tolerance": -1}, "tolerance: found -1"),
        ({"films": [film], "time_origin": float("nan")}, "time_origin: found nan"),
    ):  # fmt: skip
        with pytest.raises(RefineError, match=words):
            Observed(**settings)


def test_floats_are_films_too() -> None:
    assert CameraFilm("cam0", STAMPS[:1], np.full((1, H, W, 3), 0.5)).frames[0, 0, 0, 0] == 128
