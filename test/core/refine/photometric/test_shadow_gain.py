"""A smooth gain on the table, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pw_core.refine.photometric.shadow_gain import ShadowGain, ShadowGainOptions


@pytest.fixture(scope="module")
def made(spotted) -> ShadowGain:
    scene, cameras = spotted
    # The ball's table is of blots so large that they are drawn 2 cm above it.
    options = ShadowGainOptions(cells=6, table_thickness_m=0.03)
    return ShadowGain(scene, scene.initial_appearance(), cameras[:1], scene.rest[None], device="cpu", options=options)


def test_no_gain_is_the_picture_as_it_was(made) -> None:
    assert made.gain.shape == (1, 6, 6)
    assert np.array_equal(made.picture(0, torch.from_numpy(made.gain[0])).numpy(), made.plain(0))
    assert made.baked(made.gain[0]) is made.appearance.background_sh


def test_a_gain_darkens_the_table_round_the_entities_alone(made) -> None:
    dark = torch.full((6, 6), float(np.log(0.5)))
    ratio = made.picture(0, dark).numpy() / np.maximum(made.plain(0), 1e-6)
    shown = made.plain(0).max(-1) > 0.05
    assert ratio[shown].min() == pytest.approx(0.5, abs=0.01) and ratio[shown].max() == pytest.approx(1, abs=0.01)


def test_a_baked_gain_darkens_the_backgrounds_colours(made) -> None:
    def colours(sh: np.ndarray) -> np.ndarray:
        return 0.5 + 0.28209479 * sh[:, 0]

    dark = np.full((6, 6), np.log(0.5), np.float32)
    before, after = colours(made.appearance.background_sh), colours(made.baked(dark))
    means = made.scene.background.means
    middle = np.linalg.norm(means[:, :2] - made.scene.entities[0].origin[:2], axis=1) < 0.05
    far = np.linalg.norm(means[:, :2] - made.scene.entities[0].origin[:2], axis=1) > 0.4
    assert np.allclose(after[middle], 0.5 * before[middle], atol=1e-3) and np.array_equal(after[far], before[far])


def test_an_even_gain_is_no_rougher_than_its_size(made) -> None:
    even, one = torch.full((2, 6, 6), 0.2), torch.zeros(2, 6, 6)
    one[0, 3, 3] = 0.2 * 72**0.5  # of the same mean square
    assert made.roughness(even).item() == pytest.approx(0.04)
    assert made.roughness(one).item() > 10 * made.roughness(even).item()
