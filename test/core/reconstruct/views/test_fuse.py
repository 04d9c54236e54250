"""Depth and silhouettes of a ball to a closed mesh, with one silhouette wrong and with another thing before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from pw_core.gaussians import Camera
from pw_core.reconstruct.surface.tsdf import Fused, Look, fuse
from support.ball import CENTRE, RADIUS, camera, shot

SLAB = np.array([[-0.045, -0.004, 0.0], [0.045, 0.004, 0.09]])
BOX = np.array([[-0.06, -0.06, 0.0], [0.06, 0.06, 0.11]])


def looks(count: int) -> list[Look]:
    out = []
    for i in range(count):
        cam = camera(2 * np.pi * i / count, height=0.16 + 0.2 * (i % 3) / 2)
        _, depth, mask = shot(cam)
        out.append(Look(cam, np.where(mask, depth, 0).astype(np.float32), mask, own=mask))
    return out


def share(fused: Fused) -> float:
    """Of the ball's volume."""
    mesh = trimesh.Trimesh(fused.mesh.vertices, fused.mesh.faces)
    assert mesh.is_watertight
    return float(mesh.volume / (4 / 3 * np.pi * RADIUS**3))


def test_a_ball_has_its_volume_and_one_wrong_silhouette_does_not_cut_it() -> None:
    good = looks(16)
    assert share(fuse(good, BOX, voxels=48, name="ball")) == pytest.approx(1, abs=0.06)
    half = good[3].mask.copy()
    half[:, : half.shape[1] // 2] = False
    good[3] = Look(good[3].camera, np.where(half, good[3].depth, 0).astype(np.float32), half, own=half)
    assert share(fuse(good, BOX, voxels=48, name="ball")) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("apiece", ["pixel", "view"])
@pytest.mark.parametrize("sigma", [0.003, 0.006, 0.012])
def test_noise_eats_into_no_solid(sigma: float, apiece: str) -> None:
    """Up to an eighth of the ball's size; it lost 29 % of its volume where depth too shallow did not count."""
    rng = np.random.default_rng(0)
    given = []
    for look in looks(16):
        off = rng.normal(size=look.depth.shape if apiece == "pixel" else ()) * sigma
        given.append(replace(look, depth=np.where(look.depth > 0, look.depth + off, 0).astype(np.float32)))
    assert share(fuse(given, BOX, voxels=48, name="ball")) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("about", [1.0, 0.6])
def test_a_thin_slab_stays_thin(about: float) -> None:
    """8 mm of 90, seen with depth to a millimetre from all round, and from more on one side."""
    rng = np.random.default_rng(0)
    given = []
    for i in range(16):
        cam = camera(np.pi / 2 + 0.1 + 2 * np.pi * about * (i / 16 - 0.5), height=0.16 + 0.1 * (i % 3))
        depth, mask = slab(cam)
        depth = np.where(mask, depth + rng.normal(size=depth.shape) * 0.001, 0).astype(np.float32)
        given.append(Look(cam, depth, mask, own=mask))
    mesh = fuse(given, BOX, voxels=96, name="slab").mesh
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
        for look in looks(16):
            shift = np.eye(4)
            shift[:3, 3] = beside
            _, _, other = shot(look.camera.moved(look.camera.viewmat @ shift, name="beside"))
            other = ndimage.binary_dilation(other, iterations=4)
            depth = np.where(other, 0, look.depth).astype(np.float32)
            given.append(Look(look.camera, depth, look.mask | other, own=look.mask & ~other if own else None))
        box = np.array([[-0.06, -0.06, 0.0], [0.16, 0.06, 0.11]])
        found.append(fuse(given, box, voxels=72, name="ball"))
    with_own, without = (f.mesh.vertices[:, 0].max() for f in found)
    assert with_own < CENTRE[0] + RADIUS + 0.01 < without
    assert share(found[0]) == pytest.approx(1, abs=0.08)


def test_what_something_else_hides_is_not_carved_away() -> None:
    """In four neighbouring views of 16 a board stands before the ball's left half."""
    shares = []
    for told in (True, False):
        given = looks(16)
        for k in range(4):
            board = np.zeros_like(given[k].mask)
            board[:, : int(np.median(np.nonzero(given[k].mask)[1]))] = True
            mask, depth = given[k].mask & ~board, np.where(board, 0, given[k].depth).astype(np.float32)
            before = np.where(board, 0.2, 0).astype(np.float32)
            given[k] = Look(given[k].camera, depth, mask, own=mask, before=before if told else None)
        shares.append(share(fuse(given, BOX, voxels=48, name="ball")))
    assert shares[0] == pytest.approx(1, abs=0.08)
    assert shares[1] < 0.85
