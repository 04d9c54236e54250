"""A smooth change of colour over each entity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.gaussians import SH_C0
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.color_correction import corrected_colors
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.tracking.film import Film
from support.spotted import filmed, still


def test_light_seen_on_one_side_holds_for_the_other(spotted) -> None:
    scene, cameras = spotted
    pale = np.float32([0.15, 0.1, 0.1])
    lit = replace(scene, foreground=replace(scene.foreground, sh=scene.foreground.sh + pale / SH_C0))
    real = still(scene).positions
    frames, masks = filmed(lit, cameras[:1], real)
    film = Film.scaled(cameras[:1], frames, np.ones(masks.shape, bool), masks, width=192, weights=(1,))
    model = Model(scene, scene.initial_appearance())
    shadow_gain = ShadowGain(scene, model.appearance, film.cameras, real, device="cpu")
    found = corrected_colors(model, film, Motion.start(model, still(scene), nodes=4), shadow_gain, frames=[0, 3])
    changed = (found - scene.foreground.sh)[:, 0] * SH_C0
    away = (scene.rest - cameras[0].centre)[model.own] @ (scene.entities[0].origin - cameras[0].centre)
    unseen = away > np.quantile(away, 0.7)
    assert changed[unseen].mean(0) == pytest.approx(pale, abs=0.04)
