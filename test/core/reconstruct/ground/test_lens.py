"""A field of view against what EXIF says, as a user reads it of a scene."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.ground.lens import lens_doubts
from support.ball_photo import ball_config, ball_photo


def test_what_exif_bears_out_or_does_not_tell_is_not_doubted() -> None:
    assert lens_doubts(40, exif_focal_px=0, width_px=640) == []
    assert lens_doubts(66, exif_focal_px=500, width_px=640) == []


@pytest.mark.parametrize("hfov_deg", [40, 90])
def test_another_lens_is_told_with_exifs(hfov_deg: float) -> None:
    (text,) = lens_doubts(hfov_deg, exif_focal_px=500, width_px=640)
    assert f"camera.hfov_deg is {hfov_deg}" in text and "camera.hfov_deg 65.2 would fit" in text


def test_radians_are_told() -> None:
    (text,) = lens_doubts(1.2, exif_focal_px=0, width_px=640)
    assert "1.2 radians are 69" in text


def test_a_scene_of_a_photo_whose_exif_contradicts_it_says_so(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    Image.fromarray(ball_photo()).save(tmp_path / "ball.jpg", exif=exif, quality=95)
    scene = reconstruct(ball_config().model_copy(update={"photo": str(tmp_path / "ball.jpg")}))
    assert any("by its EXIF" in text for text in scene.provenance["doubts"])
