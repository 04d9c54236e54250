"""The photo lift on real photos, which are not in the repository: skipped where the shared data folder is absent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pw_core.config import SceneConfig
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.image import load_photo, working_size
from pw_core.reconstruct.segmentation.prompt import segment

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("PW_SHARED_DATA", ROOT.parent / "shared" / "data")) / "photos"


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jam", "dumpling", "play_doh"])
def test_a_real_photo_comes_back_through_the_bound_gaussians(name: str) -> None:
    from pw_core.appearance import Appearance

    if not (FOLDER / f"{name}.png").is_file():
        pytest.skip("set PW_SHARED_DATA to the folder that holds photos/")
    config = SceneConfig.load(ROOT / f"test/core/scenes_shared/{name}.yaml")
    photo = load_photo(FOLDER / f"{name}.png")
    scene = reconstruct(config, Inputs.of_photo(config, photo))
    camera = scene.cameras[0]
    small = working_size(photo, camera.width)
    drawn = Appearance(scene).render(camera, scene.initial_physics()).rgb
    assert psnr(drawn, small) >= 28
    for entity in config.entities:
        mask = segment(small, entity, scale=camera.width / photo.shape[1])
        assert psnr(drawn[mask], small[mask]) >= 26
