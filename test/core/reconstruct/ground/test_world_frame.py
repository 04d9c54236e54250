"""The scene's frame: what was given, or the plane."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ReconstructError
from pw_core.reconstruct.ground.world_frame import WorldFrameOptions, to_world_frame, transformed
from pw_core.reconstruct.types import Posed, View
from support.ball import CENTRE, RADIUS, camera


def floor(count: int = 400) -> Posed:
    """Points of a floor that eight cameras see."""
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-0.3, 0.3, (count, 2)), rng.normal(0, 0.0005, count)])
    views = tuple(
        View(c.name, np.zeros((c.height, c.width, 3), np.uint8), c, np.ones((c.height, c.width), np.float32))
        for c in (camera(2 * np.pi * k / 8, name=f"v{k}") for k in range(8))
    )
    return Posed(views, points, np.full_like(points, 0.5), {})


def test_a_similarity_moves_points_cameras_and_depth_alike() -> None:
    posed, T = floor(), np.eye(4)
    T[:3, :3] = 2 * np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    T[:3, 3] = 1, 2, 3
    out = transformed(posed, T)
    assert np.allclose(out.points, posed.points @ T[:3, :3].T + T[:3, 3])
    for before, after in zip(posed.views, out.views):
        assert np.allclose(after.camera.project(out.points)[0], before.camera.project(posed.points)[0])
        assert np.allclose(after.depth, 2)


def test_where_nothing_says_how_long_a_metre_is_the_entity_is_taken_to_be_usual() -> None:
    turned = transformed(floor(), np.array([[0, 0, 3.0, 0], [3, 0, 0, 0], [0, 3, 0, 1], [0, 0, 0, 1]]))
    out, report = to_world_frame(turned, ViewsSettings(), metric=False, object_extent=0.3)
    assert report["scale"] == pytest.approx(0.2 / 0.3) and np.abs(out.points[:, 2]).max() < 0.01
    half = to_world_frame(
        turned, ViewsSettings(), metric=False, object_extent=0.3, options=WorldFrameOptions(assumed_size_m=0.1)
    )[1]
    assert half["scale"] == pytest.approx(0.1 / 0.3)
    assert to_world_frame(turned, ViewsSettings(object_size_m=0.6), metric=False, object_extent=0.3)[1]["scale"] == 2


def test_a_plain_table_at_the_given_frames_z_0_is_taken_where_points_tell_no_plane() -> None:
    """A ball's points and hardly any of what it stands on: a plane through the ball holds more of them."""
    rng = np.random.default_rng(0)
    up = rng.normal(size=(400, 3))
    up = CENTRE + RADIUS * up / np.linalg.norm(up, axis=1, keepdims=True)
    ball = up[up[:, 2] > 0.3 * RADIUS]
    table = np.column_stack([rng.uniform(-0.2, 0.2, (6, 2)), rng.normal(0, 0.001, 6)])
    points = np.concatenate([ball, table])
    views = tuple(
        View(c.name, np.zeros((c.height, c.width, 3), np.uint8), c)
        for c in (camera(2 * np.pi * k / 8, name=f"v{k}") for k in range(8))
    )
    own = (np.arange(len(points)) < len(ball)) & (points[:, 0] < -0.4 * RADIUS)  # as the prompt's view sees them
    settings = ViewsSettings()

    def report(lift: float) -> dict[str, object]:
        shifted = np.eye(4)
        shifted[2, 3] = lift
        posed = transformed(Posed(views, points, np.full_like(points, 0.5), {}), shifted)
        try:
            return dict(to_world_frame(posed, settings, metric=True, own=own)[1])
        except ReconstructError as error:
            return {"frame": str(error)}

    assert report(0.0)["frame"] == "as given" and report(0.0)["bears_the_entities"] is True
    # A frame whose z = 0 is not what they stand on says nothing.
    assert report(0.5)["frame"] != "as given" and report(-0.02)["frame"] != "as given"
