"""Gaussians of an entity onto particles inside it."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Binding
from pw_core.reconstruct.binding.bind import BindOptions, bind_to_particles, fit_bound, off_surface
from pw_core.reconstruct.splatting.splats import surface_gaussians
from pw_core.reconstruct.types import View
from support.ball import CENTRE, RADIUS, camera, config, shot
from support.ball_floor import ball, floor

VOLUME = 4 / 3 * np.pi * RADIUS**3


def shell(radius: float = RADIUS, count: int = 400):
    """Grey Gaussians on a sphere round the ball's centre, too wide for its particles."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    across = np.cross(normal, [0, 0, 1.0])
    across *= 0.05 / np.linalg.norm(across, axis=1, keepdims=True)
    return surface_gaussians(CENTRE + radius * normal, across, np.cross(normal, across), np.full((count, 3), 0.5))


def test_what_floats_off_the_surface_is_not_of_the_thing() -> None:
    solid = ball()
    assert not off_surface(solid, shell()).any() and not off_surface(solid, shell(RADIUS + 2 * solid.step)).any()
    assert off_surface(solid, shell(RADIUS + 3.5 * solid.step)).all()
    assert not off_surface(solid, shell(RADIUS + 3.5 * solid.step), options=BindOptions(stray_voxels=6)).any()


def test_every_gaussian_is_within_its_particle_and_no_wider_than_it_may_be() -> None:
    made = bind_to_particles(ball(), shell(), config().entities[0], volume_m3=VOLUME, count=500)
    assert made.spacing_m == pytest.approx((VOLUME / 500) ** (1 / 3))
    offset = np.tanh(made.raw) * made.spacing_m
    assert np.linalg.norm(offset, axis=1).max() <= 0.9 * made.spacing_m + 1e-6
    assert np.allclose(made.positions[made.index[:, 0]] + offset, made.gaussians.means, atol=1e-6)
    assert np.allclose(made.weights.sum(1), 1) and (made.gaussians.means[:, 2] > -ball().step).all()
    assert np.exp(made.gaussians.log_scales).max() <= 0.7 * made.spacing_m * (1 + 1e-6)


def test_a_thing_without_gaussians_on_its_surface_or_room_for_particles_is_refused() -> None:
    entity = config().entities[0]
    for gaussians, count, words in ((shell(2 * RADIUS), 500, "no Gaussian lies on"), (shell(), 3, "particles fit")):
        with pytest.raises(ReconstructError, match=words) as caught:
            bind_to_particles(ball(), gaussians, entity, volume_m3=VOLUME, count=count)
        assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED


def test_the_bound_fit_comes_nearer_to_the_pictures_and_leaves_particles_where_they_are() -> None:
    made = bind_to_particles(ball(), shell(), config().entities[0], volume_m3=VOLUME, count=500)
    view = camera(0.0)
    picture, _, mask = shot(view)
    rest = made.positions.astype(np.float32)
    binding = Binding(made.index.astype(np.int64), *(a.astype(np.float32) for a in (
        made.weights, made.raw, np.full(len(made.raw), made.spacing_m))))  # fmt: skip
    steps: list[float] = []
    seen, union = [View(view.name, picture, view)], {view.name: mask}
    given = (rest, binding, made.gaussians, floor())
    before = made.gaussians.sh.copy()
    new, fitted = fit_bound(seen, union, *given, steps=15, progress=lambda s, f: steps.append(f))
    assert steps[-1] == 1.0 and len(steps) == 15
    truth = picture[mask].mean(0) / 255
    assert np.array_equal(made.gaussians.sh, before)  # nothing is written to what it was given
    worse, better = (np.abs(g.colors().mean(0) - truth).mean() for g in (made.gaussians, fitted))
    assert better < worse
    assert np.array_equal(fitted.means, rest[new.index[:, 0]] + new.offsets())
    assert np.abs(new.raw).max() <= 1.8 + 1e-6
    same = fit_bound(seen, union, *given, steps=0, progress=lambda s, f: None)
    assert same[0] is binding and same[1] is made.gaussians
