"""Bread dough on a floured kitchen table, a rolling pin in the air above it, a bright kitchen behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from materials import bumped, glazed, matte, mix, plane_points, rgb, texture, wood
from props import bowl, can, panel, potted, tiles, window
from shapes import F64, Mesh, box, cells, displaced, fbm, lathe, merge, perlin, rod, sheet, smooth_min, star_solid
from studio import Stage

CENTER = np.array([0.90, 0.0, 0.0])
EDGE = 1.10
WALL = 2.8
PIN_AT = np.array([0.90, -0.012, 0.190])
PIN_TILT_DEG = 38.0  # from upright, the upper end to the right


def dough() -> Mesh:
    """A soft dome, folded over itself a few times and rested, with shallow creases and a little peak."""
    lobes = [
        ((0, 0, 0.016), (0.088, 0.098, 0.050)),
        ((0.004, 0.012, 0.040), (0.062, 0.066, 0.043)),
        ((-0.028, -0.040, 0.024), (0.050, 0.050, 0.034)),
        ((-0.034, 0.046, 0.022), (0.046, 0.044, 0.030)),
        ((0.010, 0.018, 0.070), (0.030, 0.036, 0.020)),
        ((-0.052, 0.004, 0.014), (0.040, 0.046, 0.024)),
        ((0.020, -0.052, 0.036), (0.044, 0.036, 0.030)),
        ((0.030, 0.050, 0.034), (0.040, 0.040, 0.034)),
    ]

    def sdf(p: F64) -> F64:
        out = np.full(len(p), 1.0)
        for at, radii in lobes:
            q = (p - np.array(at)) / np.array(radii)
            k0 = np.linalg.norm(q, axis=1)
            k1 = np.linalg.norm(q / np.array(radii), axis=1)
            out = smooth_min(out, k0 * (k0 - 1) / np.maximum(k1, 1e-9), 0.013)
        return np.maximum(out, -p[:, 2])

    mesh = star_solid(sdf, center=(0, 0, 0.018), reach=0.16)
    v = mesh.verts
    warped = v + 0.012 * np.stack([perlin(v / 0.040, seed=s) for s in (1, 2, 3)], 1)
    first, second = cells(warped * [1, 1, 1.4], size=0.052, seed=12)
    crease = np.exp(-(((second - first) / 0.10) ** 2)) * np.clip(1.6 * perlin(v / 0.05, seed=8) + 0.15, 0, 1)
    relief = 0.0040 * fbm(v, size=0.055, octaves=2, seed=5) - 0.0030 * crease
    relief += 0.0030 * fbm(warped, size=0.048, octaves=3, gain=0.42, seed=17, ridged=True) + 0.0015
    relief += 0.0003 * fbm(v, size=0.006, octaves=2, seed=19)
    mesh = displaced(mesh, relief, fade=0.012)
    dusty = np.clip(1.7 * fbm(v, size=0.030, octaves=4, gain=0.7, seed=23) + 4.0 * (v[:, 2] - 0.05), 0, 1)
    mesh.color = mix(0.2 + 0.4 * dusty, "#ecdfc2", "#f7f1e4") * (1 - 0.20 * crease)[:, None]
    return mesh


def pin() -> Mesh:
    """The rolling pin: a plain beech cylinder with rounded ends, tilted in the picture's plane."""
    mesh = rod(length=0.165, radius=0.0235, rounding=0.006)
    # Grain along the pin, and the seam of the texture on the side turned away from the camera.
    mesh.uv = np.stack(
        [mesh.verts[:, 2] / 0.165 + 0.5, np.arctan2(-mesh.verts[:, 1], -mesh.verts[:, 0]) / (2 * np.pi) + 0.5], 1
    )
    a = np.radians(PIN_TILT_DEG)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    return Mesh(mesh.verts @ turn.T + PIN_AT, mesh.faces, mesh.uv)


def floured_table() -> dict[str, Any]:
    """Oiled oak planks with flour scattered round the dough."""
    rows, cols, size = 1200, 1300, (1.1, 1.6)
    color, relief = wood(
        rows=rows,
        cols=cols,
        height=size[0],
        width=size[1],
        plank=0.157,
        light="#d3ab7a",
        dark="#7a4f2b",
        seed=8,
        ring=0.016,
        gap=0.0016,
        contrast=1.05,
    )
    pts = plane_points(rows, cols, *size)
    x, y = pts[:, 0] + EDGE - size[0], size[1] / 2 - pts[:, 1]
    near = np.exp(-(((x - 0.83) / 0.12) ** 2) - ((y + 0.02) / 0.21) ** 2)
    patch = fbm(pts * [1, 0.6, 1], size=0.07, octaves=5, gain=0.65, seed=3)
    grain = fbm(pts, size=0.004, octaves=2, gain=0.8, seed=6)
    flour = np.clip(near * (0.55 + 1.3 * patch) + 0.55 * grain * near - 0.10, 0, 0.9).reshape(rows, cols)
    color = mix(flour, color, np.ones((rows, cols, 3)) * np.array([0.84, 0.81, 0.75]))
    return bumped(glazed(texture(color), roughness=0.33, ior=1.4), texture(relief), 0.0012)


def kitchen(stage: Stage) -> None:
    """Tiled wall, window, worktop and sink, cooker on the left, dishwasher and shelf on the right."""
    add = stage.props
    wall = tiles(rows=640, cols=1280, size=(2.0, 4.0), tile=(0.088, 0.20), color="#e6e2d8", seed=4)
    add["wall"] = (panel(WALL, (-2, 2), (-1.0, 1.0)), {"bsdf": glazed(texture(wall), roughness=0.12)})
    for name, part in window(WALL - 0.02, (-0.34, 0.26), (0.10, 0.80), seed=9, strength=3.4, bar=0.022).items():
        add[f"window_{name}"] = part
    grain, _ = wood(rows=200, cols=500, height=0.6, width=2.0, plank=0.12, light="#c08a55", dark="#8a5a30", seed=4)
    oak = {"bsdf": glazed(texture(grain, repeat=(0.4, 1.5)), roughness=0.25)}
    tops = [
        box((2.22, 0.40, -0.085), (WALL, 0.62, -0.045)),
        box((2.22, -1.8, -0.085), (WALL, -0.42, -0.045)),
        box((2.66, -0.42, -0.085), (WALL, 0.40, -0.045)),
        box((2.62, -1.15, 0.235), (WALL, -0.66, 0.265)),
    ]
    add["worktop"] = (merge(tops), oak)
    add["sink"] = (box((2.19, -0.405, -0.33), (2.66, 0.385, -0.058)), {"bsdf": glazed("#f2f0ea", roughness=0.1)})
    fronts = [box((2.25, y0, -0.8), (2.4, y1, -0.095)) for y0, y1 in ((0.40, 0.615), (-0.62, -0.42), (-1.8, -1.26))]
    fronts += [box((2.235, 0.415, z0), (2.26, 0.60, z1)) for z0, z1 in ((-0.24, -0.11), (-0.75, -0.26))]
    fronts += [box((2.25, -0.42, -0.8), (2.4, 0.40, -0.335))]
    add["fronts"] = (merge(fronts), {"bsdf": glazed("#c9c3b4", roughness=0.3)})
    steel = {"type": "roughconductor", "material": "Cr", "alpha": 0.22}
    knob = [can((0, 0, 0), 0.018, 0.02)]
    metal = [box((2.235, -1.25, -0.8), (2.4, -0.63, -0.10)), box((2.20, 0.63, -0.8), (2.4, 1.8, -0.075))]
    bars = [box((2.19, -1.22, -0.165), (2.205, -0.66, -0.150)), box((2.15, 0.68, -0.29), (2.165, 1.75, -0.272))]
    add["steel"] = (merge(metal), {"bsdf": matte("#8f9092")})
    add["bars"] = (merge(bars), {"bsdf": {"type": "twosided", "bsdf": steel}})
    hob = [box((2.22, 0.63, -0.075), (WALL, 1.8, -0.055)), box((2.195, 0.66, -0.62), (2.21, 1.78, -0.32))]
    hob += [box((2.28 + 0.13 * k, 0.68, -0.050), (2.295 + 0.13 * k, 1.2, -0.025)) for k in range(4)]
    add["hob"] = (merge(hob), {"bsdf": glazed("#26272a", roughness=0.15)})
    turned = [
        Mesh(m.verts[:, [2, 1, 0]] * [-1, 1, 1] + [2.20, 0.72 + 0.11 * k, -0.155], m.faces, smooth=False)
        for m in knob
        for k in range(5)
    ]
    add["knobs"] = (merge(turned), {"bsdf": glazed("#b8b8b8", roughness=0.2)})
    tap = [
        can((2.70, -0.02, -0.045), 0.028, 0.03),
        can((2.70, -0.02, -0.02), 0.011, 0.26),
        box((2.52, -0.031, 0.225), (2.70, -0.009, 0.243)),
        box((2.515, -0.03, 0.17), (2.535, -0.01, 0.243)),
    ]
    add["tap"] = (merge(tap), {"bsdf": {"type": "twosided", "bsdf": steel}})
    pots = {
        "left": (2.55, 0.52, -0.045, 0.18, "#8d8578"),
        "right": (2.50, -0.60, -0.045, 0.16, "#a59a88"),
        "sill": (2.745, 0.19, 0.10, 0.095, "#b9643f"),
        "sill2": (2.745, -0.27, 0.10, 0.065, "#d9cdb4"),
    }
    for k, (name, (x, y, z, size, color)) in enumerate(pots.items()):
        add.update(potted(name, (x, y, z), size, color=color, seed=30 + k))
    china = [
        bowl((2.70, -0.76, 0.265), 0.075, 0.075),
        bowl((2.70, -0.76, 0.315), 0.075, 0.075),
        bowl((2.70, -0.97, 0.265), 0.095, 0.07),
        bowl((2.44, 0.47, -0.045), 0.07, 0.025),
    ]
    add["china"] = (merge(china), {"bsdf": glazed("#efece4", roughness=0.1)})
    jars = [
        can((2.55, -0.80, -0.045), 0.045, 0.14),
        can((2.60, -0.92, -0.045), 0.055, 0.18),
        can((2.745, -0.17, 0.10), 0.025, 0.05),
    ]
    add["jars"] = (merge(jars), {"bsdf": glazed("#e4ddcf", roughness=0.15)})
    add["board"] = (box((2.74, -1.20, -0.045), (2.76, -1.0, 0.23)), oak)
    add["pan"] = (merge([can((2.47, 0.88, -0.025), 0.10, 0.09, top=1.05)]), {"bsdf": glazed("#7c2d25", roughness=0.15)})


def table_things(stage: Stage) -> None:
    """A bowl of flour and a jar on the table, off to the left, clear of the dough."""
    stage.props["flour_bowl"] = (bowl((0.93, 0.255, 0.0), 0.056, 0.042), {"bsdf": glazed("#e9e4da", roughness=0.15)})
    a = np.linspace(0, 1, 30)
    heap = lathe(np.stack([0.051 * a[::-1], 0.033 + 0.030 * np.sin(a * np.pi / 2) ** 1.3], 1), segments=90)
    relief = 0.0022 * fbm(heap.verts, size=0.012, octaves=4, seed=3)
    heap.verts[:, 2] += relief * (1 - np.hypot(heap.verts[:, 0], heap.verts[:, 1]) / 0.055)
    stage.props["flour"] = (heap.moved((0.93, 0.255, 0.0)), {"bsdf": matte("#f4f1ea")})
    profile = [
        (0, 0),
        (0.032, 0),
        (0.037, 0.004),
        (0.038, 0.07),
        (0.036, 0.082),
        (0.031, 0.086),
        (0.031, 0.094),
        (0.034, 0.096),
    ]
    stage.props["jar"] = (
        lathe([*profile, (0.030, 0.098), (0.030, 0.06), (0, 0.06)]).moved((1.02, 0.195, 0.0)),
        {"bsdf": glazed("#4f6f7d", roughness=0.12)},
    )


def build() -> Stage:
    """The dumpling stage: dough and rolling pin."""
    stage = Stage(
        "dumpling",
        height=0.250,
        pitch_deg=8.5,
        hfov_deg=40.0,
        table_edge=EDGE,
        pivot=(0.90, 0.0, 0.0),
        focus=0.88,
        aperture=0.0065,
        exposure=1.25,
        integrator={"type": "path", "max_depth": 7},
    )
    soft = {
        "type": "principled",
        "base_color": {"type": "mesh_attribute", "name": "vertex_color"},
        "roughness": 0.75,
        "specular": 0.25,
        "flatness": 0.8,
    }
    stage.entities["dough"] = (dough().moved(CENTER), {"bsdf": soft})
    grain, relief = wood(
        rows=500,
        cols=600,
        height=0.15,
        width=0.20,
        plank=0.5,
        light="#e0b384",
        dark="#a8733f",
        seed=12,
        ring=0.010,
        contrast=0.9,
    )
    beech = bumped(glazed(texture(grain), roughness=0.3, ior=1.4), texture(relief), 0.0004)
    stage.entities["pin"] = (pin(), {"bsdf": beech})
    stage.props["table"] = (sheet((EDGE - 1.1, EDGE), (-0.8, 0.8)), {"bsdf": floured_table()})
    stage.props["table_body"] = (box((EDGE - 1.1, -0.8, -0.04), (EDGE, 0.8, -0.001)), {"bsdf": matte("#8a5c33")})
    table_things(stage)
    kitchen(stage)

    import mitsuba as mi

    place = mi.ScalarTransform4f
    for name, at, aim, size, radiance in (
        ("key", [0.55, 0.95, 0.95], [0.90, 0, 0.05], [0.35, 0.30, 1], [7.5, 7.0, 6.3]),
        ("room", [1.6, 0.0, 1.7], [2.5, 0.0, 0.0], [1.0, 0.4, 1], [1.3, 1.25, 1.15]),
    ):
        stance = place().look_at(origin=at, target=aim, up=[0, 0, 1]) @ place().scale(size)
        stage.lights[name] = {
            "type": "rectangle",
            "to_world": stance,
            "emitter": {"type": "area", "radiance": rgb(radiance)},
        }
    stage.lights["sky"] = {"type": "constant", "radiance": rgb([0.36, 0.355, 0.35])}
    return stage
