"""A heap of red jam on a pine table before a hanging cloth, lit from a window on the left."""

from __future__ import annotations

from typing import Any

import numpy as np
from materials import bumped, glazed, matte, mix, plane_points, rgb, texture, twosided, weave, wood
from shapes import F64, Mesh, box, cells, displaced, fbm, grid, perlin, sheet, smooth_min, star_solid
from studio import Stage

CENTER = np.array([0.55, 0.0, 0.0])
EDGE = 0.72


def heap() -> Mesh:
    """The jam: a dome with lobes melted into it, sagging at the foot, with lumps of fruit under the skin."""
    rng = np.random.default_rng(11)
    lobes: list[tuple[F64, F64]] = [
        (np.array([0, 0.0, 0.008]), np.array([0.062, 0.076, 0.046])),
        (np.array([-0.002, 0.000, 0.030]), np.array([0.044, 0.056, 0.045])),
    ]
    rings = [(10, 0.064, 0.009, 0.019), (8, 0.050, 0.030, 0.019), (6, 0.032, 0.053, 0.018), (3, 0.013, 0.070, 0.014)]
    for ring, (count, radius, z, size) in enumerate(rings):
        for k in range(count):
            a = 2 * np.pi * (k + 0.37 * ring + rng.uniform(-0.3, 0.3)) / count
            r = radius * rng.uniform(0.80, 1.14)
            at = np.array([0.86 * r * np.cos(a), 1.06 * r * np.sin(a) - 0.05 * z, z * rng.uniform(0.72, 1.2)])
            s = size * rng.uniform(0.7, 1.3)
            lobes.append((at, s * np.array([1.0, 1.15, rng.uniform(0.7, 1.0)])))

    def sdf(p: F64) -> F64:
        out = np.full(len(p), 1.0)
        for at, radii in lobes:
            q = (p - at) / radii
            k0 = np.linalg.norm(q, axis=1)
            k1 = np.linalg.norm(q / radii, axis=1)
            out = smooth_min(out, k0 * (k0 - 1) / np.maximum(k1, 1e-9), 0.008)
        return np.maximum(out, -p[:, 2])

    mesh = star_solid(sdf, center=(0, 0, 0.014), reach=0.14)
    v = mesh.verts
    warped = v + 0.004 * np.stack([perlin(v / 0.012, seed=s) for s in (1, 2, 3)], 1)
    lump, _ = cells(warped, size=0.015, seed=4)
    relief = 0.0022 * (0.5 - lump) + 0.0034 * fbm(v, size=0.030, octaves=2, seed=7)
    relief += 0.0019 * fbm(v + 0.006 * warped, size=0.024, octaves=2, seed=8, ridged=True) + 0.0010
    relief += 0.00022 * fbm(v, size=0.004, octaves=1, seed=6)
    mesh = displaced(mesh, relief, fade=0.010)
    return mesh


def tint(mesh: Mesh) -> F64:
    """Colour under the jam's skin: deep red, lighter where it is thin, with pale pips and darker pulp."""
    v = mesh.verts
    normals = mesh.normals()
    # Light leaks through crests and through the thin lip at the foot: both stand out of the smoothed shape.
    outward = v - [0, 0, 0.012]
    facing = np.einsum("ij,ij->i", normals, outward / np.linalg.norm(outward, axis=1, keepdims=True))
    thin = np.clip(1 - v[:, 2] / 0.016, 0, 1) * 0.6 + np.clip(0.9 - facing, 0, 1) * 0.7
    pulp = fbm(v, size=0.016, octaves=4, seed=20)
    color = mix(
        np.clip(0.35 + 0.5 * pulp + 0.8 * thin, 0, 1), np.array([0.13, 0.0006, 0.0026]), np.array([0.48, 0.004, 0.006])
    )
    near, _ = cells(v, size=0.0062, seed=33)
    lucky = perlin(v / 0.02, seed=40) > -0.15
    pip = np.clip((0.19 - near) / 0.06, 0, 1) * lucky
    color += (np.array([0.70, 0.07, 0.02]) - color) * (0.75 * pip)[:, None]
    fine, _ = cells(v, size=0.0028, seed=35)
    return np.asarray(color * (1 + 0.9 * np.clip((0.24 - fine) / 0.1, 0, 1))[:, None]).clip(0, 0.9)


def cloth() -> Mesh:
    """A heavy linen curtain just beyond the table: folds that wander, pinch and fan out towards the hem."""
    rows, cols = 300, 900
    s, t = np.meshgrid(np.linspace(0, 1, cols), np.linspace(0, 1, rows))  # s along, t upwards
    y = (0.5 - s) * 1.6
    z = -0.16 + 0.72 * t
    flat = np.stack([y.ravel(), z.ravel() * 0.3, np.zeros(y.size)], 1)
    bend = fbm(flat, size=0.30, octaves=2, seed=31).reshape(y.shape)
    u = y + 0.06 * bend
    rng = np.random.default_rng(14)
    depth = np.zeros_like(y)
    for k in range(13):  # single folds, each with its own place, width, lean and depth
        at, wide = -0.8 + 1.6 * (k + rng.uniform(0.1, 0.9)) / 13, rng.uniform(0.022, 0.048)
        q = (u - at - rng.uniform(-0.35, 0.35) * (t - 0.35)) / (wide * (0.8 + 0.5 * t))
        crest = rng.uniform(0.5, 1.0) * 0.095 * np.exp(-(np.abs(q) ** 1.7))
        depth = -smooth_min(-depth, -crest * (0.75 + 0.25 * np.cos(np.pi * (t - rng.uniform(0, 1)))), 0.02)
    small = fbm(np.stack([u.ravel() * 1.6, z.ravel() * 0.6, depth.ravel()], 1), size=0.08, octaves=3, seed=5)
    crumple = fbm(np.stack([y.ravel(), z.ravel(), depth.ravel()], 1), size=0.035, octaves=3, seed=9)
    depth += (0.010 * small + 0.0035 * crumple).reshape(y.shape)
    points = np.stack([EDGE + 0.13 - depth, y, z], axis=-1)
    return grid(points, np.stack([s, t], axis=-1))


def cloth_look() -> dict[str, Any]:
    """Washed linen, straw-coloured with blue-grey stripes on the left, and its weave as bumps."""
    rows, cols = 720, 1600
    relief = weave(rows=rows, cols=cols, height=0.72, width=1.6, thread=0.0032, seed=2)
    pts = plane_points(rows, cols, 0.72, 1.6)
    blotch = fbm(pts * [0.35, 1, 1], size=0.10, octaves=4, seed=12).reshape(rows, cols)
    across = np.linspace(0, 1, cols)[None] + 0.012 * blotch
    blue = np.clip((0.425 - across) / 0.012, 0, 1)
    color = mix(np.clip(0.5 + 0.5 * blotch, 0, 1), "#d8bd93", "#b79a70")
    color = color + (mix(0.5 + 0.5 * blotch, "#8fa6ad", "#6b8994") - color) * blue[..., None]
    color *= (0.90 + 0.10 * relief)[..., None]
    return bumped(twosided({"type": "diffuse", "reflectance": texture(color)}), texture(relief), 0.0012)


def build() -> Stage:
    """The jam stage."""
    stage = Stage(
        "jam",
        height=0.140,
        pitch_deg=10.5,
        hfov_deg=30.0,
        table_edge=EDGE,
        pivot=(0.55, 0.0, 0.0),
        focus=0.50,
        aperture=0.003,
        exposure=1.12,
    )
    body = heap()
    body.color = tint(body)
    jelly = {
        "type": "principled",
        "base_color": {"type": "mesh_attribute", "name": "vertex_color"},
        "roughness": 0.16,
        "specular": 0.5,
        "clearcoat": 1.0,
        "clearcoat_gloss": 0.97,
        "flatness": 0.6,
    }
    stage.entities["jam"] = (body.moved(CENTER), {"bsdf": jelly})

    color, relief = wood(
        rows=1600,
        cols=1400,
        height=0.8,
        width=1.4,
        plank=0.145,
        light="#f2d5a3",
        dark="#b98a52",
        seed=5,
        ring=0.0125,
        gap=0.0007,
        contrast=1.15,
    )
    board = sheet((EDGE - 0.8, EDGE), (-0.7, 0.7))
    pine = bumped(glazed(texture(color), roughness=0.24, ior=1.42), texture(relief), 0.0006)
    stage.props["table"] = (board, {"bsdf": pine})
    stage.props["table_body"] = (box((EDGE - 0.8, -0.7, -0.03), (EDGE, 0.7, -0.0005)), {"bsdf": matte("#a8692f")})
    stage.props["cloth"] = (cloth(), {"bsdf": cloth_look()})

    import mitsuba as mi

    place = mi.ScalarTransform4f
    target = [CENTER[0], 0.0, 0.03]
    for name, at, size, radiance in (
        ("window_a", [0.24, 0.56, 0.36], [0.075, 0.15, 1], [27, 23, 18]),
        ("window_b", [0.44, 0.60, 0.36], [0.075, 0.15, 1], [27, 23, 18]),
        ("fill", [-0.30, -0.70, 0.50], [0.35, 0.25, 1], [0.5, 0.55, 0.65]),
    ):
        stance = place().look_at(origin=at, target=target, up=[0, 0, 1]) @ place().scale(size)
        stage.lights[name] = {
            "type": "rectangle",
            "to_world": stance,
            "emitter": {"type": "area", "radiance": rgb(radiance)},
        }
    stage.lights["sky"] = {"type": "constant", "radiance": rgb([0.10, 0.10, 0.11])}
    return stage
