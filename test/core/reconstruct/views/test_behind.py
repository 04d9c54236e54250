"""The ground where a thing stood, and what else it hid."""

from __future__ import annotations

import numpy as np
import trimesh

from pw_core.gaussians import SH_C0, Gaussians
from pw_core.reconstruct.background.fill import fill_hidden_region
from pw_core.reconstruct.background.ground_texture import fill_texture, ground_orthophoto, seen_beside
from pw_core.reconstruct.splatting.splats import surface_gaussians
from pw_core.reconstruct.surface.tsdf import Fused
from pw_core.reconstruct.types import View
from pw_core.scene import Mesh
from support.ball import CENTRE, RADIUS, camera, pattern, shot

STEP = 0.004
UNSEEN = 0.25
"""Of the radius: how far round its foot the ball hides the floor from cameras all round it."""


def ball() -> Fused:
    """The ball as fusing gives it, its field exact."""
    voxel = 2 * RADIUS / 40
    low = CENTRE - RADIUS - 4 * voxel
    axes = [a + voxel * np.arange(49) for a in low]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    field = (np.linalg.norm(grid - CENTRE, axis=-1) - RADIUS).astype(np.float32)
    mesh = trimesh.creation.icosphere(3, RADIUS).apply_translation(CENTRE)
    return Fused(Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces)), field, low, voxel)


def floor_color(points: np.ndarray) -> np.ndarray:
    return 0.25 + pattern(points, scale=0.02, seed=1) * np.array([0.35, 0.5, 0.6])


def floor(*, wall: bool = False) -> Gaussians:
    """The floor of `conftest.shot`, but for what no view can see of it; with a wall behind that has the same hole."""
    x, y = (a.ravel() for a in np.mgrid[-0.6:0.6:STEP, -0.6:0.6:STEP])
    points = np.stack([x, y, np.zeros_like(x)], -1)
    points = points[np.hypot(points[:, 0], points[:, 1]) > UNSEEN * RADIUS]
    n = len(points)
    flat = surface_gaussians(
        points, np.tile([0, -STEP, 0], (n, 1)), np.tile([-STEP, 0, 0], (n, 1)), floor_color(points)
    )
    if not wall:
        return flat
    y, z = (a.ravel() for a in np.mgrid[-0.6:0.6:STEP, 0:0.7:STEP])
    points = np.stack([np.full_like(y, 0.3), y, z], -1)
    points = points[np.hypot(y, z) > 0.06]  # hidden by the ball
    n = len(points)
    up = surface_gaussians(points, np.tile([0, -STEP, 0], (n, 1)), np.tile([0, 0, -STEP], (n, 1)), np.full((n, 3), 0.6))
    return Gaussians.concatenate([flat, up])


def views(count: int, *, arc: float = 2 * np.pi, height: float = 0.3) -> tuple[list[View], dict[str, np.ndarray]]:
    out, masks = [], {}
    for i in range(count):
        cam = camera(arc * (i - count // 2) / count, height=height, name=f"v{i}.png")
        picture, _, mask = shot(cam)
        out.append(View(cam.name, picture, cam))
        masks[cam.name] = mask
    return out, masks


def test_the_plane_is_put_together_from_the_photos() -> None:
    seen_by, masks = views(6)
    found = ground_orthophoto(np.zeros(2), 0.3, seen_by, masks, floor())
    true = 255 * floor_color(found.points.reshape(-1, 3)).reshape(found.picture.shape)
    under = np.hypot(found.points[..., 0], found.points[..., 1]) < UNSEEN * RADIUS
    assert not found.known[under].any() and found.known.mean() > 0.9
    assert np.abs(found.picture - true)[found.known].mean() < 3
    row, column, inside = found.index(np.array([[0.1, 0.05, 0.0], [0.0, 0.4, 0.0]]))
    assert inside.tolist() == [True, False]
    assert np.abs(found.points[row[0], column[0]] - [0.1, 0.05, 0]).max() <= 0.5 * found.step


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


def test_what_every_view_has_within_its_outlines_is_not_seen() -> None:
    seen_by, masks = views(4)
    beside, shown = seen_beside(np.array([CENTRE, [0.15, 0, 0], [9.0, 9, 9]]), seen_by, masks)
    assert (beside > 0).tolist() == [False, True, False]
    assert (shown > 0).tolist() == [True, True, False]


def test_light_and_grain_go_on_over_a_hole() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:160, 0:200]
    light = 60 + 0.6 * x + 0.3 * y
    grain = rng.normal(size=(160, 200)) * 14
    true = np.repeat((light + grain)[..., None], 3, axis=2).clip(0, 255).astype(np.float32)
    hole = np.hypot(x - 90, y - 80) < 24
    known = ~hole & (y > 10)
    spoilt = np.where(hole[..., None], [250, 0, 250], true).astype(np.float32)
    found = fill_texture(spoilt, hole, known)
    assert (found[~hole] == spoilt[~hole]).all()
    apart = (found - np.repeat(light[..., None], 3, 2))[hole]
    assert abs(apart.mean()) < 5  # as bright as what lies round it, on both sides
    for side in (hole & (x < 80), hole & (x > 100)):
        assert abs((found - np.repeat(light[..., None], 3, 2))[side].mean()) < 8
    assert 0.7 < apart.std() / grain.std() < 1.3  # not smooth, and not louder


def test_where_nothing_is_known_nothing_is_invented() -> None:
    picture = np.full((40, 50, 3), 7, np.float32)
    hole = np.ones((40, 50), bool)
    assert (fill_texture(picture, hole, ~hole) == picture).all()
