"""Poses in another convention than world to camera with optical axes: refused, and the convention is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm.conventions import check_by_depth, check_by_matches
from pw_core.reconstruct.poses.sfm.mapping import map_pictures
from support.ball import camera, shot

GL = np.diag([1.0, -1.0, -1.0, 1.0])
LINK = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
"""Optical axes to those of camera_link: forward is z, left is -x, up is -y."""
MISTAKES = {
    "camera to world": np.linalg.inv,
    "world to camera with OpenGL's axes": lambda m: GL @ m,
    "camera to world with OpenGL's axes": lambda m: np.linalg.inv(GL @ m),
    "world to camera_link": lambda m: LINK @ m,
    "camera_link .* to world": lambda m: np.linalg.inv(LINK @ m),
}


def seen(*, depth: bool) -> Inputs:
    out = []
    for k in range(6):
        cam = camera(0.16 * k, height=0.24 + 0.05 * (k % 3), name=f"v{k}.png", enlarged=2)
        picture, d, _ = shot(cam, grain=0.4)
        out.append(ViewInput(cam.name, picture, d if depth else None, cam.K, cam.viewmat))
    return Inputs(tuple(out))


def meant(inputs: Inputs, mistake) -> Inputs:
    return replace(inputs, views=tuple(replace(v, viewmat=mistake(v.viewmat)) for v in inputs.views))


@pytest.mark.parametrize("name", MISTAKES)
def test_depth_tells_the_convention(name: str) -> None:
    with pytest.raises(ReconstructError, match=f"Read as {name}") as caught:
        check_by_depth(meant(seen(depth=True), MISTAKES[name]))
    assert caught.value.code == ErrorCode.INVALID_CAMERA


@pytest.mark.parametrize(("factor", "says"), [(10.0, "10 times too large"), (5.0, "5 times"), (0.25, "4 times too s")])
def test_depth_in_another_unit_than_the_poses_is_refused_by_its_factor(factor: float, says: str) -> None:
    true = seen(depth=True)
    off = replace(true, views=tuple(replace(v, depth=np.float32(factor) * v.depth) for v in true.views))
    with pytest.raises(ReconstructError, match=says) as caught:
        check_by_depth(off)
    assert caught.value.code == ErrorCode.INVALID_IMAGE and "depth_scale" in str(caught.value)


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The matches of the pictures without depth, at their true poses, which are not refused."""
    pytest.importorskip("pycolmap")
    folder = tmp_path_factory.mktemp("conventions")
    found = map_pictures(seen(depth=False), ViewsSettings(), folder, lambda s, f: None, level=0)
    assert found.num_points3D() > 100
    return folder / "features.db0"


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_matches_tell_the_convention(name: str, matched: Path) -> None:
    with pytest.raises(ReconstructError, match=f"Read as {name}") as caught:
        check_by_matches(meant(seen(depth=False), MISTAKES[name]), matched)
    assert caught.value.code == ErrorCode.INVALID_CAMERA


def test_poses_that_are_merely_off_are_not_refused() -> None:
    rng = np.random.default_rng(0)
    for degrees in (0.0, 2.0, 10.0):
        error = [Rotation.from_rotvec(np.radians(rng.normal(0, degrees, 3))).as_matrix() for _ in range(6)]
        off = [np.block([[e, np.zeros((3, 1))], [np.zeros((1, 3)), np.eye(1)]]) for e in error]
        true = seen(depth=True)
        given = replace(true, views=tuple(replace(v, viewmat=o @ v.viewmat) for v, o in zip(true.views, off)))
        check_by_depth(given)


def test_views_with_nothing_in_common_are_not_refused() -> None:
    """Far apart, nothing agrees with anything, however poses are read."""
    apart = [camera(0.0, name="a.png"), camera(0.0, name="b.png")]
    moved = apart[1].viewmat.copy()
    moved[:3, 3] += moved[:3, :3] @ [0.0, 50.0, 0.0]
    pictures = [shot(c) for c in apart]
    check_by_depth(Inputs((
        ViewInput("a.png", pictures[0][0], pictures[0][1], apart[0].K, apart[0].viewmat),
        ViewInput("b.png", pictures[1][0], pictures[1][1], apart[1].K, moved),
    )))  # fmt: skip
