"""Procedural textures (numpy, linear RGB) and Mitsuba material dictionaries for the example photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapes import F64, fbm, perlin

Dict = dict[str, Any]


def linear(hex_color: str) -> F64:
    """Linear RGB of an sRGB colour such as "#c08040"."""
    srgb = np.array([int(hex_color[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def rgb(color: str | Sequence[float] | F64) -> Dict:
    """A constant colour, from a hex string (sRGB) or linear RGB."""
    value = linear(color) if isinstance(color, str) else np.asarray(color)
    return {"type": "rgb", "value": [float(v) for v in value]}


def texture(
    image: NDArray[np.floating[Any]], *, repeat: tuple[float, float] = (1.0, 1.0), wrap: str = "repeat"
) -> Dict:
    """A bitmap texture of linear values, (H, W) or (H, W, 3); row 0 is v = 1 (image order)."""
    import mitsuba as mi

    data = np.ascontiguousarray(image, dtype=np.float32)
    if data.ndim == 2:
        data = data[..., None]
    to_uv = mi.ScalarTransform3f().scale([repeat[0], repeat[1]])
    return {"type": "bitmap", "bitmap": mi.Bitmap(data), "raw": True, "to_uv": to_uv, "wrap_mode": wrap}


def twosided(bsdf: Dict) -> Dict:
    """The material on both sides of a surface."""
    return {"type": "twosided", "bsdf": bsdf}


def matte(color: str | Dict) -> Dict:
    """Diffuse, two-sided."""
    return twosided({"type": "diffuse", "reflectance": rgb(color) if isinstance(color, str) else color})


def glazed(color: str | Dict, *, roughness: float = 0.15, ior: float = 1.5) -> Dict:
    """Diffuse under a rough clear coat (ceramic, lacquer, plastic), two-sided."""
    reflectance = rgb(color) if isinstance(color, str) else color
    return twosided(
        {
            "type": "roughplastic",
            "diffuse_reflectance": reflectance,
            "alpha": roughness,
            "int_ior": ior,
            "nonlinear": True,
        }
    )


def bumped(bsdf: Dict, height: Dict, scale: float) -> Dict:
    """Any one-sided or two-sided material with a bump texture of heights, `scale` in units of the uv square."""
    return {"type": "bumpmap", "arbitrary": height, "scale": scale, "bsdf": bsdf}


def mix(t: F64, low: F64 | str, high: F64 | str) -> F64:
    """Linear blend of two colours (or images) by `t` in [0, 1]."""
    a, b = (linear(c) if isinstance(c, str) else c for c in (low, high))
    return a + (b - a) * np.clip(t, 0, 1)[..., None]


def plane_points(rows: int, cols: int, height: float, width: float, *, offset: float = 0.0) -> F64:
    """Points (rows * cols, 3) over a `height` x `width` metre sheet, for sampling noise."""
    v, u = np.meshgrid((np.arange(rows) + 0.5) / rows * height, (np.arange(cols) + 0.5) / cols * width, indexing="ij")
    return np.stack([v.ravel(), u.ravel(), np.full(v.size, offset)], 1)


def wood(
    *,
    rows: int,
    cols: int,
    height: float,
    width: float,
    plank: float,
    light: str,
    dark: str,
    seed: int = 0,
    ring: float = 0.011,
    gap: float = 0.0,
    contrast: float = 1.0,
) -> tuple[F64, F64]:
    """Planks whose grain runs along the columns: colour (rows, cols, 3) and relief (rows, cols) in [0, 1].

    `plank`, `ring` and `gap` are widths in metres. Each plank is a cut through a wavy stack of growth rings.
    """
    pts = plane_points(rows, cols, height, width)
    which = np.floor(pts[:, 0] / plank)
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-1, 1, (int(which.max()) + 2, 3))
    per = shift[which.astype(int)]
    local = pts.copy()
    local[:, 1] = local[:, 1] * 0.10 + per[:, 0] * 3.0
    local[:, 2] = per[:, 1] * 5.0
    warp = fbm(local, size=0.055, octaves=3, seed=seed)
    phase = (pts[:, 0] + 0.022 * warp) / ring + per[:, 2] * 4
    # Late wood: growth darkens slowly and then stops at once, so a saw tooth and not a sine.
    saw = phase - np.floor(phase)
    rings = np.clip(saw**2.2, 0, 1) * np.clip((1 - saw) * 7, 0, 1)
    strength = 0.55 + 0.45 * perlin(
        np.stack([np.floor(phase) * 0.77, pts[:, 1] * 0.8, per[:, 1] * 3], 1), seed=seed + 5
    )
    fibre = pts.copy()
    fibre[:, 1] *= 0.02
    fibres = fbm(fibre, size=0.0022, octaves=3, gain=0.75, seed=seed + 9)
    pores_p = pts.copy()
    pores_p[:, 1] *= 0.055
    pores = np.clip(perlin(pores_p / 0.0016, seed=seed + 13) - 0.33, 0, 1) * 3
    broad = fbm(pts * [1, 0.25, 1], size=0.12, octaves=3, seed=seed + 21)
    tone = contrast * (0.55 * rings * strength + 0.16 * fibres + 0.14 * broad + 0.10 * per[:, 2] + 0.22 * pores) + 0.22
    color = mix(tone, light, dark)
    relief = 0.5 - 0.25 * rings * strength + 0.25 * fibres - 0.4 * pores
    if gap > 0:
        edge = np.minimum(pts[:, 0] % plank, plank - pts[:, 0] % plank) + 0.0006 * perlin(pts / 0.03, seed=seed + 31)
        groove = np.clip(1 - edge / gap, 0, 1)
        color *= (1 - 0.86 * groove**0.7)[:, None]
        relief -= 2.0 * groove
    return color.reshape(rows, cols, 3), relief.reshape(rows, cols)


def weave(*, rows: int, cols: int, height: float, width: float, thread: float, seed: int = 0) -> F64:
    """Plain weave relief (rows, cols) in [0, 1] with uneven threads of `thread` metres."""
    pts = plane_points(rows, cols, height, width)
    slub = (
        perlin(pts * [1, 0.06, 1] / (thread * 1.7), seed=seed),
        perlin(pts * [0.06, 1, 1] / (thread * 1.7), seed=seed + 3),
    )
    u = pts[:, 1] / thread + 0.18 * perlin(pts / 0.02, seed=seed + 5)
    v = pts[:, 0] / thread + 0.18 * perlin(pts / 0.02, seed=seed + 6)
    over = np.sign(np.sin(np.pi * u) * np.sin(np.pi * v))
    warp_h = np.abs(np.sin(np.pi * u)) * (1 + 0.4 * slub[1])
    weft_h = np.abs(np.sin(np.pi * v)) * (1 + 0.4 * slub[0])
    out = np.where(over > 0, warp_h * 0.9 + 0.1 * weft_h, weft_h * 0.9 + 0.1 * warp_h)
    out += 0.25 * slub[0] + 0.25 * slub[1]
    return np.clip(out, 0, 1.4).reshape(rows, cols)
