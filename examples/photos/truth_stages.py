"""Small stages for the truths alone: table-top things before a plain wall, lit by a lamp on the left and the room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from materials import bumped, glazed, matte, mix, plane_points, rgb, texture, wood
from props import ball, bowl, can, panel
from shapes import F64, Mesh, box, fbm, lathe, merge, sheet
from studio import Stage

EDGE = 0.95
WALL = 1.6


def _wooden_table(*, seed: int, light: str, dark: str) -> dict[str, Any]:
    rows, cols = 700, 900
    color, relief = wood(rows=rows, cols=cols, height=0.95, width=1.4, plank=0.13, light=light, dark=dark, seed=seed,
                         ring=0.014, gap=0.0014)  # fmt: skip
    return bumped(glazed(texture(color), roughness=0.35, ior=1.4), texture(relief), 0.0010)


def _plain_table(color: str, pale: str, *, roughness: float) -> dict[str, Any]:
    pts = plane_points(300, 400, 0.95, 1.4)
    worn = fbm(pts, size=0.15, octaves=4, seed=7).reshape(300, 400)
    return glazed(texture(mix(0.5 + 0.5 * worn, pale, color)), roughness=roughness)


def _room(
    name: str, *, table: dict[str, Any], wall: str, at: float, height: float, pitch_deg: float,
    edge_m: float = EDGE, wall_m: float = WALL, lamp: tuple[float, float, float] = (0.25, 0.75, 0.85),
    lamp_radiance: tuple[float, float, float] = (20.0, 19.0, 17.0),
) -> Stage:  # fmt: skip
    """An empty table before a wall; the thing is to stand at x = `at` [m]."""
    import mitsuba as mi

    stage = Stage(name, height=height, pitch_deg=pitch_deg, hfov_deg=40.0, table_edge=edge_m, pivot=(at, 0.0, 0.0),
                  focus=at, exposure=1.2, integrator={"type": "path", "max_depth": 6})  # fmt: skip
    stage.props["table"] = (sheet((edge_m - 0.95, edge_m), (-0.7, 0.7)), {"bsdf": table})
    stage.props["table_body"] = (box((edge_m - 0.95, -0.7, -0.03), (edge_m, 0.7, -0.0008)), {"bsdf": matte("#7a5a3c")})
    pts = plane_points(200, 400, 2, 4)
    stain = 0.5 + 0.35 * fbm(pts, size=0.5, octaves=4, seed=3).reshape(200, 400)
    plaster = mix(stain, wall, "#f2eee4")
    stage.props["wall"] = (panel(wall_m, (-2, 2), (-1, 1.2)), {"bsdf": matte(texture(plaster))})
    place = mi.ScalarTransform4f
    for light, where, aim, size, radiance in (
        ("key", list(lamp), [at, 0, 0], [0.16, 0.16, 1], list(lamp_radiance)),
        ("room", [0.9, -0.4, 1.9], [1.5, 0.1, 0.0], [0.6, 0.6, 1], [2.2, 2.15, 2.0]),
    ):
        stance = place().look_at(origin=where, target=aim, up=[0, 0, 1]) @ place().scale(size)
        emitter = {"type": "area", "radiance": rgb(radiance)}
        stage.lights[light] = {"type": "rectangle", "to_world": stance, "emitter": emitter}
    stage.lights["sky"] = {"type": "constant", "radiance": rgb([0.42, 0.42, 0.43])}
    return stage


def _handle(radius: float, tube: float, at: tuple[float, float, float]) -> Mesh:
    """A ring's outer part in the x-z plane turned to the right (-y), welded into a wall at `at` [m]."""
    a, b = np.meshgrid(np.linspace(-1.9, 1.9, 40), np.linspace(0, 2 * np.pi, 20), indexing="ij")
    y = -(radius + tube * np.cos(b)) * np.cos(a)
    z = (radius + tube * np.cos(b)) * np.sin(a)
    from shapes import grid

    points = np.stack([tube * np.sin(b), y, z], -1) + np.asarray(at)
    return grid(points, np.stack([a, b], -1))


def cup() -> Stage:
    """A cup with its saucer and a spoon."""
    stage = _room("cup", table=_wooden_table(seed=5, light="#c79a68", dark="#7b5030"), wall="#b9c7cf", at=0.55,
                  height=0.26, pitch_deg=22.0)  # fmt: skip
    wall = [(0.0, 0.010), (0.022, 0.010), (0.028, 0.016), (0.036, 0.042), (0.040, 0.070)]
    inner = [(0.0375, 0.070), (0.0335, 0.042), (0.024, 0.020), (0.0, 0.016)]
    saucer = lathe([(0, 0), (0.040, 0), (0.046, 0.004), (0.074, 0.015), (0.074, 0.017), (0.045, 0.008), (0, 0.008)])
    spoon = ball((0.0, 0.062, 0.021), 0.013, squash=(1.0, 1.4, 0.35))
    stick = box((-0.0025, 0.0, 0.0), (0.0025, 0.085, 0.0025)).moved((0.0, 0.070, 0.020))
    whole = merge([lathe([*wall, *inner]), saucer, _handle(0.016, 0.005, (0, -0.038, 0.042)), spoon, stick])
    stage.entities["cup"] = (whole.moved((0.55, 0, 0)), {"bsdf": glazed("#e9e5da", roughness=0.12)})
    return stage


def bottle() -> Stage:
    """A green bottle and a bowl behind it."""
    stage = _room("bottle", table=_plain_table("#d8cdb8", "#e8e0d0", roughness=0.4), wall="#c9a98f", at=0.62,
                  height=0.20, pitch_deg=9.0)  # fmt: skip
    profile = [(0, 0), (0.030, 0), (0.034, 0.004), (0.034, 0.11), (0.030, 0.135), (0.015, 0.165), (0.012, 0.175),
               (0.012, 0.205), (0.014, 0.207), (0.014, 0.215), (0.0, 0.215)]  # fmt: skip
    stage.entities["bottle"] = (lathe(profile).moved((0.62, 0, 0)), {"bsdf": glazed("#3f7a4c", roughness=0.1)})
    stage.props["bowl"] = (bowl((0.80, -0.17, 0.0), 0.06, 0.05), {"bsdf": glazed("#5577a0", roughness=0.2)})
    return stage


def blocks() -> Stage:
    """Two toy blocks that touch, the left one an entity that is slid."""
    stage = _room("blocks", table=_wooden_table(seed=9, light="#e0bd8c", dark="#a5763f"), wall="#a9bfae", at=0.58,
                  height=0.22, pitch_deg=14.0)  # fmt: skip
    left = box((-0.03, 0.0, 0.0), (0.03, 0.06, 0.06)).moved((0.58, 0.0005, 0.0))
    right = box((-0.03, -0.06, 0.0), (0.03, 0.0, 0.045)).moved((0.585, -0.0005, 0.0))
    stage.entities["left"] = (left, {"bsdf": glazed("#c2392f", roughness=0.3)})
    stage.entities["right"] = (right, {"bsdf": glazed("#2f5fa8", roughness=0.3)})
    return stage


def glossy() -> Stage:
    """A glossy ball on a glossy table."""
    stage = _room("glossy", table=_plain_table("#54413a", "#6d564b", roughness=0.06), wall="#c8c4b8", at=0.58,
                  height=0.20, pitch_deg=14.0)  # fmt: skip
    stage.entities["ball"] = (ball((0.58, 0, 0.045), 0.045), {"bsdf": glazed("#d98a1f", roughness=0.06)})
    stage.props["can"] = (can((0.78, 0.17, 0.0), 0.03, 0.09), {"bsdf": glazed("#8da7ad", roughness=0.2)})
    return stage


def banana() -> Stage:
    """A banana on a cloth-coloured table."""
    stage = _room("banana", table=_plain_table("#8899a8", "#9fb0bd", roughness=0.6), wall="#d8c9a8", at=0.58,
                  height=0.24, pitch_deg=18.0)  # fmt: skip
    s, b = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(0, 2 * np.pi, 40), indexing="ij")
    width = 0.019 * np.clip(1 - np.abs(s) ** 5, 0.03, 1) ** 0.5 * (1 - 0.75 * np.clip(s - 0.72, 0, 1) / 0.28)
    a, bend = 0.75 * s, 0.115
    centre = np.stack([bend * (1 - np.cos(a)) - 0.02, bend * np.sin(a), np.full_like(a, 0.019) + 0.018 * s**4], -1)
    side = np.stack([np.cos(a), -np.sin(a), np.zeros_like(a)], -1)
    ring: F64 = side * (width * np.cos(b))[..., None] + np.array([0, 0, 1.0]) * (width * np.sin(b))[..., None]
    from shapes import grid

    mesh = grid(centre + ring, np.stack([s, b / (2 * np.pi)], -1))
    mesh.color = mix(np.clip(0.2 + fbm(mesh.verts, size=0.03, octaves=4, seed=2), 0, 1), "#e8c33a", "#b98a24")
    skin = {"type": "principled", "base_color": {"type": "mesh_attribute", "name": "vertex_color"}, "roughness": 0.5}
    stage.entities["banana"] = (mesh.moved((0.58, 0, 0)), {"bsdf": {"type": "twosided", "bsdf": skin}})
    return stage


def niche() -> Stage:
    """A vase close to the wall, its shadow on it."""
    stage = _room("niche", table=_wooden_table(seed=12, light="#d0ab7a", dark="#8f6238"), wall="#cfc6b4", at=0.60,
                  height=0.22, pitch_deg=12.0, edge_m=0.69, wall_m=0.70, lamp=(-0.25, 0.45, 0.50),
                  lamp_radiance=(24.0, 23.0, 20.5))  # fmt: skip
    profile = [(0, 0), (0.026, 0), (0.034, 0.030), (0.036, 0.055), (0.026, 0.085), (0.015, 0.105), (0.014, 0.120),
               (0.019, 0.132), (0.0, 0.132)]  # fmt: skip
    stage.entities["vase"] = (lathe(profile).moved((0.60, 0, 0)), {"bsdf": glazed("#3d6f8e", roughness=0.25)})
    return stage


STAGES: dict[str, Callable[[], Stage]] = {
    "cup": cup, "bottle": bottle, "blocks": blocks, "glossy": glossy, "banana": banana,
    "niche": niche,
}  # fmt: skip
