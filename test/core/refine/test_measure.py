"""Figures that do not depend on the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.refine.measure import errors_of_entities
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.tracking.film import Film
from support.spotted import filmed, still, truth


def test_pictures_tell_a_right_correction_from_a_wrong_one(spotted) -> None:
    scene, cameras = spotted
    model = Model(scene, scene.initial_appearance())
    shadow_gain = ShadowGain(scene, model.appearance, cameras, still(scene).positions, device="cpu")
    moved = replace(still(scene), positions=truth(scene))
    for real, before, after in ((truth(scene), still(scene), moved), (still(scene).positions, moved, still(scene))):
        frames, masks = filmed(scene, cameras, real)
        film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=192, weights=(1, 1, 1))
        motions = (Motion.start(model, before, nodes=4), Motion.start(model, after, nodes=4))
        wrong, right = errors_of_entities(model, motions, shadow_gain, film)["ball"]
        assert right < 0.3 * wrong and right < 2e-3
