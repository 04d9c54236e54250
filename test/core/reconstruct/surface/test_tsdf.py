"""Depth and silhouettes of a ball to a closed mesh, with one silhouette wrong and with another thing before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Camera
from pw_core.reconstruct.surface.tsdf import DepthView, TsdfMesh, fuse_tsdf, tsdf_between
from support.ball import CENTRE, RADIUS, camera, shot

SLAB = np.array([[-0.045, -0.004, 0.0], [0.045, 0.004, 0.09]])
BOX = np.array([[-0.06, -0.06, 0.0], [0.06, 0.06, 0.11]])


def depth_views(count: int) -> list[DepthView]:
    out = []
    for i in range(count):
        cam = camera(2 * np.pi * i / count, height=0.16 + 0.2 * (i % 3) / 2)
        _, depth, mask = shot(cam)
        out.append(DepthView(cam, np.where(mask, depth, 0).astype(np.float32), mask, own=mask))
    return out


def share(fused: TsdfMesh) -> float:
    """Of the ball's volume."""
    mesh = trimesh.Trimesh(fused.mesh.vertices, fused.mesh.faces)
    assert mesh.is_watertight
    return float(mesh.volume / (4 / 3 * np.pi * RADIUS**3))


def test_a_ball_has_its_volume_and_one_wrong_silhouette_does_not_cut_it() -> None:
    good = depth_views(16)
    assert share(fuse_tsdf(good, BOX, voxels=48, name="ball")) == pytest.approx(1, abs=0.06)
    half = good[3].mask.copy()
    half[:, : half.shape[1] // 2] = False
    good[3] = DepthView(good[3].camera, np.where(half, good[3].depth, 0).astype(np.float32), half, own=half)
    assert share(fuse_tsdf(good, BOX, voxels=48, name="ball")) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("apiece", ["pixel", "view"])
@pytest.mark.parametrize("sigma", [0.003, 0.006, 0.012])
def test_noise_eats_into_no_solid(sigma: float, apiece: str) -> None:
    """Up to an eighth of the ball's size; it lost 29 % of its volume where depth too shallow did not count."""
    rng = np.random.default_rng(0)
    given = []
    for view in depth_views(16):
        off = rng.normal(size=view.depth.shape if apiece == "pixel" else ()) * sigma
        given.append(replace(view, depth=np.where(view.depth > 0, view.depth + off, 0).astype(np.float32)))
    assert share(fuse_tsdf(given, BOX, voxels=48, name="ball")) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("about", [1.0, 0.6])
def test_a_thin_slab_stays_thin(about: float) -> None:
    """8 mm of 90, seen with depth to a millimetre from all round, and from more on one side."""
    rng = np.random.default_rng(0)
    given = []
    for i in range(16):
        cam = camera(np.pi / 2 + 0.1 + 2 * np.pi * about * (i / 16 - 0.5), height=0.16 + 0.1 * (i % 3))
        depth, mask = slab(cam)
        depth = np.where(mask, depth + rng.normal(size=depth.shape) * 0.001, 0).astype(np.float32)
        given.append(DepthView(cam, depth, mask, own=mask))
    mesh = fuse_tsdf(given, BOX, voxels=96, name="slab").mesh
    volume = trimesh.Trimesh(mesh.vertices, mesh.faces).volume
    assert volume / np.prod(SLAB[1] - SLAB[0]) == pytest.approx(1, abs=0.08)


def slab(cam: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Depth [m] and mask of a slab on edge."""
    x, y = np.meshgrid(np.arange(cam.width) + 0.5, np.arange(cam.height) + 0.5)
    rays, eye = cam.rays(np.stack([x, y], -1)), cam.centre
    ends = (SLAB[:, None, None] - eye) / rays
    into, out = ends.min(0).max(-1), ends.max(0).min(-1)
    return into, (out > into) & (into > 0)


def test_what_hides_an_entity_in_every_view_does_not_become_it() -> None:
    """A second, larger ball stands beside; where it may hide the first, no silhouette carves."""
    beside = np.array([0.1, 0.0, 0.0])
    found = []
    for own in (True, False):
        given = []
        for view in depth_views(16):
            shift = np.eye(4)
            shift[:3, 3] = beside
            _, _, other = shot(view.camera.moved(view.camera.viewmat @ shift, name="beside"))
            other = ndimage.binary_dilation(other, iterations=4)
            depth = np.where(other, 0, view.depth).astype(np.float32)
            given.append(DepthView(view.camera, depth, view.mask | other, own=view.mask & ~other if own else None))
        box = np.array([[-0.06, -0.06, 0.0], [0.16, 0.06, 0.11]])
        found.append(fuse_tsdf(given, box, voxels=72, name="ball"))
    with_own, without = (f.mesh.vertices[:, 0].max() for f in found)
    assert with_own < CENTRE[0] + RADIUS + 0.01 < without
    assert share(found[0]) == pytest.approx(1, abs=0.08)


def test_what_something_else_hides_is_not_carved_away() -> None:
    """In four neighbouring views of 16 a board stands before the ball's left half."""
    shares = []
    for known in (True, False):
        given = depth_views(16)
        for k in range(4):
            board = np.zeros_like(given[k].mask)
            board[:, : int(np.median(np.nonzero(given[k].mask)[1]))] = True
            mask, depth = given[k].mask & ~board, np.where(board, 0, given[k].depth).astype(np.float32)
            before = np.where(board, 0.2, 0).astype(np.float32)
            given[k] = DepthView(given[k].camera, depth, mask, own=mask, before=before if known else None)
        shares.append(share(fuse_tsdf(given, BOX, voxels=48, name="ball")))
    assert shares[0] == pytest.approx(1, abs=0.08)
    assert shares[1] < 0.85


def test_what_lies_between_a_front_and_a_back_is_the_ball_above_the_plane() -> None:
    cam = camera(0.0)
    _, depth, mask = shot(cam)
    x, y = np.meshgrid(np.arange(cam.width) + 0.5, np.arange(cam.height) + 0.5)
    rays = cam.rays(np.stack([x, y], -1))
    # The other root of the ball's equation along each ray.
    back = 2 * (rays @ (CENTRE - cam.centre)) / (rays**2).sum(-1) - depth
    fused = tsdf_between(cam, mask, depth.astype(np.float64), back, voxels=48, name="ball")
    assert share(fused) == pytest.approx(1, abs=0.06) and fused.mesh.vertices[:, 2].min() > -0.002
    assert fused.distance(CENTRE[None])[0] < 0 < fused.distance(CENTRE[None] + [0, 0, 0.07])[0]


def test_views_that_leave_nothing_are_an_error() -> None:
    view = depth_views(1)[0]
    nothing = replace(view, depth=np.zeros_like(view.depth), mask=np.zeros_like(view.mask), own=None)
    with pytest.raises(ReconstructError, match="'ball': its views leave no solid") as caught:
        fuse_tsdf([nothing], BOX, voxels=24, name="ball")
    assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED
