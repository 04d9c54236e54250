"""The report's pictures."""

from __future__ import annotations

import numpy as np
import trimesh

from pw_core.reconstruct.report.pictures import ENTITY_COLORS, in_colors, marked, overview, prompted, shaded
from pw_core.reconstruct.types import Posed, View
from pw_core.scene import Mesh
from support.ball import CENTRE, RADIUS, camera, iou, shot
from support.ball_photo import ball_config, ball_photo


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


def test_prompts_are_drawn_where_they_are_in_the_working_photo() -> None:
    prompt = {"box": [200, 60, 480, 340], "points": [[300, 200]], "negative_points": [[220, 80]]}
    photo = ball_photo()
    drawn = prompted(photo, ball_config(prompt=prompt).entities, scale=0.5)
    changed = np.argwhere((drawn != photo).any(-1))
    assert (changed.min(0) >= 28).all() and (changed.max(0) <= (172, 242)).all()
    for edge_or_point in (drawn[100, 100], drawn[100, 150]):
        assert np.abs(edge_or_point - np.array(ENTITY_COLORS[0])).max() < 40
    assert drawn[40, 110].max() < 60  # the cross's middle is black


def test_near_is_red_far_is_blue_and_nothing_is_grey() -> None:
    depth = np.linspace(0.2, 2.0, 300).reshape(10, 30)
    known = np.ones(depth.shape, bool)
    known[5, 5], depth[5, 5] = False, np.inf
    drawn = in_colors(depth, known).astype(int)
    assert drawn[0, 0, 0] > 2 * drawn[0, 0, 2] and drawn[-1, -1, 2] > drawn[-1, -1, 0]
    assert (drawn[5, 5] == 128).all() and (in_colors(depth, np.zeros_like(known)) == 128).all()
