"""A mesh from Gaussians and masks, all round and from one side."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.surface.mesh import mesh_of
from support.ball import CENTRE, RADIUS, camera, config
from support.dense_ball import dense_ball


@pytest.mark.parametrize(("angles", "off"), [(np.arange(8) * np.pi / 4, 0.1), (np.linspace(-0.3, 0.3, 5), 0.3)])
def test_the_ball_is_closed_and_of_its_size(angles: np.ndarray, off: float) -> None:
    views, masks, gaussians = dense_ball([camera(a, name=f"v{k}") for k, a in enumerate(angles)])
    inside = np.linalg.norm(gaussians.means - CENTRE, axis=1) < 1.1 * RADIUS
    own, others = gaussians[inside], gaussians[~inside]
    found = mesh_of(config().entities[0], views, own, others, {"ball": masks}, ViewsSettings(voxels=40),
                    points=own.means[::20].astype(np.float64))  # fmt: skip
    mesh = trimesh.Trimesh(found.mesh.vertices, found.mesh.faces)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=off)
    with pytest.raises(ReconstructError, match="'ball': no Gaussians are its own") as caught:
        mesh_of(config().entities[0], views, own[:5], others, {"ball": masks}, ViewsSettings(voxels=40), points=CENTRE)
    assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED
