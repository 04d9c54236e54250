"""Several entities in one scene of many views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pw_core.config import SceneConfig
from pw_core.reconstruct import Inputs, ViewInput, reconstruct
from support.ball import CENTRE, RADIUS, camera, config, iou, shot

SECOND, SMALLER = np.array([0.02, 0.11, 0.035]), 0.035


@pytest.mark.slow
def test_two_balls_of_different_size_and_material(tmp_path: Path) -> None:
    import cv2

    views, true = [], {}
    for k in range(9):
        cam = camera(2 * np.pi * k / 9, height=0.3 + 0.08 * (k % 3), distance=0.45, name=f"v{k}.png")
        picture, depth, mask = shot(cam)
        other, nearer, small = shot(cam, centre=SECOND, radius=SMALLER)
        other = other[..., [2, 1, 0]]  # blue where the first is red
        front = small & (nearer < depth)
        views.append(ViewInput(cam.name, np.where(front[..., None], other, picture),
                               np.where(front, nearer, depth).astype(np.float32), cam.K, cam.viewmat))  # fmt: skip
        true[cam.name] = {"ball": mask & ~front, "marble": front}
    asked = config(reconstruct={"views": {"width_px": 240, "steps": 60, "bind_steps": 20, "voxels": 48}})
    fields = asked.model_dump(mode="json")
    fields["entities"] = [
        {"name": n, "material": {"model": m}, "prompt": {"box": box(true["v0.png"][n])}}
        for n, m in (("ball", "elastic"), ("marble", "rigid"))
    ]
    inputs = Inputs(tuple(views))
    scene = reconstruct(SceneConfig.parse(fields), inputs, folder=tmp_path)
    assert [(e.name, e.kind) for e in scene.entities] == [("ball", "deformable"), ("marble", "rigid")]
    for e, centre, radius in zip(scene.entities, (CENTRE, SECOND), (RADIUS, SMALLER)):
        mesh = trimesh.Trimesh(e.mesh.vertices, e.mesh.faces)
        assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.12), e.name
        assert np.linalg.norm(e.origin - centre) < 0.12 * radius
        own = scene.foreground.means[e.gaussians]
        assert (np.linalg.norm(own - centre, axis=1) < 1.3 * radius).mean() > 0.97  # each its own Gaussians
        for name, masks in true.items():
            found = cv2.imread(str(tmp_path / "masks" / e.name / f"{name}.png"), cv2.IMREAD_GRAYSCALE) > 127
            hidden = e.name == "marble" and masks[e.name].sum() < 0.8 * max(m["marble"].sum() for m in true.values())
            assert iou(found, masks[e.name]) > (0.75 if hidden else 0.88), (e.name, name)
    # Whose each particle is stays whole: slices follow one another, and the ids say the same.
    first, second = scene.entities
    assert first.particles.stop == second.particles.start and second.particles.stop == len(scene.rest)
    assert (scene.entity_ids[second.particles] == 1).all() and (scene.entity_ids[first.particles] == 0).all()
    # Masks may be given in place of prompts, for one of them alone.
    given = replace(inputs, masks={"marble": {n: m["marble"] for n, m in true.items()}})
    again = reconstruct(SceneConfig.parse(fields), given, folder=tmp_path / "given")
    assert again.entities[1].volume_m3 == pytest.approx(4 / 3 * np.pi * SMALLER**3, rel=0.12)


def box(mask: np.ndarray) -> list[float]:
    rows, columns = np.nonzero(mask)
    return [float(v) for v in (columns.min() - 3, rows.min() - 3, columns.max() + 4, rows.max() + 4)]
