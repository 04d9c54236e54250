"""The ground where a thing stood: light and grain go on over it."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.views.paving import fill_texture


def test_light_and_grain_go_on_over_a_hole() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:160, 0:200]
    light = 60 + 0.6 * x + 0.3 * y
    grain = rng.normal(size=(160, 200)) * 14
    true = np.repeat((light + grain)[..., None], 3, axis=2).clip(0, 255).astype(np.float32)
    hole = np.hypot(x - 90, y - 80) < 24
    known = ~hole & (y > 10)
    spoilt = np.where(hole[..., None], [250, 0, 250], true).astype(np.float32)
    found = fill_texture(spoilt, hole, known)
    assert (found[~hole] == spoilt[~hole]).all()
    apart = (found - np.repeat(light[..., None], 3, 2))[hole]
    assert abs(apart.mean()) < 5  # as bright as what lies round it, on both sides
    for side in (hole & (x < 80), hole & (x > 100)):
        assert abs((found - np.repeat(light[..., None], 3, 2))[side].mean()) < 8
    assert 0.7 < apart.std() / grain.std() < 1.3  # not smooth, and not louder


def test_where_nothing_is_known_nothing_is_invented() -> None:
    picture = np.full((40, 50, 3), 7, np.float32)
    hole = np.ones((40, 50), bool)
    assert (fill_texture(picture, hole, ~hole) == picture).all()
