"""Photo files and pixels: what is taken, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, PWError, ReconstructError
from pw_core.reconstruct.image import check_photo, load_photo, noise_doubts, noise_levels, quiet
from pw_core.reconstruct.segmentation.second_look import photo_masks
from support.ball_photo import ball_config, ball_mask, ball_photo

ROOT = Path(__file__).parents[3]


def config(name: str) -> SceneConfig:
    return SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 1, 3), np.uint8), ((40, 20000, 3), np.uint8), ((64, 64, 2), np.uint8), ((64, 64), float)]
)
def test_photos_that_cannot_be_used(shape, dtype) -> None:
    with pytest.raises(PWError) as error:
        check_photo(np.zeros(shape, dtype))
    assert error.value.code == ErrorCode.INVALID_IMAGE


def test_grey_and_16_bit_photos_are_taken() -> None:
    assert check_photo(np.full((64, 64), 7, np.uint8)).shape == (64, 64, 3)
    assert check_photo(np.full((64, 64, 3), 256 * 200, np.uint16))[0, 0, 0] == 200


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    whole = Path(config("jam").photo).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("empty.png", "nowhere.png", "half.png"):
        with pytest.raises(PWError, match=name) as error:
            load_photo(tmp_path / name)
        assert error.value.code == ErrorCode.INVALID_IMAGE


def test_half_a_png_is_refused(tmp_path: Path) -> None:
    whole = cv2.imencode(".png", ball_photo())[1].tobytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReconstructError, match="half") as caught:
        load_photo(tmp_path / "half.png")
    assert caught.value.code == ErrorCode.INVALID_IMAGE


def test_a_noisy_photo_is_told_and_its_thing_found_all_the_same() -> None:
    noise = np.random.default_rng(0).normal(size=ball_photo().shape)
    noisy = np.clip(ball_photo() + 30 * noise, 0, 255).astype(np.uint8)
    assert noise_levels(noisy) == pytest.approx(30, rel=0.15) and noise_levels(ball_photo()) < 5
    (text,) = noise_doubts(noisy)
    assert "noisy (by" in text and "more light" in text
    assert noise_doubts(ball_photo()) == [] and (quiet(ball_photo()) == ball_photo()).all()
    (mask,) = photo_masks(noisy, ball_config().entities, ViewsSettings(), scale=1.0)
    assert (mask & ball_mask()).sum() / (mask | ball_mask()).sum() > 0.9


def test_a_photo_compressed_into_blocks_is_told() -> None:
    y, x = np.mgrid[:176, :320]
    smooth = (120 + 60 * np.sin(x / 40)[..., None] * np.cos(y / 30)[..., None] + [0, 10, 20]).astype(np.uint8)
    told = []
    for quality in (4, 75):
        done, data = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done
        told.append(noise_doubts(np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR))))
    assert len(told[0]) == 1 and "fell into blocks" in told[0][0] and told[1] == []
