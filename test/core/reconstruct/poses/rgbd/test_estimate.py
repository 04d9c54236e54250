"""RGB-D pictures without poses: poses and the metre from matches and depth, on the ray-cast ball."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Camera
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.inputs import Inputs, ViewInput, check
from pw_core.reconstruct.poses.rgbd import estimate as module
from pw_core.reconstruct.poses.rgbd.estimate import pose_by_depth
from pw_core.reconstruct.poses.sfm.adjust_given import similarity
from pw_core.reconstruct.types import Posed
from support.ball import RADIUS, camera, config, shot

pycolmap = pytest.importorskip("pycolmap")
SMALL = ViewsSettings(width_px=240, steps=20, bind_steps=9, voxels=40)


def carried(
    count: int, *, step: float = 0.3, grain: float = 0.5, known: bool = True, enlarged: int = 1
) -> tuple[Inputs, list[Camera]]:
    """What a camera with depth sees that is carried round the ball; poses are not told."""
    cameras = [camera(step * k, height=0.24 + 0.05 * (k % 3), name=f"v{k:02d}.png", enlarged=enlarged)
               for k in range(count)]  # fmt: skip
    views = []
    for c in cameras:
        picture, depth, _ = shot(c, grain=grain)
        views.append(ViewInput(c.name, picture, depth, c.K if known else None))
    return Inputs(tuple(views)), cameras


def with_depth(inputs: Inputs, **changed: np.ndarray | None) -> Inputs:
    """The same with other depth in the pictures named (v03 for v03.png)."""
    return Inputs(tuple(replace(v, depth=changed.get(Path(v.name).stem, v.depth)) for v in inputs.views))


def found(inputs: Inputs, folder: Path) -> Posed:
    return pose_by_depth(inputs, SMALL, folder, lambda stage, fraction: None)


def agrees(posed: Posed, cameras: list[Camera], *, turn_deg: float, off: float, scale: float = 0.004) -> None:
    """Turns and places [share of the distance], laid on the true ones by a rigid motion: the metre counts."""
    true = {c.name: c for c in cameras}
    given = [true[v.name] for v in posed.views]
    mine, theirs = (np.array([c.centre for c in of]) for of in ([v.camera for v in posed.views], given))
    size, turn, _ = similarity(mine, theirs)
    assert size == pytest.approx(1, abs=scale)
    apart = [v.camera.viewmat[:3, :3] @ turn.T @ c.viewmat[:3, :3].T for v, c in zip(posed.views, given)]
    assert np.degrees([Rotation.from_matrix(a).magnitude() for a in apart]).max() < turn_deg
    gone = np.linalg.norm((mine - mine.mean(0)) @ turn.T - theirs + theirs.mean(0), axis=1)
    assert (gone / np.linalg.norm(theirs, axis=1)).max() < off


@pytest.mark.slow
def test_depth_without_poses_becomes_a_scene_in_metres(tmp_path: Path) -> None:
    inputs, _ = carried(12, step=0.5)
    assert inputs.route == "rgbd pictures"
    scene = reconstruct(config(seen=camera(0.0, height=0.24)), inputs, settings=SMALL, folder=tmp_path)
    e = scene.entities[0]
    mesh = trimesh.Trimesh(e.mesh.vertices, e.mesh.faces)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.08)
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx(np.full(3, 2 * RADIUS), rel=0.05)
    told = scene.provenance
    assert told["method"] == "many views: rgbd pictures" and told["poses"]["intrinsics"] == "given"
    assert told["plane"]["scale_from"] == "depth" and told["plane"]["metric"] and told["plane"]["scale"] == 1
    assert told["plane"]["frame"] == "z = 0 on the plane" and not told["poses"]["not_registered"]


@pytest.mark.slow
def test_poses_are_found_in_metres_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, cameras = carried(8)
    first = found(inputs, tmp_path)
    assert first.report["registered"] == [c.name for c in cameras]
    agrees(first, cameras, turn_deg=0.3, off=0.005)
    assert max(first.report["turn_known_to_deg"].values()) < 1 and first.report["depths_agree_to_m"] < 5e-4
    for view in first.views:
        assert (view.camera.project(first.points[first.seen[view.name]])[1] > 0).all()
    monkeypatch.setattr(module, "match_pictures", lambda *args, **more: pytest.fail("sought again"))
    again = found(inputs, tmp_path)
    assert np.allclose([v.camera.viewmat for v in again.views], [v.camera.viewmat for v in first.views])
    assert again.report == first.report


@pytest.mark.slow
def test_a_cameras_noise_is_borne(tmp_path: Path) -> None:
    inputs, cameras = carried(8)
    rng = np.random.default_rng(0)
    bad = {}
    for v in inputs.views:
        depth = v.depth + rng.normal(size=v.depth.shape) * (0.001 + 0.002 * v.depth)
        depth[rng.random(depth.shape) < 0.02] = 0
        bad[Path(v.name).stem] = (np.round(1000 * depth) / 1000).astype(np.float32)
    posed = found(with_depth(inputs, **bad), tmp_path)
    agrees(posed, cameras, turn_deg=0.8, off=0.01, scale=0.01)
    assert posed.report["depth_noise_m"] == pytest.approx(0.002, rel=0.3)


@pytest.mark.slow
def test_pictures_without_depth_are_placed_by_matches(tmp_path: Path) -> None:
    inputs, cameras = carried(8)
    some = with_depth(inputs, v02=None, v05=None)
    assert some.route == "rgbd pictures"
    posed = found(some, tmp_path)
    assert posed.report["registered"] == [c.name for c in cameras]
    agrees(posed, cameras, turn_deg=0.6, off=0.01)
    flat = posed.views[2]
    assert flat.depth is None
    uv, z = flat.camera.project(posed.points[posed.seen[flat.name]])
    assert len(z) > 1000 and (z > 0).all() and (uv > 0).all()


@pytest.mark.slow
def test_intrinsics_that_were_not_given_are_found(tmp_path: Path) -> None:
    inputs, cameras = carried(8, step=0.12, grain=0.4, known=False, enlarged=2)
    posed = found(inputs, tmp_path)
    assert posed.report["registered"] == [c.name for c in cameras]
    assert posed.report["intrinsics"] == "structure from motion" and posed.report["scale_spread"] < 0.02
    agrees(posed, cameras, turn_deg=0.6, off=0.02, scale=0.02)
    focal = posed.views[0].camera.K[0, 0] / posed.views[0].camera.width
    assert focal == pytest.approx(cameras[0].K[0, 0] / cameras[0].width, rel=0.02)


@pytest.mark.slow
def test_a_picture_of_something_else_is_named(tmp_path: Path) -> None:
    inputs, cameras = carried(7)
    lost = camera(1.0, name="v03.png")
    rng = np.random.default_rng(5)
    noise = np.kron(rng.integers(60, 200, (45, 60, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    views = tuple(replace(v, image=noise) if v.name == lost.name else v for v in inputs.views)
    posed = found(Inputs(views), tmp_path)
    assert posed.report["not_registered"] == ["v03.png"] and "matches" in posed.report["why_not"]["v03.png"]
    agrees(posed, cameras, turn_deg=0.5, off=0.01)


@pytest.mark.slow
def test_depth_in_another_unit_is_named(tmp_path: Path) -> None:
    inputs, cameras = carried(7)
    far = with_depth(inputs, v02=1000 * inputs.views[2].depth)
    with pytest.raises(ReconstructError, match=r"v02.png: its depth is 561 m in the median.*float is metres") as e:
        check(far)
    assert e.value.code == ErrorCode.INVALID_IMAGE
    posed = found(with_depth(inputs, v02=4 * inputs.views[2].depth), tmp_path)
    assert posed.report["not_registered"] == ["v02.png"]
    assert "its depth is 4 times what others say" in posed.report["why_not"]["v02.png"]
    agrees(posed, cameras, turn_deg=0.5, off=0.01)


@pytest.mark.slow
def test_depth_that_does_not_belong_to_the_pictures_is_refused(tmp_path: Path) -> None:
    inputs, _ = carried(5)
    shifted = {Path(v.name).stem: np.roll(v.depth, 60, axis=1)[::-1].copy() for v in inputs.views}
    with pytest.raises(ReconstructError, match=r"[01] of 5 RGB-D .*v01.png, v02.png.*is it registered") as e:
        found(with_depth(inputs, **shifted), tmp_path)
    assert e.value.code == ErrorCode.RECONSTRUCT_FAILED


def plain(count: int, *, beside: bool, step: float = 0.3) -> tuple[Inputs, list[Camera]]:
    """Grey pictures of the ball on a grey floor; beside: with small ones round it, so that it has sides."""
    cameras = [camera(step * k, height=0.3 + 0.04 * (k % 2), name=f"v{k:02d}.png") for k in range(count)]
    views = []
    for c in cameras:
        depth = shot(c)[1]
        for x, y, radius in ((0.03, 0.07, 0.03), (-0.075, -0.02, 0.022), (0.02, -0.09, 0.026)) if beside else ():
            depth = np.minimum(depth, shot(c, centre=np.array([x, y, radius]), radius=radius)[1])
        views.append(ViewInput(c.name, np.full((c.height, c.width, 3), 128, np.uint8), depth, c.K))
    return Inputs(tuple(views)), cameras


@pytest.mark.slow
def test_plain_things_are_laid_on_each_other_by_depth_alone(tmp_path: Path) -> None:
    inputs, cameras = plain(5, beside=True)
    posed = found(inputs, tmp_path)
    assert posed.report["registered"] == [c.name for c in cameras]
    assert posed.report["pairs"] == 0 and posed.report["pairs_by_depth_alone"] == 4
    agrees(posed, cameras, turn_deg=0.3, off=0.005)


@pytest.mark.slow
def test_what_looks_the_same_from_all_sides_is_refused(tmp_path: Path) -> None:
    inputs, _ = plain(3, beside=False)
    with pytest.raises(ReconstructError, match=r"1 of 3 RGB-D .*v01.png, v02.png.*depth alone.*several ways") as e:
        found(inputs, tmp_path)
    assert e.value.code == ErrorCode.RECONSTRUCT_FAILED
