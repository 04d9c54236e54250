"""Gaussians as PLY files in the layout that 3D Gaussian splatting tools share (Kerbl et al. 2023).

One vertex a Gaussian: x y z, nx ny nz (unused), f_dc_0..2, f_rest_* (all of red, then green, then blue), opacity
(logit),
scale_0..2 (logarithms), rot_0..3 (wxyz).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, SceneError
from pw_core.gaussians import Gaussians


def write_ply(path: Path | str, gaussians: Gaussians) -> None:
    """Write a binary little-endian PLY; raises SceneError when shapes disagree or the file cannot be written."""
    from plyfile import PlyData, PlyElement

    g = Gaussians(*(np.asarray(x, dtype=np.float32) for x in gaussians.arrays().values()))
    n, k = g.means.shape[0], g.sh.shape[1] if g.sh.ndim == 3 else -1
    wanted = {"means": (n, 3), "quats": (n, 4), "log_scales": (n, 3), "opacities": (n,), "sh": (n, k, 3)}
    for name, shape in wanted.items():
        if getattr(g, name).shape != shape or k < 1:
            raise SceneError(f"{name}: expected shape {shape}, got {getattr(g, name).shape}")
    rest = g.sh[:, 1:].transpose(0, 2, 1).reshape(n, -1)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{j}" for j in range(rest.shape[1])]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    columns = np.concatenate(
        [g.means, np.zeros((n, 3), np.float32), g.sh[:, 0], rest, g.opacities[:, None], g.log_scales, g.quats], axis=1
    )
    vertices = np.empty(n, dtype=[(name, "<f4") for name in names])
    for j, name in enumerate(names):
        vertices[name] = columns[:, j]
    try:
        PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<").write(str(path))
    except OSError as error:
        text = f"{Path(path).name}: cannot write the PLY file: {error}"
        raise SceneError(text, code=ErrorCode.STORE_FAILED) from error


def read_ply(path: Path | str) -> Gaussians:
    """Read what `write_ply`, or another 3DGS tool, wrote: text or binary of either byte order, any number type, in any
    order, with further properties and elements (both left out), harmonics of degree 0 to 3.

    Raises SceneError when it is not such a file; says what is missing.
    """
    from plyfile import PlyData, PlyParseError

    try:
        vertex: Any = PlyData.read(str(path))["vertex"]
    except (OSError, PlyParseError, KeyError, UnicodeDecodeError) as error:
        raise SceneError(f"{path}: not a readable PLY file with vertices: {error}") from error
    have = [p.name for p in vertex.properties]
    count = sum(p.startswith("f_rest_") for p in have)
    rest_names = [f"f_rest_{k}" for k in range(count)]
    bands = 1 + count // 3

    def columns(names: list[str]) -> NDArray[np.float32]:
        missing = [name for name in names if name not in have]
        if missing:
            raise SceneError(f"{path}: not a Gaussian PLY, properties missing: {', '.join(missing)}")
        return np.stack([np.asarray(vertex[name], dtype=np.float32) for name in names], axis=1)

    if len(rest_names) != 3 * (bands - 1) or round(bands**0.5) ** 2 != bands:
        raise SceneError(f"{path}: {len(rest_names)} f_rest properties; expected 0, 9, 24 or 45")
    sh = np.empty((vertex.count, bands, 3), np.float32)
    sh[:, 0] = columns(["f_dc_0", "f_dc_1", "f_dc_2"])
    if rest_names:
        sh[:, 1:] = columns(rest_names).reshape(-1, 3, bands - 1).transpose(0, 2, 1)
    return Gaussians(
        means=columns(["x", "y", "z"]),
        quats=columns([f"rot_{j}" for j in range(4)]),
        log_scales=columns([f"scale_{j}" for j in range(3)]),
        opacities=columns(["opacity"])[:, 0],
        sh=sh,
    )
