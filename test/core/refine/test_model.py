"""A scene as refinement moves and draws it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.appearance import Appearance
from pw_core.refine.model import Model, ModelOptions
from support.lit import lit_scene


def test_at_rest_gaussians_are_where_the_scene_has_them(spotted) -> None:
    scene, _ = spotted
    means, covariances = Model(scene, scene.initial_appearance()).gaussians_at(scene.rest, {})
    assert np.allclose(means, scene.foreground.means, atol=1e-5)
    assert np.allclose(covariances, scene.foreground.covariances(), atol=1e-7)


def test_a_picture_has_depth_where_it_is_covered_and_each_entity_its_alpha(spotted) -> None:
    scene, cameras = spotted
    model = Model(scene, scene.initial_appearance())
    drawn = model.draw(*model.gaussians_at(scene.rest, {}), cameras)
    assert drawn.alpha.shape == (3, cameras[0].height, cameras[0].width, 1)
    assert (np.isfinite(drawn.depth) == (drawn.alpha[..., 0] > 0.3)).mean() > 0.999
    away = np.linalg.norm(scene.entities[0].origin - cameras[0].centre)
    assert abs(np.median(drawn.depth[0][np.isfinite(drawn.depth[0])]) - away) < 0.06
    strict = Model(scene, scene.initial_appearance(), options=ModelOptions(least_depth_alpha=0.9))
    fewer = strict.draw(*model.gaussians_at(scene.rest, {}), cameras)
    assert np.isfinite(fewer.depth).sum() < np.isfinite(drawn.depth).sum()


def test_in_the_shadow_of_another_thing_a_thing_is_as_dark_as_the_world_draws_it() -> None:
    scene = lit_scene()
    (ball,), half = scene.entities, len(scene.rest) // 2
    assert scene.light is not None
    lamp = replace(
        scene.light, direction=np.array([0, 0, 1.0]), observed=np.concatenate([scene.light.observed] * 2)
    )  # fmt: skip
    halves = (replace(ball, particles=slice(0, half)), replace(ball, name="o", id=1, particles=slice(half, 2 * half)))
    scene = replace(scene, entities=halves, light=lamp)
    positions = scene.rest.copy()
    apart = positions[:half].mean(0) - positions[half : 2 * half].mean(0)
    positions[half:] += apart + np.float32([0, 0, 0.15])
    model = Model(scene, scene.initial_appearance())
    share = model.share(positions)
    assert model.share(scene.rest) is None and share is not None
    camera = scene.cameras[0].resized(160, 120)
    placed = model.gaussians_at(positions, {})
    drawn = model.draw(*placed, (camera,), share=share)
    start = scene.initial_physics()
    physics = replace(start, particles=replace(start.particles, positions=positions), bodies={})
    world = Appearance(scene).render(camera, physics).rgb / 255
    own = drawn.alpha[0][..., 0] > 0.99
    # The world's table hides some of what was torn apart; beside that the pictures are one.
    assert own.sum() > 50 and np.quantile(np.abs(drawn.rgb[0] - world)[own], 0.75) < 0.01
    assert np.quantile(drawn.rgb[0][own] / np.maximum(model.draw(*placed, (camera,)).rgb[0][own], 1e-3), 0.2) < 0.9
