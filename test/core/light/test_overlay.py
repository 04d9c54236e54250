"""Shadows laid over pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pw_core.appearance import Appearance
from pw_core.light.occlusion import Shade
from pw_core.light.overlay import kept, kept_tensor, laid_over, laid_over_on_cuda, receivers
from support.lit import light, lit_scene


def test_only_the_background_s_part_of_a_pixel_is_shaded_alike_by_both_ways() -> None:
    rng = np.random.default_rng(0)
    shade = Shade(np.array([10, -5]), rng.uniform(0.3, 1, (12, 14, 3)).astype(np.float32))
    points = np.stack([*rng.uniform(-0.05, 0.15, (2, 20, 30)), np.where(rng.uniform(size=(20, 30)) < 0.3, 0.2, 0)], -1)
    places = receivers(points, replace(light(), step_m=0.004))
    share = kept(shade, places)
    assert (share[points[..., 2] > 0.1] == 1).all() and share.min() < 0.6
    inside = (np.abs(places[..., :2] - [15.5, 1.5]) < [5, 6]).all(-1)
    same = np.abs(kept_tensor(shade, torch.from_numpy(places)).numpy() - share)
    assert same[inside].max() < 1e-5
    ground = rng.uniform(size=(20, 30, 3)).astype(np.float32)
    cover = rng.uniform(size=(20, 30)).astype(np.float32)
    rgb = cover[..., None] * np.float32(0.5) + (1 - cover[..., None]) * ground
    wanted = cover[..., None] * 0.5 + (1 - cover[..., None]) * ground * share
    assert np.abs(laid_over(rgb, cover, ground, places, shade) / 255 - wanted).max() < 0.003
    tensors = [torch.from_numpy(a) for a in (rgb, cover, ground, places)]
    assert np.abs(laid_over_on_cuda(*tensors, shade).numpy() - wanted)[inside].max() < 1e-5


def test_shadows_fall_from_where_things_are_drawn_however_many_threads_there_are() -> None:
    scene = lit_scene()
    start, camera = scene.initial_physics(), scene.cameras[0]
    positions = start.particles.positions + np.float32((0, 0, 0.02))  # drawn lower than it is
    physics = replace(start, particles=replace(start.particles, positions=positions))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = Appearance(scene).render(camera, physics).rgb
        torch.set_num_threads(8)
        for _ in range(3):
            np.testing.assert_array_equal(Appearance(scene).render(camera, physics).rgb, alone)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_lit_scene_at_rest_slid_and_lifted_looks_alike_on_cuda() -> None:
    scene = lit_scene()
    start, camera = scene.initial_physics(), scene.cameras[0]
    looks = [Appearance(scene, device=device) for device in ("cpu", "cuda")]
    unlit = Appearance(replace(scene, light=None), device="cuda")
    for move in ((0, 0, 0), (0.013, -0.03, 0), (0, 0, 0.02)):
        positions = start.particles.positions + np.float32(move)
        bodies = {name: replace(b, position=b.position + move) for name, b in start.bodies.items()}
        physics = replace(start, particles=replace(start.particles, positions=positions), bodies=bodies)
        here, there = (look.render(camera, physics).rgb.astype(int) for look in looks)
        assert np.abs(here - there).max() <= 4 and np.abs(here - there).mean() < 0.1
        assert np.abs(unlit.render(camera, physics).rgb.astype(int) - there).max() > 20
