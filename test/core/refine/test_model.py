"""A scene as refinement moves and draws it."""

from __future__ import annotations

import numpy as np

from pw_core.refine.model import Model, ModelOptions


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
