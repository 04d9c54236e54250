"""Given poses that are a little wrong, made right by the pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm.adjust_given import adjust_given_poses, similarity
from support.ball import camera, shot, shots

pytest.importorskip("pycolmap")


def test_similarity_of_points() -> None:
    rng = np.random.default_rng(0)
    points, turn = rng.normal(size=(12, 3)), Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    scale, found, shift = similarity(points, 2.5 * points @ turn.T + [1, 2, 3])
    assert scale == pytest.approx(2.5) and np.allclose(found, turn) and np.allclose(shift, [1, 2, 3])
    mirrored = similarity(points, points * [1, 1, -1])[1]
    assert np.linalg.det(mirrored) == pytest.approx(1)


@pytest.mark.slow
def test_poses_that_are_a_little_wrong_are_adjusted_in_their_own_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    true, views = [], []
    for k in range(9):
        cam = camera(0.12 * (k - 4), height=0.26 + 0.04 * (k % 3), name=f"v{k}.png", enlarged=2)
        error = np.eye(4)
        error[:3, :3] = Rotation.from_rotvec(np.radians(rng.normal(0, 0.4, 3))).as_matrix()
        error[:3, 3] = rng.normal(0, 0.002, 3)
        true.append(cam)
        picture, depth, _ = shot(cam, grain=0.4)
        views.append(ViewInput(cam.name, picture, depth, cam.K, error @ cam.viewmat))
    before = Inputs(tuple(views))
    after, report = adjust_given_poses(before, ViewsSettings(refine_poses=True), tmp_path, lambda s, f: None)
    assert after.route == "posed rgbd" and report["points"] > 100

    def relative(inputs: Inputs) -> float:
        """Median error [degrees] of the rotation from each view to the next: whatever the frame."""
        out = []
        for a, b, s, t in zip(inputs.views, inputs.views[1:], true, true[1:]):
            got = b.viewmat[:3, :3] @ a.viewmat[:3, :3].T
            wanted = t.viewmat[:3, :3] @ s.viewmat[:3, :3].T
            out.append(np.degrees(Rotation.from_matrix(got @ wanted.T).magnitude()))
        return float(np.median(out))

    assert relative(before) > 0.5 and relative(after) < 0.2
    centres = np.array([v.camera.centre for v in after.views])  # the metre and the frame are the given ones
    assert np.linalg.norm(centres - [c.centre for c in true], axis=1).mean() < 0.005
    assert 0.1 < report["turned_deg"] < 2


@pytest.mark.slow
def test_poses_that_say_nothing_of_the_pictures_are_refused(tmp_path: Path) -> None:
    inputs, _ = shots(4, depth=False)
    wrong = replace(inputs, views=tuple(
        replace(v, viewmat=w.viewmat) for v, w in zip(inputs.views, [*inputs.views[2:], *inputs.views[:2]])
    ))  # fmt: skip
    with pytest.raises(ReconstructError, match=r"refine_poses: only \d+ common points") as caught:
        adjust_given_poses(wrong, ViewsSettings(), tmp_path, lambda s, f: None)
    assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED
    with pytest.raises(ReconstructError, match="needs 3 pictures or more, not 2"):
        adjust_given_poses(replace(inputs, views=inputs.views[:2]), ViewsSettings(), tmp_path, lambda s, f: None)
