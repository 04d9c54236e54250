"""What a picture does not show (alpha, a lens) is nobody's colour: not the table's, not the scene's."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct import Inputs, ViewInput, reconstruct
from pw_core.reconstruct.splatting.draw import draw_gaussians
from support.ball_photo import ball_config, ball_photo


@pytest.mark.parametrize("level", [0, 255])
def test_a_border_that_nobody_saw_takes_the_colours_beside_it(level: int) -> None:
    photo = ball_photo()
    valid = np.ones(photo.shape[:2], bool)
    valid[:, :24] = valid[-16:] = False
    painted = np.where(valid[..., None], photo, level).astype(np.uint8)
    config = ball_config()
    whole, cut = (reconstruct(config, Inputs((v,))) for v in (
        ViewInput("a.png", photo), ViewInput("a.png", painted, valid=valid)))  # fmt: skip
    camera = cut.cameras[0]
    drawn = [np.asarray(draw_gaussians(s.background, camera).rgb[0]) for s in (whole, cut)]
    border = ~valid  # the working size is the photo's
    assert np.abs(drawn[1] - drawn[0])[border].mean() < 0.05  # painted, it would be half of all there is
    assert cut.entities[0].volume_m3 == pytest.approx(whole.entities[0].volume_m3, rel=0.05)


def test_a_cut_out_says_that_there_is_no_table() -> None:
    photo = ball_photo()
    valid = np.zeros(photo.shape[:2], bool)
    left, top, right, bottom = (int(x) for x in ball_config().entities[0].prompt.box)
    valid[top:bottom, left:right] = True
    grey = np.where(valid[..., None], photo, 128).astype(np.uint8)
    scene = reconstruct(ball_config(), Inputs((ViewInput("a.png", grey, valid=valid),)))
    assert any("plain grey" in text for text in scene.provenance["doubts"])
