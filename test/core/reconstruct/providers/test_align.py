"""A depth guess in metres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from pw_core.errors import ReconstructError
from pw_core.gaussians import Camera
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.providers.align import align
from pw_core.reconstruct.providers.types import DepthGuess
from support.ball_depth import program, table, true_depth
from support.ball_photo import (
    HEIGHT,
    RADIUS,
    WIDTH,
    ball_config,
    ball_mask,
    ball_photo,
    camera,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_scale_and_offset_come_from_the_table_whatever_lies_on_it(kind: str) -> None:
    true = true_depth()
    value = 3 * (true if kind == "depth" else 1 / true) + 0.7
    value[150:, :60] *= 0.5  # something that nobody named
    value += np.random.default_rng(0).normal(0, 0.002, value.shape)
    for said in (kind, "auto"):
        found = align(DepthGuess(value.astype(np.float32), said), camera(), table())  # type: ignore[arg-type]
        assert found.report["kind"] == kind
        assert abs((found.depth - true)[ball_mask()].mean()) < 0.005 * RADIUS


def test_what_no_scale_puts_on_the_table_is_refused() -> None:
    noise = np.random.default_rng(0).uniform(1, 2, (HEIGHT, WIDTH)).astype(np.float32)
    with pytest.raises(ReconstructError, match="no scale and offset puts it on the table"):
        align(DepthGuess(noise), camera(), table())
    backwards = DepthGuess((5 - true_depth()).astype(np.float32), "depth")
    with pytest.raises(ReconstructError, match="falls where the distance grows"):
        align(backwards, camera(), table())
    with pytest.raises(ReconstructError, match="only 0 pixels show the table"):
        align(backwards, camera(), np.zeros((HEIGHT, WIDTH), bool))


def visible_error(scene: Any) -> float:
    """Mean distance of the ball's true visible surface from the mesh, over its diameter."""
    mask = ball_mask()
    y, x = np.nonzero(mask)
    cam: Camera = camera()
    seen = cam.unproject(np.stack([x, y], 1) + 0.5, true_depth()[y, x])
    e = scene.entities[0]
    mesh = trimesh.Trimesh(e.mesh.vertices, e.mesh.faces)
    assert mesh.is_watertight
    return float(trimesh.proximity.ProximityQuery(mesh).on_surface(seen)[1].mean() / (2 * RADIUS))


def test_a_programs_depth_takes_the_place_of_the_inflated_front(tmp_path: Path) -> None:
    np.save(tmp_path / "true.npy", (1 / true_depth()).astype(np.float32))
    settings = program(f"np.save(output, 2 * np.load({str(tmp_path / 'true.npy')!r}) + 5)", tmp_path)
    asked = ball_config()
    fields = asked.model_dump(mode="json")
    fields["reconstruct"]["depth"] = {"provider": "program", "settings": settings}
    photo = Inputs.of_photo(asked, ball_photo())
    scene, plain = reconstruct(type(asked).parse(fields), photo), reconstruct(asked, photo)
    assert visible_error(scene) < min(0.01, 0.5 * visible_error(plain))
    assert scene.provenance["depth"]["kind"] == "disparity" and scene.provenance["depth"]["provider"] == "program"
    assert scene.entities[0].volume_m3 == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.15)
