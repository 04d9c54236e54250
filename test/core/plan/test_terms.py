"""Each term measures what it says, in its unit, 0 where it is satisfied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_core.plan.moment import Moment
from pw_core.plan.objective import Objective
from pw_core.plan.shapes import points_of


def measured(setting, positions=None, velocities=None, **term) -> float:
    """The term's cost of the ball where it is, or with those arrays."""
    objective = Objective.parse({"terms": [term]})
    now = setting.start
    if positions is not None:
        now = replace(now, positions=np.asarray(positions, np.float32))
    if velocities is not None:
        now = replace(now, velocities=np.asarray(velocities, np.float32))
    scorer = objective.scorer(setting)
    scorer.see(now)
    return sum(scorer.costs().values())


def test_reach_is_the_centroids_distance_in_metres(setting) -> None:
    goal = setting.start.positions.astype(np.float64).mean(0) + np.array([0.03, -0.04, 0])
    assert measured(setting, type="reach", entity="ball", position=goal.tolist()) == pytest.approx(0.05, abs=1e-6)
    only_x = measured(setting, type="reach", entity="ball", position=goal.tolist(), axes=[True, False, False])
    assert only_x == pytest.approx(0.03, abs=1e-6)


def test_staying_in_and_out_are_shares_of_the_entity(setting) -> None:
    p = setting.start.positions
    half = float(np.median(p[:, 0]))
    box = {"entity": "ball", "low": [half, -1, -1], "high": [2, 1, 1], "slope": 0}
    assert measured(setting, type="stay_in", **box) == pytest.approx(0.5, abs=0.01)
    assert measured(setting, type="stay_out", **box) == pytest.approx(0.5, abs=0.01)
    whole = {"entity": "ball", "center": p.mean(0).tolist(), "radius": 0.2}
    assert measured(setting, type="stay_in", **whole) == 0
    far = {"entity": "ball", "center": [3, 0, 0], "radius": 0.1}
    near = {"entity": "ball", "center": [2, 0, 0], "radius": 0.1}
    assert measured(setting, type="stay_in", **far) > measured(setting, type="stay_in", **near) > 1  # leads there


def test_thickness_is_the_height_over_the_table(setting) -> None:
    size = setting.scene.entities[0].particle_size_m
    slab = setting.start.positions.copy()
    slab[:, 2] = np.linspace(0, 0.03 - size / 2, len(slab))[np.argsort(np.argsort(slab[:, 2]))]
    slab[:, :2] = np.random.default_rng(0).uniform([0.5, -0.05], [0.6, 0.05], size=(len(slab), 2))
    where = {"entity": "ball", "low": [0.5, -0.05], "high": [0.6, 0.05], "cells": 2}
    assert measured(setting, slab, type="thickness", height=0.03, **where) < 0.003
    assert measured(setting, slab, type="thickness", height=0.05, **where) == pytest.approx(0.02, abs=0.003)


def test_cover_is_the_share_of_the_rectangle_that_is_bare(setting) -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform([0.5, -0.1, 0], [0.6, 0.1, 0.02], size=setting.start.positions.shape)
    where = {"type": "cover", "entity": "ball", "low": [0.5, -0.1], "high": [0.7, 0.1], "cells": 10}
    assert measured(setting, spread, **where) == pytest.approx(0.5, abs=0.1)


def test_shape_is_zero_for_itself_and_grows_with_the_way(setting) -> None:
    p = setting.start.positions
    for metric in ("chamfer", "emd"):
        shape = {"type": "shape", "entity": "ball", "points": p.tolist(), "metric": metric}
        assert measured(setting, **shape) == pytest.approx(0, abs=1e-6)
        assert measured(setting, p + np.float32([0.2, 0, 0]), **shape) > 0.08


def test_a_shape_may_be_a_mesh_file(setting, tmp_path) -> None:
    import trimesh

    centre = setting.start.positions.mean(0)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.05)
    ball.apply_translation(centre)
    ball.export(tmp_path / "ball.ply")
    same = measured(setting, type="shape", entity="ball", file=str(tmp_path / "ball.ply"))
    ball.apply_translation([0, 0.1, 0])
    ball.export(tmp_path / "aside.ply")
    aside = measured(setting, type="shape", entity="ball", file=str(tmp_path / "aside.ply"))
    assert same < setting.scene.entities[0].particle_size_m < 0.05 < aside


def test_a_mesh_of_many_faces_is_filled_evenly_and_read_anew_when_it_changes(tmp_path) -> None:
    import trimesh

    path = tmp_path / "ball.stl"
    trimesh.creation.icosphere(subdivisions=5, radius=0.05).export(path)
    points = points_of(path, count=4000, term="shape")
    radius = np.linalg.norm(points, axis=1)
    assert abs(len(points) - 4000) < 200 and radius.max() < 0.0501
    assert (radius < 0.025).mean() == pytest.approx(1 / 8, abs=0.01) and np.allclose(points.mean(0), 0, atol=2e-4)
    assert points_of(path, count=4000, term="shape") is points
    trimesh.creation.box((0.1, 0.1, 0.1)).export(path)
    assert np.abs(points_of(path, count=4000, term="shape")).max() < 0.05 < np.linalg.norm(
        points_of(path, count=4000, term="shape"), axis=1
    ).max()  # fmt: skip


def test_a_silhouette_compares_with_a_mask_in_the_photos_camera(setting, tmp_path) -> None:
    import cv2

    from pw_core.plan.shapes import silhouette

    camera = setting.scene.cameras[0].resized(192, 128)
    size = setting.scene.entities[0].particle_size_m
    drawn = silhouette(setting.start.positions.astype(np.float64), camera, radius_m=0.75 * size)
    cv2.imwrite(str(tmp_path / "mask.png"), 255 * drawn.astype(np.uint8))
    term = {"type": "silhouette", "entity": "ball", "file": str(tmp_path / "mask.png")}
    assert measured(setting, **term) == 0
    aside = setting.start.positions + np.float32([0, 0.15, 0])
    assert measured(setting, aside, **term) == pytest.approx(1)


def test_rest_effort_and_the_undisturbed(setting) -> None:
    moving = np.tile(np.float32([0.3, 0.4, 0]), (len(setting.start.positions), 1))
    assert measured(setting, None, moving, type="at_rest") == pytest.approx(0.5)
    lifted = setting.start.positions + np.float32([0, 0, 0.02])
    assert measured(setting, lifted, type="undisturbed") == pytest.approx(0.02)
    push = {"type": "push", "duration": 0.25, "center": [0.6, 0, 0], "direction": [1, 0, 0], "radius": 0.1}
    acted = replace(setting, actions=(parse_action({**push, "magnitude": 4, "entity": "ball"}),))
    assert measured(acted, type="effort") == pytest.approx(1.0)
    # What is pushed on purpose is not among those that are to stay.
    assert measured(acted, setting.start.positions + 1, type="undisturbed") == 0


BAD = [
    ({"type": "reach", "entity": "bal", "position": [0, 0, 0]}, ErrorCode.UNKNOWN_ENTITY, "ball"),
    ({"type": "reach", "entity": "ball", "position": [0, 0]}, ErrorCode.INVALID_OBJECTIVE, "position"),
    ({"type": "reech", "entity": "ball"}, ErrorCode.INVALID_OBJECTIVE, "reech"),
    ({"entity": "ball"}, ErrorCode.INVALID_OBJECTIVE, "type"),
    ({"type": "shape", "entity": "ball", "points": []}, ErrorCode.INVALID_OBJECTIVE, "points"),
    ({"type": "shape", "entity": "ball", "file": "/nowhere.ply"}, ErrorCode.INVALID_OBJECTIVE, "/nowhere.ply"),
    ({"type": "silhouette", "entity": "ball", "file": "/nowhere.png"}, ErrorCode.INVALID_OBJECTIVE, "/nowhere.png"),
    ({"type": "stay_in", "entity": "ball", "low": [1, 0, 0], "high": [0, 1, 1]}, ErrorCode.INVALID_OBJECTIVE, "low"),
    ({"type": "stay_in", "entity": "ball"}, ErrorCode.INVALID_OBJECTIVE, "box"),
    ({"type": "reach", "entity": "ball", "position": [0, 0, 0], "weight": -1}, ErrorCode.INVALID_OBJECTIVE, "weight"),
    ({"type": "reach", "entity": "ball", "position": [0, 0, 0], "orientation": [1, 0, 0, 0]},
     ErrorCode.INVALID_OBJECTIVE, "deformable"),
]  # fmt: skip


@pytest.mark.parametrize("fields, code, names", BAD, ids=[str(i) for i in range(len(BAD))])
def test_a_bad_term_is_refused_by_name(setting, fields, code, names) -> None:
    with pytest.raises(PWError) as caught:
        measured(setting, **fields)
    assert caught.value.code == code and names in str(caught.value)


def test_ends_ways_and_worst_instants(scene, setting) -> None:
    p = setting.start.positions
    for when, cost in (("end", 0.0), ("along", 0.1), ("worst", 0.3)):
        goal = p.astype(np.float64).mean(0).tolist()
        objective = Objective.parse({"terms": [{"type": "reach", "entity": "ball", "position": goal, "when": when}]})
        scorer = objective.scorer(setting)
        for away in (0.0, 0.3, 0.0):
            scorer.see(Moment(0.0, p + np.float32([away, 0, 0]), setting.start.velocities, setting.start.physics))
        assert scorer.costs()["reach"] == pytest.approx(cost, abs=1e-6)


def test_what_is_no_number_at_any_instant_costs_infinity(setting) -> None:
    for when in ("end", "along", "worst"):
        reach = {"type": "reach", "entity": "ball", "position": [0, 0, 0], "when": when}
        scorer = Objective.parse({"terms": [reach]}).scorer(setting)
        nowhere = np.full_like(setting.start.positions, np.nan)
        scorer.see(Moment(0.0, nowhere, setting.start.velocities, setting.start.physics))
        if when != "end":
            scorer.see(setting.start)
        assert scorer.costs()["reach"] == np.inf


def test_two_terms_of_one_name_are_refused() -> None:
    term = {"type": "reach", "entity": "ball", "position": [0, 0, 0]}
    with pytest.raises(PWError, match="name"):
        Objective.parse({"terms": [term, term]})
    with pytest.raises(PWError, match="there is no term 'reech'"):
        Objective.parse({"terms": [term], "stop_when": [{"term": "reech", "below": 1}]})
