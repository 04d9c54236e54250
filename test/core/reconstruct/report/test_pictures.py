"""The report's pictures."""

from __future__ import annotations

import numpy as np
import trimesh

from pw_core.reconstruct.report.pictures import ENTITY_COLORS, marked, overview, shaded
from pw_core.reconstruct.types import Posed, View
from pw_core.scene import Mesh
from support.ball import CENTRE, RADIUS, camera, iou, shot


def ball() -> Mesh:
    mesh = trimesh.creation.icosphere(3, RADIUS).apply_translation(CENTRE)
    return Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces))


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
    assert (np.abs(drawn - ENTITY_COLORS[0]).sum(-1) < 60).sum() > 100  # the outline
    assert (np.abs(drawn - [30, 60, 160]).sum(-1) < 60).sum() > 100  # cameras
    assert ((drawn[..., 1] > 150) & (drawn[..., 0] < 90)).sum() >= 2 * 2  # points, from above and from the side
