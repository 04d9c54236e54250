"""Where things went is found frame by frame, without what masks are too wide by."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.tracking.film import Film
from pw_core.refine.tracking.track import track
from support.spotted import FRAMES, filmed, still, truth


def test_silhouettes_that_are_too_wide_do_not_blow_a_body_up(spotted) -> None:
    scene, cameras = spotted
    frames, masks = filmed(scene, cameras, truth(scene))
    wide = ((ndimage.maximum_filter(masks, (0, 0, 3, 3)) > 0) & (masks >= 0)).astype(np.int32)
    model = Model(scene, scene.initial_appearance())
    off = []
    for each in (masks, wide):
        film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), each, width=192, weights=(1, 1, 1))
        motion = Motion.start(model, still(scene), nodes=8)
        list(track(model, film, motion))
        found = motion.positions(model, FRAMES - 1) - scene.entities[0].origin
        right = truth(scene)[-1] - scene.entities[0].origin
        off.append(found.std() / right.std() - 1)
    assert abs(off[1]) < 0.02 and abs(off[0]) < 0.02, off
