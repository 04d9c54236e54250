"""What a thing hid: the ground where it stood, and a backdrop behind it."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import SH_C0, Gaussians
from pw_core.reconstruct.background.fill import fill_hidden_region
from pw_core.reconstruct.splatting.splats import surface_gaussians
from support.ball import CENTRE, RADIUS
from support.ball_floor import ball, floor, floor_color, views


def test_a_moved_thing_leaves_solid_ground_of_its_surroundings_colours() -> None:
    seen_by, masks = views(6)
    rng = np.random.default_rng(0)
    inside = CENTRE + 0.8 * RADIUS * rng.uniform(-1, 1, (60, 3)) / np.sqrt(3)
    step = np.full((60, 1), 0.01)
    left_over = surface_gaussians(inside, step * [1, 0, 0], step * [0, 1, 0], np.tile([1.0, 0, 0], (60, 1)))
    found, report = fill_hidden_region(Gaussians.concatenate([floor(), left_over]), [ball()], seen_by, masks)
    assert report["opaque"] > 0.99
    red = found.sh[:, 0, 0] - found.sh[:, 0, 2] > 1.5
    assert not red.any()  # what was left of the thing inside its outlines is gone
    patch = found[found.means[:, 2] < -1e-6]
    ground, colors = patch.means.astype(np.float64) * [1, 1, 0], 0.5 + SH_C0 * patch.sh[:, 0]
    from_foot = np.linalg.norm(ground - ground.mean(0), axis=1)
    rim = from_foot > from_foot.max() - 0.002
    assert np.abs(colors - floor_color(ground))[rim].mean() < 0.05  # it goes on from what is round it
    assert np.abs(colors - floor_color(ground)).mean() < 0.15  # inside nobody knows; the ball is off by 0.4


def test_a_backdrop_is_hung_where_one_sees_through_what_is_no_ground() -> None:
    seen_by, masks = views(3, arc=0.6, height=0.12)
    before = floor(wall=True)
    found, report = fill_hidden_region(before, [ball()], seen_by, masks)
    assert report["opaque"] > 0.99
    hung = found[len(found) - int(report["hung"]) :]
    assert len(hung) > 100
    assert np.abs(np.median(hung.means[:, 0]) - 0.3) < 0.05  # as far away as the wall round the hole
    assert np.abs(0.5 + SH_C0 * np.median(hung.sh[:, 0], axis=0) - 0.6).max() < 0.1
    assert hung.means[:, 2].min() > -0.01


def test_what_stands_behind_the_thing_and_is_seen_stays() -> None:
    seen_by, masks = views(3, arc=0.6, height=0.12)
    y, z = (a.ravel() for a in np.meshgrid(np.linspace(-0.02, 0.02, 9), np.linspace(0.107, 0.118, 5)))
    ledge = np.stack([np.full_like(y, 0.05), y, z], 1)  # over ground that the ball hides, and seen past its top
    step = np.full((len(y), 1), 0.003)
    blue = surface_gaussians(ledge, step * [0, 1, 0], step * [0, 0, 1], np.tile([0.0, 0, 1], (len(y), 1)))
    found, _ = fill_hidden_region(Gaussians.concatenate([floor(wall=True), blue]), [ball()], seen_by, masks)
    kept = np.array([np.abs(found.means - p).max(1).min() < 1e-6 for p in blue.means])
    assert kept.all()
