"""Poses and sparse points as COLMAP's text model, with the pictures that they belong to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pw_core.reconstruct.types import Posed


def file_names(names: Sequence[str]) -> list[str]:
    """For each picture the name of a PNG file, no two the same: its own, without the blanks that separate the fields of
    COLMAP's text files; with its old ending in it where two pictures differ in that alone."""
    plain = [re.sub(r"\s+", "_", Path(n).stem) for n in names]
    whole = [re.sub(r"[\s.]+", "_", n) for n in names]
    out: list[str] = []
    for i, stem in enumerate(plain):
        name = stem if plain.count(stem) == 1 else whole[i]
        number = 2
        while f"{name}.png" in out:
            name, number = f"{whole[i]}_{number}", number + 1
        out.append(f"{name}.png")
    return out


def write_colmap(folder: Path, posed: Posed) -> None:
    """cameras.txt, images.txt and points3D.txt in `folder`/poses, in the scene's frame [m]; in `folder`/inputs the
    pictures as they were used: without distortion, at the working size."""
    import cv2

    poses, inputs = folder / "poses", folder / "inputs"
    poses.mkdir(exist_ok=True)
    inputs.mkdir(exist_ok=True)
    cameras, images = [], []
    for i, (v, name) in enumerate(zip(posed.views, file_names([v.name for v in posed.views])), 1):
        K, m = v.camera.K, v.camera.viewmat
        numbers = " ".join(f"{x:.9g}" for x in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
        cameras.append(f"{i} PINHOLE {v.camera.width} {v.camera.height} {numbers}")
        x, y, z, w = Rotation.from_matrix(m[:3, :3]).as_quat()
        placed = " ".join(f"{n:.12g}" for n in (w, x, y, z, *m[:3, 3]))
        images += [f"{i} {placed} {i} {name}", ""]  # the second line would hold its points
        cv2.imwrite(str(inputs / name), v.image[..., ::-1])
    colors = np.clip(np.round(255 * posed.colors), 0, 255).astype(int)
    points = [f"{i} {p[0]:.9g} {p[1]:.9g} {p[2]:.9g} {c[0]} {c[1]} {c[2]} 0"
              for i, (p, c) in enumerate(zip(posed.points, colors), 1)]  # fmt: skip
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        (poses / f"{name}.txt").write_text("\n".join(lines) + "\n")
