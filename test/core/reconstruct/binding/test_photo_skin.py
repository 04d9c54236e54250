"""Fine parts get Gaussians that travel with their thing, and no particles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.appearance import Appearance
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.binding.assemble import measure
from pw_core.reconstruct.binding.photo_skin import bound_skin, photo_skin
from pw_core.reconstruct.segmentation.fine_parts import fine_parts
from pw_core.reconstruct.surface.inflate import make_solid
from pw_core.scene import PhysicsState
from support.ball_photo import CENTRE, STEM_PX, ball_config, ball_mask, camera, spiny_photo, stem_photo


def test_fine_parts_hang_on_the_things_own_particles() -> None:
    config, photo = ball_config(), spiny_photo()
    solid = make_solid(ball_mask(), config.entities[0], camera())
    (fine,) = fine_parts(photo, [ball_mask()])
    assert fine is not None
    (body,) = measure(config, [solid.mesh])
    smooth, spiny = (photo_skin(solid, photo, camera(), fine=f) for f in (None, fine))
    assert not smooth.fine.any() and spiny.fine.sum() == ((fine.alpha > 0.05) & ~ball_mask()).sum()
    assert spiny.outline[spiny.fine].all()
    plain, bound = (bound_skin(config.entities[0], solid, body, s, camera()) for s in (smooth, spiny))
    assert np.array_equal(plain.positions, bound.positions)
    delta = np.broadcast_to(bound.spacing_m, len(bound.raw))
    placed = bound.positions[bound.index[:, 0]] + delta[:, None] * np.tanh(bound.raw)
    off = np.linalg.norm(placed - spiny.gaussians.means, axis=1)
    assert off[spiny.fine].max() < 1e-5
    assert (delta[~spiny.fine] == delta.min()).all()


def test_no_ghost_of_the_spines_stays_where_a_thing_was() -> None:
    photo = spiny_photo()
    scene = reconstruct(ball_config(), Inputs.of_photo(ball_config(), photo))
    look, start = Appearance(scene), scene.initial_physics()
    there, gone = (look.render(scene.cameras[0], p).rgb for p in (start, _away(start)))
    spines = (photo.min(-1) > 215) & ~ball_mask()
    assert there[spines].min(-1).mean() > 180
    assert (gone[spines].min(-1) > 215).mean() < 0.02


def test_a_stem_stands_in_the_middle_of_its_thing() -> None:
    photo, stem = stem_photo()
    y, x = np.nonzero(ball_mask())
    box = np.array([x.min() - 5, y.min() - STEM_PX - 5, x.max() + 6, y.max() + 6], np.float64)
    solid = make_solid(ball_mask(), ball_config().entities[0], camera())
    (fine,) = fine_parts(photo, [ball_mask()], boxes=[box])
    skin = photo_skin(solid, photo, camera(), fine=fine)
    means = skin.gaussians.means[skin.fine]
    assert abs(means[:, 0] - CENTRE[0]).max() < 0.01  # turned where it stands, it stays on the axis
    seen = np.zeros_like(stem)
    seen.reshape(-1)[skin.pixels[skin.fine]] = True
    assert (seen & stem).sum() > 0.9 * stem.sum()


def _away(start: PhysicsState) -> PhysicsState:
    """Behind the camera."""
    away = start.particles.positions + np.float32([-10, 0, 0])
    return replace(start, particles=replace(start.particles, positions=away))
