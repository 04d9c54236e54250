"""Whether a scanned thing leans, and the turn that puts it upright."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.config import Material
from pw_core.errors import ReconstructError
from pw_core.reconstruct.binding.attach import with_splats
from pw_core.reconstruct.binding.standing import turn_upright
from support.ball_scene import ball_scene
from support.vessels import box

CLAY = Material(model="plastic", density_kg_m3=1500)


def tilted(degrees: float, points: np.ndarray) -> np.ndarray:
    return np.asarray(Rotation.from_euler("xy", [degrees, 0.4 * degrees], degrees=True).apply(points))


@pytest.mark.parametrize("degrees", [4.0, 11.0, 22.0])
def test_a_box_that_leans_is_turned_back_by_as_much(degrees: float) -> None:
    points = box().means.astype(np.float64)
    noise = np.random.default_rng(0).normal(size=points.shape) * 5e-4
    found = turn_upright(tilted(degrees, points) + noise)
    assert found is not None
    turn, angle = found
    meant = Rotation.from_euler("xy", [degrees, 0.4 * degrees], degrees=True)
    assert np.degrees((Rotation.from_matrix(turn) * meant).apply([0, 0, 1])[2]) > np.degrees(np.cos(np.radians(1.5)))
    assert angle == pytest.approx(np.degrees(np.arccos(meant.apply([0, 0, 1])[2])), abs=1.0)


def test_what_stands_or_is_round_or_lies_on_its_side_is_left_alone() -> None:
    points = box().means.astype(np.float64)
    ball = np.random.default_rng(1).normal(size=(4000, 3))
    ball = ball / np.linalg.norm(ball, axis=1, keepdims=True) * [0.03, 0.02, 0.04]
    for still in (points, ball, tilted(15.0, ball), tilted(60.0, points), points * [1, 1, 0], points[:3]):
        assert turn_upright(still) is None


def test_a_leaning_scan_stands_on_its_flat_side_if_asked_and_that_is_said() -> None:
    scene, scan = ball_scene(), box(at=(0, 0))
    lean = Rotation.from_euler("x", 12, degrees=True).as_matrix()
    leaning = scan.moved(lean, np.array([0.6, 0.25, 0.1]))
    with pytest.warns(UserWarning, match=r"'box': it leant by 1[12]\.\d degrees and was turned"):
        made = with_splats(scene, leaning, name="box", material=CLAY, stand=True)
    level = scan.moved(np.eye(3), np.array([0.6, 0.25, 0.1]))
    upright = with_splats(scene, level, name="box", material=CLAY, stand=True)
    e, other = made.entity("box"), upright.entity("box")
    assert np.ptp(e.mesh.vertices[:, 2]) == pytest.approx(np.ptp(other.mesh.vertices[:, 2]), abs=0.003)
    assert e.mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert e.volume_m3 == pytest.approx(other.volume_m3, rel=0.06)
    with pytest.raises(ReconstructError, match="enclose no volume"):  # its open underside is not below
        with_splats(scene, leaning, name="box", material=CLAY)
