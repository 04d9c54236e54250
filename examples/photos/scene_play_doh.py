"""A lump of pink and orange modelling clay on a yellow table in a child's room."""

from __future__ import annotations

import numpy as np
from materials import bumped, glazed, matte, mix, plane_points, rgb, texture, wood
from props import ball, can, curtain, gingham, panel, potted, window
from shapes import F64, Mesh, box, cells, displaced, fbm, merge, perlin, sheet, star_solid
from studio import Stage

CENTER = np.array([0.60, 0.0, 0.0])
EDGE = 0.85
WALL = 2.6


def lump() -> Mesh:
    """The clay: a hand-rolled ball, flat at the foot, pressed by fingers, with shallow cracks."""
    middle = np.array([0, 0, 0.043])
    rng = np.random.default_rng(5)
    dents = []
    for _ in range(17):
        d = rng.normal(size=3)
        dents.append((d / np.linalg.norm(d), rng.uniform(0.007, 0.013), rng.uniform(0.0012, 0.0030)))

    def sdf(p: F64) -> F64:
        q = (p - middle) / [0.052, 0.053, 0.046]
        r = np.linalg.norm(q, axis=1)
        out = (r - 1.0) * 0.046
        u = q / np.maximum(r, 1e-9)[:, None]
        for axis, wide, deep in dents:
            out = out + deep * np.exp(-np.sum((u - axis) ** 2, axis=1) * (0.05 / wide) ** 2 / 2)
        return np.maximum(out, -p[:, 2])

    mesh = star_solid(sdf, center=(0, 0, 0.035), reach=0.09)
    v = mesh.verts
    warped = v + 0.006 * np.stack([perlin(v / 0.014, seed=s) for s in (4, 5, 6)], 1)
    first, second = cells(warped * [1, 1, 1.5], size=0.026, seed=2)
    crack = np.exp(-(((second - first) / 0.035) ** 2)) * np.clip(1.8 * perlin(v / 0.024, seed=9) - 0.12, 0, 1)
    relief = 0.0016 * fbm(v, size=0.030, octaves=3, seed=3) - 0.0021 * crack
    relief += 0.0016 * fbm(warped * [1, 1, 1.8], size=0.022, octaves=3, seed=12, ridged=True)
    relief += 0.00016 * fbm(v, size=0.0025, octaves=2, seed=15)
    mesh = displaced(mesh, relief, fade=0.006)
    marble = v[:, 2] / 0.09 + 0.30 * fbm(warped * [1, 1, 2.2], size=0.045, octaves=3, seed=21)
    blend = np.clip((marble - 0.30) / 0.30, 0, 1)
    mesh.color = mix(blend, "#e0824a", "#dc748e") * (1 - 0.45 * crack)[:, None]
    return mesh


def toys() -> dict[str, tuple[Mesh, str]]:
    """The room's coloured things, one mesh and colour each, all well behind the table."""
    rng = np.random.default_rng(21)
    colors = ["#d9463a", "#e9a92d", "#3f7fb8", "#4f9d5b", "#e58aa5", "#8c63a8", "#f2efe6", "#2f8f93"]
    out: dict[str, tuple[Mesh, str]] = {}
    heap: dict[str, list[Mesh]] = {}

    def add(color: str, mesh: Mesh) -> None:
        heap.setdefault(color, []).append(mesh)

    for level in (-0.185, 0.035):  # cubes, balls and tins on the left rack
        y = 0.49
        while y < 0.96:
            size = rng.uniform(0.05, 0.085)
            color, kind = colors[rng.integers(8)], rng.integers(3)
            at = (WALL - 0.42, y + size / 2, level)
            if kind == 0:
                add(color, box((at[0], y, level), (at[0] + size, y + size, level + size * rng.uniform(0.8, 1.5))))
            elif kind == 1:
                add(color, ball((at[0], at[1], level + size * 0.55), size * 0.55))
            else:
                add(color, can(at, size * 0.45, size * rng.uniform(0.9, 1.6)))
            y += size + rng.uniform(0.012, 0.03)
    for k, size in enumerate((0.075, 0.062, 0.05, 0.038)):  # ring tower
        add(colors[k], ball((WALL - 0.5, -0.33, -0.13 + 0.042 * k), size, squash=(1, 1, 0.36)))
    for y, color in ((-0.55, "#d9463a"), (-0.70, "#f2efe6"), (-0.82, "#3f7fb8")):  # things in the doll's house
        add(color, box((WALL - 0.44, y - 0.05, -0.165), (WALL - 0.36, y + 0.04, -0.10)))
        add(color, can((WALL - 0.44, y - 0.02, 0.013), 0.032, 0.07, top=0.7))
    for y, z, color in ((-0.52, -0.36, "#e9a92d"), (-0.66, -0.36, "#4f9d5b"), (-0.84, -0.36, "#e58aa5")):
        add(color, box((WALL - 0.46, y - 0.05, z), (WALL - 0.36, y + 0.05, z + 0.11)))
    for y, color in (
        (0.58, "#e9a92d"),
        (0.70, "#d9463a"),
        (0.83, "#2f8f93"),
        (-0.60, "#8c63a8"),
        (-0.76, "#e9a92d"),
        (-0.90, "#3f7fb8"),
    ):  # upper shelves
        add(color, can((WALL - 0.13, y, 0.318), 0.04, rng.uniform(0.05, 0.12), top=rng.uniform(0.7, 1.0)))
    bear = [ball((WALL - 0.45, 0.27, -0.15), 0.085, squash=(1, 1, 1.15)), ball((WALL - 0.47, 0.27, -0.015), 0.062)]
    bear += [ball((WALL - 0.47, 0.27 + s * 0.05, 0.04), 0.024) for s in (-1, 1)]
    bear += [ball((WALL - 0.50, 0.27 + s * 0.085, -0.13), 0.035, squash=(1, 1, 1.6)) for s in (-1, 1)]
    out["bear"] = (merge(bear), "#a9713f")
    out["muzzle"] = (ball((WALL - 0.525, 0.27, -0.03), 0.026), "#e8cfa4")
    for k, (color, meshes) in enumerate(heap.items()):
        for smooth in (True, False):
            group = [mesh for mesh in meshes if mesh.smooth == smooth]
            if group:
                out[f"toy_{k}_{int(smooth)}"] = (merge(group), color)
    return out


def furnish(stage: Stage) -> None:
    """Walls, window, curtains, the rack on the left, the doll's house on the right, the sofa between them."""
    add = stage.props
    plaster = mix(
        0.5 + 0.35 * fbm(plane_points(256, 512, 2, 4), size=0.5, octaves=4).reshape(256, 512), "#a5cbb6", "#8fb9a2"
    )
    add["wall"] = (panel(WALL, (-2, 2), (-1, 1.2)), {"bsdf": matte(texture(plaster))})
    for name, part in window(WALL - 0.02, (-0.17, 0.19), (0.02, 0.60), seed=3, strength=2.6).items():
        add[f"window_{name}"] = part
    for name, y, color, seed in (
        ("a", (0.36, 0.47), "#3a66b0", 1),
        ("b", (0.225, 0.36), "#d8453c", 2),
        ("c", (-0.335, -0.205), "#d8453c", 4),
        ("d", (-0.45, -0.335), "#3f9a58", 5),
    ):
        look = gingham(color, across=4, up=20)
        add[f"curtain_{name}"] = (curtain(WALL - 0.08, y, (-0.16, 0.62), folds=3, seed=seed), {"bsdf": look})
    grain, _ = wood(rows=200, cols=400, height=0.4, width=0.8, plank=0.4, light="#e8c48c", dark="#b98850", seed=3)
    birch = {"bsdf": glazed(texture(grain), roughness=0.3)}
    x0, x1 = WALL - 0.46, WALL - 0.18
    rack = [box((x0, y, -0.6), (x1, y + 0.018, 0.19)) for y in (0.455, 0.985)]
    rack += [box((x0, 0.455, z - 0.016), (x1, 1.0, z)) for z in (-0.40, -0.185, 0.035, 0.19)]
    rack += [box((WALL - 0.22, y0, 0.296), (WALL - 0.02, y1, 0.316)) for y0, y1 in ((0.50, 0.95), (-0.98, -0.52))]
    rack += [box((WALL - 0.12, y - 0.01, 0.22), (WALL - 0.02, y + 0.01, 0.296)) for y in (0.56, 0.88, -0.60, -0.90)]
    house = [box((x0, y, -0.6), (x1, y + 0.02, 0.13)) for y in (-0.98, -0.72, -0.46)]
    house += [box((x0, -0.98, z - 0.016), (x1, -0.44, z)) for z in (-0.36, -0.165, 0.013)]
    for side in (-1, 1):  # the roof's two slopes, sheared boxes
        slope = box((x0 - 0.03, 0, 0.0), (x1, 0.32, 0.022))
        verts = slope.verts * [1, side, 1] + [0, -0.71, 0.28]
        verts[:, 2] -= 0.55 * slope.verts[:, 1]
        house.append(Mesh(verts, slope.faces[:, ::-1] if side < 0 else slope.faces, slope.uv, smooth=False))
    add["rack"] = (merge(rack), birch)
    add["house"] = (merge(house), birch)
    add["house_back"] = (panel(x1 - 0.005, (-0.97, -0.45), (-0.6, 0.16)), {"bsdf": matte("#d99aa8")})
    add["rack_back"] = (panel(x1 - 0.005, (0.46, 0.99), (-0.6, 0.035)), {"bsdf": matte("#6d9bb0")})
    sofa = [
        box((WALL - 0.55, -0.42, -0.6), (WALL - 0.1, 0.42, -0.24)),
        box((WALL - 0.2, -0.42, -0.6), (WALL - 0.1, 0.42, -0.07)),
    ]
    add["sofa"] = (merge(sofa), {"bsdf": matte("#e0a0ae")})
    add["cushion"] = (ball((WALL - 0.26, -0.12, -0.15), 0.12, squash=(0.45, 1.0, 0.75)), {"bsdf": matte("#f1e6c9")})
    for name, (mesh, color) in toys().items():
        add[name] = (mesh, {"bsdf": glazed(color, roughness=0.25) if name[:3] == "toy" else matte(color)})
    add.update(potted("herb", (WALL - 0.09, 0.03, 0.02), 0.075, color="#c9744a", seed=6))
    for name, y, z, color in (
        ("print_a", (0.62, 0.72), (0.215, 0.29), "#e9a92d"),
        ("print_b", (-0.80, -0.68), (0.205, 0.285), "#d9463a"),
    ):
        add[name] = (panel(WALL - 0.01, y, z), {"bsdf": matte(color)})


def build() -> Stage:
    """The play-doh stage."""
    stage = Stage(
        "play_doh",
        height=0.157,
        pitch_deg=7.0,
        hfov_deg=40.0,
        table_edge=EDGE,
        pivot=(0.60, 0.0, 0.0),
        focus=0.57,
        aperture=0.0045,
        exposure=1.2,
        integrator={"type": "path", "max_depth": 7},
    )
    clay = {
        "type": "principled",
        "base_color": {"type": "mesh_attribute", "name": "vertex_color"},
        "roughness": 0.52,
        "specular": 0.35,
        "flatness": 0.5,
    }
    stage.entities["play_doh"] = (lump().moved(CENTER), {"bsdf": clay})
    pts = plane_points(500, 600, 1.0, 1.2)
    worn = fbm(pts, size=0.18, octaves=4, seed=2).reshape(500, 600)
    grit = fbm(pts, size=0.006, octaves=2, seed=4).reshape(500, 600)
    color = mix(0.5 + 0.5 * worn, "#f9dc52", "#f0cb3a") * (1 + 0.03 * grit)[..., None]
    top = bumped(glazed(texture(color), roughness=0.22), texture(0.5 + 0.5 * grit), 0.00012)
    stage.props["table"] = (sheet((EDGE - 1.0, EDGE), (-0.75, 0.75)), {"bsdf": top})
    stage.props["table_body"] = (box((EDGE - 1.0, -0.75, -0.03), (EDGE, 0.75, -0.0008)), {"bsdf": matte("#d99c10")})
    furnish(stage)

    import mitsuba as mi

    place = mi.ScalarTransform4f
    for name, at, aim, size, radiance in (
        ("key", [0.15, 0.75, 0.85], [0.60, 0, 0], [0.28, 0.28, 1], [8.5, 8.0, 7.2]),
        ("room", [1.1, -0.4, 1.9], [2.5, 0.1, 0.0], [0.6, 0.6, 1], [2.6, 2.5, 2.3]),
    ):
        stance = place().look_at(origin=at, target=aim, up=[0, 0, 1]) @ place().scale(size)
        stage.lights[name] = {
            "type": "rectangle",
            "to_world": stance,
            "emitter": {"type": "area", "radiance": rgb(radiance)},
        }
    stage.lights["sky"] = {"type": "constant", "radiance": rgb([0.52, 0.51, 0.50])}
    return stage
