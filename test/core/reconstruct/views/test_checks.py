"""Poses that cannot be trusted are told: chance pairs, halves of the matches that disagree, plain scenes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses import estimate as module
from pw_core.reconstruct.poses.estimate import pose
from pw_core.reconstruct.poses.sfm import consistency as checks
from pw_core.reconstruct.poses.sfm.verification import log10_expected
from support.ball import camera, shot

from .test_poses import agrees, unplaced

pytest.importorskip("pycolmap")


def scattered(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 640, (count, 2)), rng.uniform(0, 640, (count, 2))


def test_a_few_matches_of_many_are_chance_and_most_of_them_are_not() -> None:
    assert log10_expected(*scattered(16), 40, error_px=4.0) > 0
    assert log10_expected(*scattered(30), 40, error_px=4.0) < -10


def test_matches_on_a_line_or_too_few_say_nothing() -> None:
    line = np.stack([np.arange(30.0), 2 * np.arange(30.0)], 1)
    assert log10_expected(line, line, 30, error_px=4.0) == np.inf
    assert log10_expected(*scattered(7), 7, error_px=4.0) == np.inf


def a_map(turns: dict[str, Rotation], *, points: int = 100) -> SimpleNamespace:
    def image(name: str, turn: Rotation) -> SimpleNamespace:
        matrix = np.column_stack([turn.as_matrix(), np.zeros(3)])
        pose_ = SimpleNamespace(matrix=lambda: matrix)
        return SimpleNamespace(name=name, has_pose=True, num_points3D=points, cam_from_world=lambda: pose_)

    return SimpleNamespace(images={k: image(n, t) for k, (n, t) in enumerate(turns.items())})


def ring(count: int) -> dict[str, Rotation]:
    return {f"v{k}": Rotation.from_euler("y", 20 * k, degrees=True) for k in range(count)}


def test_a_camera_that_two_maps_turn_otherwise_is_named() -> None:
    frame = Rotation.from_euler("xyz", [40, 10, 70], degrees=True)
    other = {n: t * frame for n, t in ring(8).items()}
    other["v3"] = Rotation.from_euler("x", 10, degrees=True) * other["v3"]
    found = checks.apart(a_map(ring(8)), a_map(other))
    assert found["v3"] == pytest.approx(10, abs=1e-6) and max(v for n, v in found.items() if n != "v3") < 1e-4
    verdict = checks.judge(a_map(ring(8)), (a_map(ring(8)), a_map(other)), borne={})
    assert set(verdict.why) == {"v3"} and "5 degrees" in verdict.why["v3"] and len(verdict.trusted) == 7


def test_what_halves_do_not_place_needs_points() -> None:
    half = {n: t for n, t in ring(8).items() if n != "v5"}
    few = checks.judge(a_map(ring(8), points=checks.LEAST_POINTS - 1), (a_map(ring(8)), a_map(half)), borne={})
    assert set(few.why) == {"v5"} and "19 points" in few.why["v5"]
    assert not checks.judge(a_map(ring(8)), (a_map(ring(8)), a_map(half)), borne={}).why


def test_where_halves_place_little_alike_nothing_is_trusted() -> None:
    rng = np.random.default_rng(1)
    other = {n: Rotation.random(random_state=rng) * t for n, t in ring(8).items()}
    for part in (None, a_map(other), a_map({"v0": Rotation.identity()})):
        assert not checks.judge(a_map(ring(8)), (a_map(ring(8)), part), borne={}).trusted


def test_what_the_plane_bears_out_needs_no_halves() -> None:
    places = dict.fromkeys(ring(8), checks.ENOUGH_PLACES) | {"v6": checks.ENOUGH_PLACES - 1}
    verdict = checks.judge(a_map(ring(8), points=10), (None, None), borne=places)
    assert set(verdict.why) == {"v6"} and len(verdict.trusted) == 7


@pytest.mark.slow
@pytest.mark.parametrize("by_the_plane", [True, False])
def test_what_bears_poses_out_leaves_good_poses_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_the_plane: bool
) -> None:
    monkeypatch.setattr(checks, "ENOUGH_POINTS", 10**6)
    if not by_the_plane:
        monkeypatch.setattr(checks, "ENOUGH_PLACES", 10**6)
    inputs, cameras = unplaced()
    posed = pose(inputs, ViewsSettings(width_px=480), tmp_path, lambda s, f: None)
    agrees(posed, cameras)
    assert min(posed.report["borne_out_by_the_plane"].values()) > 20
    assert min(len(s) for s in posed.seen.values()) > 100
    if by_the_plane:
        assert "turn_known_to_deg" not in posed.report
    else:
        known = posed.report["turn_known_to_deg"]
        assert set(known) == {c.name for c in cameras} and max(known.values()) < 0.5


@pytest.mark.slow
def test_a_plain_scene_is_refused_with_its_pictures_named(tmp_path: Path) -> None:
    cameras = [camera(0.3 * k, height=0.26 + 0.04 * (k % 3), name=f"v{k}.png", enlarged=2) for k in range(8)]
    rng = np.random.default_rng(0)
    views = []
    for c in cameras:
        # What little pattern there is drowns in noise that no two pictures share.
        plain = 0.04 * shot(c, grain=4.0)[0] + 110 + rng.normal(0, 2.5, (c.height, c.width, 3))
        views.append(ViewInput(c.name, np.clip(plain, 0, 255).astype(np.uint8), K=c.K))
    with pytest.raises(ReconstructError) as raised:
        pose(Inputs(tuple(views)), ViewsSettings(width_px=480), tmp_path, lambda s, f: None)
    assert raised.value.code == ErrorCode.RECONSTRUCT_FAILED
    assert "v3.png" in str(raised.value) and module.ASKED_FOR in str(raised.value)
