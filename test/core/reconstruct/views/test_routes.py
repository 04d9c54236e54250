"""From ray-cast views of a ball to scenes: RGB-D from many sides and from one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from pw_core.appearance import Appearance
from pw_core.config import ViewsSettings
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.inputs import Inputs, metres
from pw_core.reconstruct.routes.single_rgbd import fill_hidden_depth
from support.ball import CENTRE, RADIUS, config, iou, shots

SMALL = ViewsSettings(width_px=240, steps=40, bind_steps=20, voxels=48)


def surface_error(mesh: trimesh.Trimesh) -> float:
    """Mean distance of the mesh's surface from the ball's, as a share of its diameter."""
    points, _ = trimesh.sample.sample_surface(mesh, 4000, seed=0)
    points = points[points[:, 2] > 0.15 * RADIUS]  # the underside is never seen
    return float(np.abs(np.linalg.norm(points - CENTRE, axis=1) - RADIUS).mean() / (2 * RADIUS))


@pytest.mark.slow
def test_posed_rgbd_becomes_a_scene_in_the_given_frame(ball_rgbd, tmp_path: Path) -> None:
    inputs, true = ball_rgbd
    assert inputs.route == "posed rgbd"
    told: list[float] = []
    scene = reconstruct(config(), inputs, settings=SMALL, folder=tmp_path,
                              progress=lambda s, f: told.append(f))  # fmt: skip
    assert told[-1] == 1.0
    e = scene.entities[0]
    mesh = trimesh.Trimesh(e.mesh.vertices, e.mesh.faces)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.08)
    assert surface_error(mesh) < 0.015
    assert mesh.bounds[0, 2] == pytest.approx(0, abs=0.004)
    assert np.linalg.norm(e.origin - CENTRE) < 0.06 * RADIUS
    import cv2

    for name, mask in true.items():
        found = cv2.imread(str(tmp_path / "masks" / "ball" / f"{name}.png"), 0) > 127
        assert iou(found, mask) > 0.9
    assert np.allclose(scene.rest[scene.binding.index[:, 0]] + scene.binding.offsets(), scene.foreground.means,
                       atol=1e-5)  # fmt: skip
    drawn = Appearance(scene).render(scene.cameras[0], scene.initial_physics())
    assert (drawn.alpha > 0.5).mean() > 0.9
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction(tmp_path / "poses")
    assert model.num_images() == 9 and model.num_points3D() > 1000
    for image in model.images.values():
        view = next(v for v in inputs.views if v.name == image.name)
        assert np.allclose(image.cam_from_world().matrix(), view.viewmat[:3], atol=1e-6)
        assert (tmp_path / "inputs" / image.name).is_file()
    for left in ("splats.ply", "index.html", "report.json", "meshes/ball.ply", "fit.safetensors"):
        assert (tmp_path / left).is_file()


@pytest.mark.slow
def test_one_rgbd_picture_keeps_its_depth_on_the_visible_side() -> None:
    inputs, true = shots(1, depth=True)
    assert inputs.route == "rgbd"
    scene = reconstruct(config(), inputs, settings=SMALL.model_copy(update={"voxels": 80}))
    e = scene.entities[0]
    mesh = trimesh.Trimesh(e.mesh.vertices, e.mesh.faces)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.12)
    view = inputs.views[0]
    cam, depth = view.camera, view.depth
    assert cam is not None and depth is not None
    y, x = np.nonzero(next(iter(true.values())))
    seen = cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(float))
    distance = trimesh.proximity.ProximityQuery(mesh).on_surface(seen)[1]
    assert distance.mean() < 0.01 * 2 * RADIUS


@pytest.mark.slow
def test_rim_pixels_that_see_past_the_thing_do_not_make_it_deeper() -> None:
    inputs, true = shots(1, depth=True)
    view, mask = inputs.views[0], next(iter(true.values()))
    depth = view.depth.copy()
    rows, columns = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    depth[rows[::3], columns[::3]] = 3.0  # flying pixels
    depth = (1000 * depth).round().astype(np.uint16)
    unplaced = replace(view, depth=metres(depth), viewmat=None)
    scene = reconstruct(config(), Inputs((unplaced,)), settings=SMALL.model_copy(update={"voxels": 80}))
    e = scene.entities[0]
    mesh = trimesh.Trimesh(e.mesh.vertices, e.mesh.faces)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.3)
    # Without a pose the plane says where up is: the camera stands as high as it did, tilted as it was.
    camera = scene.cameras[0]
    assert camera.centre[2] == pytest.approx(view.camera.centre[2], abs=0.002)
    assert camera.viewmat[2, 2] == pytest.approx(view.camera.viewmat[2, 2], abs=0.005)


def test_behind_a_thing_the_table_ends_where_it_does_beside_it() -> None:
    plane = np.repeat(np.linspace(5, 1, 20)[:, None], 30, axis=1)
    depth = np.minimum(plane, 2.0)  # a wall at 2 m stands on the table
    depth[:8, :15] = 1.9  # with a cupboard before it
    hole = np.zeros(depth.shape, bool)
    hole[4:18, 10:20] = True
    filled = fill_hidden_depth(np.where(hole, 0.3, depth), hole, plane)
    assert np.allclose(filled[~hole], depth[~hole])
    assert np.allclose(filled[15:], depth[15:]) and np.allclose(filled[8:15], 2.0, atol=0.02)
    assert ((filled[4:8, 10:20] >= 1.9) & (filled[4:8, 10:20] <= 2.0)).all()
    # Nothing is known: no further than that.
    assert np.allclose(fill_hidden_depth(depth, np.ones_like(hole), plane), plane.min())


def test_what_is_given_decides_the_route() -> None:
    asked = ((1, False, True), (1, True, True), (3, False, False), (3, True, False), (3, False, True), (3, True, True))
    routes = [shots(n, depth=d, poses=p)[0].route for n, d, p in asked]
    assert routes == ["photo", "rgbd", "photos", "rgbd pictures", "posed", "posed rgbd"]
    assert isinstance(shots(1, depth=False)[0], Inputs)
