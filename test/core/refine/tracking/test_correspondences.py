"""Which Gaussian should be at which pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pw_core.refine.model import Model
from pw_core.refine.tracking.correspondences import (
    CorrespondenceOptions,
    Shot,
    correspondences_of,
    silhouette_biases,
    visible,
)
from pw_core.refine.tracking.film import Film
from support.spotted import film_of, filmed, still, truth


def shot_of(model: Model, cameras, positions) -> Shot:
    means, covariances = model.gaussians_at(positions, {})
    return Shot(means, model.draw(means, covariances, cameras), [c.project(means) for c in cameras])


@pytest.fixture(scope="module")
def seen(spotted):
    scene, cameras = spotted
    model = Model(scene, scene.initial_appearance())
    return model, film_of(scene, cameras, truth(scene)), shot_of(model, cameras, scene.rest)


def test_a_camera_sees_the_near_side(spotted, seen) -> None:
    scene, cameras = spotted
    model, _, shot = seen
    index = visible(model, cameras[0], shot.means, shot.drawn.depth[0])
    ahead = (shot.means - scene.entities[0].origin) @ cameras[0].viewmat[2, :3]
    assert 0 < len(index) < len(shot.means) and ahead[index].mean() < ahead.mean() - 0.005
    few = visible(model, cameras[0], shot.means, shot.drawn.depth[0], np.random.default_rng(0),
                  options=CorrespondenceOptions(most_points=50))  # fmt: skip
    assert len(few) == 50 and np.isin(few, index).all()


def test_masks_that_are_too_wide_are_a_silhouette_bias(spotted) -> None:
    scene, cameras = spotted
    frames, masks = filmed(scene, cameras, still(scene).positions)
    wide = ndimage.maximum_filter((masks != 0).astype(np.int32), (0, 0, 3, 3))
    model = Model(scene, scene.initial_appearance())
    shot = shot_of(model, cameras, scene.rest)
    biases = []
    for each in (masks, wide):
        film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), each, width=192, weights=(1, 1, 1))
        biases.append(silhouette_biases(model, film, 0, shot)[0])
    assert abs(biases[0]) < 0.5 and biases[1] > biases[0] + 0.3
    film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), wide, width=192, weights=(1, 1, 1))
    bounded = silhouette_biases(model, film, 0, shot, options=CorrespondenceOptions(most_bias_px=0.1))
    assert abs(bounded[0]) <= 0.1


def test_outlines_and_flow_lead_to_where_the_frame_shows_it(spotted, seen) -> None:
    scene, cameras = spotted
    model, film, _ = seen
    real = truth(scene)
    shot = shot_of(model, cameras, real[1])
    moved, _ = model.gaussians_at(real[2], {})
    found = correspondences_of(model, film, 0, 2, 0, shot, shot, {}, np.random.default_rng(0))
    (flow,) = found
    want = cameras[0].project(moved)[0][flow.index] - cameras[0].project(shot.means)[0][flow.index]
    assert len(flow.index) > 50 and np.median(np.abs(flow.by - want)) < 0.5
    outline, drawn = correspondences_of(model, film, 0, 2, 1, shot, None, {}, np.random.default_rng(0))
    assert (outline.weight[:, 1] == 0).all() and np.median((outline.axes[:, 0] * outline.by).sum(1)) != 0
    assert np.isfinite(drawn.by).all() and len(drawn.index) > 50
