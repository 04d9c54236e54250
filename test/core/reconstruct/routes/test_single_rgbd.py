"""One picture with depth: its depth is the visible side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from scipy import ndimage

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.inputs import Inputs, metres
from pw_core.reconstruct.routes.single_rgbd import fill_hidden_depth
from support.ball import RADIUS, config, shots

SMALL = ViewsSettings(width_px=240, steps=40, bind_steps=20, voxels=48)


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


@pytest.mark.parametrize(("factor", "says"), [(10.0, r"9\.\d+ times|10 times"), (0.2, r"1/[45]")])
def test_depth_in_another_unit_contradicts_the_camera_height_and_is_refused(factor: float, says: str) -> None:
    view = shots(1, depth=True)[0].views[0]
    assert view.camera is not None and view.depth is not None
    told = config()
    height = float(view.camera.centre[2])
    told = told.model_copy(update={"camera": told.camera.model_copy(update={"height_m": height})})
    off = replace(view, depth=np.float32(factor) * view.depth, viewmat=None)
    with pytest.raises(ReconstructError, match=says) as caught:
        reconstruct(told, Inputs((off,)), settings=SMALL)
    assert caught.value.code == ErrorCode.INVALID_IMAGE and "depth_scale" in str(caught.value)


@pytest.mark.slow
def test_holes_of_drivers_do_not_change_the_volume(tmp_path: Path) -> None:
    """19: 0 and 65535 for unknown, here and there and in the whole upper part."""
    view = shots(1, depth=True)[0].views[0]
    assert view.depth is not None and view.K is not None
    clean = np.round(1000 * view.depth).astype(np.uint16)
    here = np.random.default_rng(0).random(clean.shape) < 0.06
    above = np.zeros_like(here)
    above[: clean.shape[0] // 5] = True
    found = {}
    for name, holes, value in (("clean", None, 0), ("zero", here, 0), ("most", here, 65535), ("far", above, 65535)):
        folder = tmp_path / name
        (folder / "depth").mkdir(parents=True)
        cv2.imwrite(str(folder / "a.png"), view.image[..., ::-1])
        cv2.imwrite(str(folder / "depth" / "a.png"), clean if holes is None else np.where(holes, value, clean))
        (folder / "cameras.json").write_text(json.dumps([{"name": "a.png", "K": view.K.tolist()}]))
        inputs = Inputs.load(folder)
        assert inputs.route == "rgbd"
        found[name] = reconstruct(config(), inputs, settings=SMALL).entities[0].volume_m3
    assert found["clean"] == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.12)
    for name in ("zero", "most", "far"):
        assert found[name] == pytest.approx(found["clean"], rel=0.04), name


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
