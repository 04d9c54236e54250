"""More small stages for the truths. What is tuned is tuned on the other ones: these are looked at only at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from materials import glazed, linear, matte, mix
from props import ball, plant
from shapes import F64, Mesh, box, displaced, fbm, icosphere, lathe, merge, rod, smooth_min, star_solid
from studio import Stage
from truth_stages import _plain_table, _room, _wooden_table


def _painted(meshes: Sequence[tuple[Mesh, F64 | str]]) -> Mesh:
    """Parts as one mesh, each in its colour (3,) or colours (V, 3)."""
    whole = merge([m for m, _ in meshes])
    colors = [linear(c) if isinstance(c, str) else c for _, c in meshes]
    whole.color = np.concatenate([np.broadcast_to(c, (len(m.verts), 3)) for (m, _), c in zip(meshes, colors)])
    return whole


def _skin(roughness: float) -> dict[str, object]:
    color = {"type": "mesh_attribute", "name": "vertex_color"}
    return {"bsdf": {"type": "twosided", "bsdf": {"type": "principled", "base_color": color, "roughness": roughness}}}


def _between(low: Sequence[float], high: Sequence[float], radius: float, *, end: float = 1.0) -> Mesh:
    """A rod of `radius` at `low` and `end` times as much at `high` [m]."""
    a, b = np.asarray(low, np.float64), np.asarray(high, np.float64)
    length = float(np.linalg.norm(b - a))
    mesh = rod(length=length, radius=radius, rounding=0.3 * radius, segments=24)
    up = (b - a) / length
    side = np.cross(up, [1.0, 0, 0]) if abs(up[0]) < 0.9 else np.cross(up, [0, 1.0, 0])
    side /= np.linalg.norm(side)
    taper = 1 + (end - 1) * (mesh.verts[:, 2:] / length + 0.5)
    turned = (mesh.verts * np.concatenate([taper, taper, np.ones_like(taper)], 1)) @ np.stack(
        [side, np.cross(up, side), up]
    )
    return Mesh(turned + (a + b) / 2, mesh.faces, mesh.uv)


def plant_with_spines() -> Stage:
    """A cactus with spines in a pot."""
    stage = _room("plant", table=_wooden_table(seed=21, light="#b98d5e", dark="#6d472c"), wall="#c9cfc2", at=0.56,
                  height=0.22, pitch_deg=15.0)  # fmt: skip
    pot = lathe([(0, 0), (0.026, 0), (0.034, 0.050), (0.036, 0.050), (0.036, 0.057), (0.031, 0.057), (0, 0.052)])
    dirs, faces = icosphere(5)
    around = np.arctan2(dirs[:, 1], dirs[:, 0])
    ribs = 1 + 0.07 * np.cos(11 * around) * np.hypot(dirs[:, 0], dirs[:, 1])
    body = Mesh(dirs * ribs[:, None] * [0.026, 0.026, 0.040] + [0, 0, 0.088], faces)
    green = mix(0.5 + 0.5 * np.cos(11 * around), "#2f5c34", "#58884a")
    spines = []
    for k in range(11):
        for high in np.linspace(-0.6, 0.9, 9):
            a = 2 * np.pi * k / 11
            ring = np.sqrt(1 - high**2)
            out = np.array([ring * np.cos(a), ring * np.sin(a), high])
            root = out * [0.0275, 0.0275, 0.040] + [0, 0, 0.088]
            for lean in (-0.5, 0.0, 0.5):
                tip = out + lean * np.array([-np.sin(a), np.cos(a), 0.4])
                spines.append((_between(root, root + 0.011 * tip, 0.00045, end=0.25), "#e8dfc0"))
    whole = _painted([(pot, "#b5603c"), (body, green), *spines])
    stage.entities["plant"] = (whole.moved((0.56, 0, 0)), _skin(0.6))
    return stage


def stool() -> Stage:
    """A toy stool on three legs."""
    stage = _room("stool", table=_plain_table("#cfc7b4", "#ddd6c6", roughness=0.5), wall="#9fb3c4", at=0.60,
                  height=0.25, pitch_deg=17.0)  # fmt: skip
    seat = lathe([(0, 0.092), (0.050, 0.092), (0.056, 0.097), (0.056, 0.101), (0.050, 0.106), (0, 0.106)])
    legs = []
    for a in np.radians([80, 200, 320]):
        way = np.array([np.cos(a), np.sin(a)])
        legs.append(_between([*(0.052 * way), 0.0025], [*(0.030 * way), 0.095], 0.0055))
    whole = merge([seat, *legs])
    stage.entities["stool"] = (whole.moved((0.60, 0, 0)), {"bsdf": glazed("#a8572e", roughness=0.35)})
    return stage


def loaf() -> Stage:
    """A loaf of bread, a knife in front of it."""
    stage = _room("loaf", table=_wooden_table(seed=33, light="#d9b98f", dark="#9a6d42"), wall="#bfb3a3", at=0.62,
                  height=0.27, pitch_deg=19.0)  # fmt: skip

    def crust(p: F64) -> F64:
        long = np.sqrt((p[:, 0] / 0.048) ** 2 + (p[:, 1] / 0.095) ** 2 + (np.maximum(p[:, 2] - 0.012, 0) / 0.052) ** 2)
        return np.maximum((long - 1) * 0.045, -p[:, 2])

    solid = star_solid(crust, center=(0, 0, 0.02), reach=0.14, subdivisions=6)
    cuts = np.abs(((solid.verts[:, 1] + 0.35 * solid.verts[:, 0]) / 0.036 + 0.5) % 1 - 0.5)
    depth = -0.004 * np.exp(-((cuts / 0.09) ** 2)) + 0.0012 * fbm(solid.verts, size=0.012, octaves=3, seed=4)
    bread = displaced(solid, depth)
    bread.color = mix(np.exp(-((cuts / 0.14) ** 2)) + 0.25 * fbm(bread.verts, size=0.02, octaves=3, seed=5),
                      "#a8672f", "#e6c891")  # fmt: skip
    stage.entities["loaf"] = (bread.moved((0.62, 0.0, 0.0)), _skin(0.7))
    blade = box((-0.011, -0.02, 0.001), (0.011, 0.11, 0.0028)).moved((0.52, -0.02, 0.0))
    grip = _between((0.52, -0.022, 0.007), (0.52, -0.105, 0.007), 0.0068)
    stage.props["blade"] = (blade, {"bsdf": glazed("#9aa0a6", roughness=0.1)})
    stage.props["grip"] = (grip, {"bsdf": matte("#2d2622")})
    return stage


def pear() -> Stage:
    """A pear beside an apple of like colour."""
    stage = _room("pear", table=_plain_table("#7c6a58", "#8d7a66", roughness=0.45), wall="#cbb9b0", at=0.58,
                  height=0.22, pitch_deg=14.0)  # fmt: skip

    def flesh(p: F64) -> F64:
        low = np.linalg.norm(p - [0, 0, 0.034], axis=1) - 0.034
        high = np.linalg.norm((p - [0, 0.004, 0.074]) * [1, 1, 0.8], axis=1) - 0.018
        return smooth_min(low, high, 0.03)

    fruit = star_solid(flesh, center=(0, 0, 0.045), reach=0.08, subdivisions=6)
    fruit.verts[:, 2] = np.maximum(fruit.verts[:, 2], 0)
    blush = 0.5 + 0.6 * fbm(fruit.verts, size=0.03, octaves=3, seed=8) + 4 * fruit.verts[:, 1]
    stem = _between((0, 0.004, 0.093), (0.002, 0.010, 0.108), 0.0014)
    whole = _painted([(fruit, mix(blush, "#b9b04a", "#c49a3e")), (stem, "#4d3b26")])
    stage.entities["pear"] = (whole.moved((0.58, 0.0, 0.0)), _skin(0.45))
    apple = ball((0.60, -0.072, 0.034), 0.036, squash=(1, 1, 0.94))
    apple.color = mix(0.5 + 0.6 * fbm(apple.verts, size=0.03, octaves=3, seed=9), "#b4aa48", "#bd8f3c")
    stage.props["apple"] = (apple, _skin(0.4))
    return stage


def cloth() -> Stage:
    """A heap of cloth, a bush behind it."""
    stage = _room("cloth", table=_wooden_table(seed=41, light="#c9a87c", dark="#86603c"), wall="#b7c4bd", at=0.60,
                  height=0.24, pitch_deg=18.0)  # fmt: skip

    def heap(p: F64) -> F64:
        return np.maximum((np.sqrt((p[:, 0] / 0.07) ** 2 + (p[:, 1] / 0.085) ** 2 + (p[:, 2] / 0.05) ** 2) - 1) * 0.05,
                          -p[:, 2])  # fmt: skip

    solid = star_solid(heap, center=(0, 0, 0.015), reach=0.13, subdivisions=7)
    folds = fbm(solid.verts, size=0.045, octaves=2, seed=12, ridged=True) + 0.5
    rag = displaced(solid, 0.020 * folds + 0.003 * fbm(solid.verts, size=0.012, octaves=2, seed=13), fade=0.012)
    stage.entities["cloth"] = (rag.moved((0.60, 0, 0)), {"bsdf": matte("#5d7ba0")})
    stage.props["bush"] = (plant((1.3, 0.35, 0.12), 0.13, seed=3), {"bsdf": matte("#3f6a3a")})
    return stage


STAGES: dict[str, Callable[[], Stage]] = {
    "plant": plant_with_spines, "stool": stool, "loaf": loaf, "pear": pear, "cloth": cloth,
}  # fmt: skip
