"""The report's words and pictures."""

from __future__ import annotations

import numpy as np
import trimesh

from pw_core.reconstruct.report.page import summary
from pw_core.reconstruct.report.pictures import TINTS, marked, overview, shaded
from pw_core.reconstruct.types import Posed, View
from pw_core.scene import Mesh
from support.ball import CENTRE, RADIUS, camera, iou, shot


def ball() -> Mesh:
    mesh = trimesh.creation.icosphere(3, RADIUS).apply_translation(CENTRE)
    return Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def test_what_is_known_is_said_and_nothing_else() -> None:
    told = dict(summary({
        "poses": {"registered": ["a.jpg", "b.jpg"], "not_registered": ["c.jpg"], "points": 900,
                  "reprojection_error_px": 0.314},
        "plane": {"plane_inliers": 0.5, "bears_the_entities": False},
        "figures": {"held_out": {"psnr_db": 25.04, "ssim": 0.8}},
        "background": {"filled_m2": 0.01, "opaque": 0.9966},
    }))  # fmt: skip
    assert told == {
        "pictures placed": "2 of 3; not: c.jpg",
        "points": "900, 0.31 px off on average",
        "plane": "50% of the points lie on it",
        "the entities stand on it": "no: the plane is a guess",
        "held-out views": "PSNR 25.04 dB, SSIM 0.800",
        "ground filled below the entities": "100.0 cm²",
        "opaque behind the entities": "99.66% of their pixels",
    }
    assert summary({}) == []


def test_meshes_are_drawn_where_the_thing_is() -> None:
    cam = camera(0.3)
    picture, _, mask = shot(cam)
    drawn = shaded([ball()], cam, picture)
    assert drawn.shape == picture.shape
    grey = np.ptp(drawn.astype(int), axis=2) <= 1  # the paled photo keeps its colours
    assert iou(grey & (drawn[..., 0] < 206), mask) > 0.9
    tinted = marked(picture, [mask])
    assert (tinted[~mask] == picture[~mask]).all() and (tinted[mask] != picture[mask]).any(-1).all()


def test_the_map_shows_cameras_points_and_outlines() -> None:
    cams = [camera(a, name=f"v{a}") for a in (0.0, 1.0, 2.0)]
    views = tuple(View(c.name, shot(c)[0], c) for c in cams)
    points = np.array([[0.1, 0.1, 0.0], [-0.1, 0.05, 0.0]])
    posed = Posed(views, points, np.array([[0.0, 0.8, 0.0]] * 2), {c.name: np.arange(2) for c in cams})
    drawn = overview(posed, [ball()]).astype(int)
    assert (np.abs(drawn - TINTS[0]).sum(-1) < 60).sum() > 100  # the outline
    assert (np.abs(drawn - [30, 60, 160]).sum(-1) < 60).sum() > 100  # cameras
    assert ((drawn[..., 1] > 150) & (drawn[..., 0] < 90)).sum() >= 2 * 2  # points, from above and from the side
