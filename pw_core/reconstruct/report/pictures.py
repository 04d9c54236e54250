"""Pictures of stages for the report: masks on photos, meshes in light, cameras and points on a map."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.types import Mask, Posed, Rgb
from pw_core.scene import Mesh

TINTS = ((255, 0, 80), (0, 140, 255), (0, 220, 80))
FINER = 2
"""Lines and faces are drawn so many times larger, then shrunk: OpenCV draws jagged edges."""
MAP_PX = 900
LIGHT = np.array([-0.35, 0.45, 0.82])


def marked(photo: Rgb, masks: Sequence[Mask]) -> Rgb:
    """The photo with each mask tinted and outlined."""
    out = photo.copy()
    for i, mask in enumerate(masks):
        tint = TINTS[i % len(TINTS)]
        out[mask] = (0.65 * out[mask] + 0.35 * np.array(tint)).astype(np.uint8)
        lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, lines, -1, tint, max(1, photo.shape[1] // 400))
    return out


def shaded(meshes: Sequence[Mesh], camera: Camera, photo: Rgb) -> Rgb:
    """The meshes' faces from back to front, in light from the upper left, on the paled photo."""
    height, width = FINER * camera.height, FINER * camera.width
    canvas = np.asarray(cv2.resize(255 - (255 - photo) // 3, (width, height)), np.uint8)
    corners = np.concatenate([m.vertices[m.faces] for m in meshes])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    colors = np.concatenate([np.tile(TINTS[i % len(TINTS)], (len(m.faces), 1)) for i, m in enumerate(meshes)])
    uv, depth = camera.project(corners)
    facing = np.einsum("ij,ij->i", normals, camera.centre - corners.mean(1)) > 0
    facing &= (depth > 0).all(1)
    light = 0.45 + 0.55 * np.clip(normals @ LIGHT, 0, 1)
    grey = np.array([205.0, 205, 205]) if len(meshes) == 1 else 0.6 * 205 + 0.4 * colors
    shades = np.broadcast_to(grey, colors.shape) * light[:, None]
    order = np.argsort(-depth.mean(1))
    for i in order[facing[order]]:
        corner = np.round(16 * FINER * uv[i]).astype(np.int32)
        cv2.fillConvexPoly(canvas, corner, shades[i].tolist(), cv2.LINE_AA, shift=4)
    return np.asarray(cv2.resize(canvas, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)


def overview(posed: Posed, meshes: Sequence[Mesh]) -> Rgb:
    """From straight above and from the side: sparse points, the entities' outlines, cameras with the way they look, and
    the plane as a line in the side view."""
    centres = np.array([v.camera.centre for v in posed.views])
    corners = np.concatenate([m.vertices for m in meshes])
    whole = np.concatenate([centres, corners])
    low, high = whole.min(0), whole.max(0)
    margin = 0.12 * float((high - low).max())
    low, high = low - margin, high + margin
    scale = MAP_PX / max(float((high - low)[0]), float((high - low)[1]))
    panels = [
        _panel(posed, meshes, axes=(1, 0), signs=(-1, -1), low=low, high=high, scale=scale),
        _panel(posed, meshes, axes=(0, 2), signs=(1, -1), low=low, high=high, scale=scale),
    ]
    width = max(p.shape[1] for p in panels)
    return np.vstack([
        cv2.copyMakeBorder(p, 0, 8, 0, width - p.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)) for p in panels
    ])  # fmt: skip


def _panel(
    posed: Posed, meshes: Sequence[Mesh], *, axes: tuple[int, int], signs: tuple[int, int], low: F64, high: F64,
    scale: float,
) -> NDArray[np.uint8]:  # fmt: skip
    """One projection: picture x along `signs[0]` times world axis `axes[0]`, picture y likewise."""

    def place(points: NDArray[np.floating]) -> F64:
        ways = [(points[..., a] - low[a]) if s > 0 else (high[a] - points[..., a]) for a, s in zip(axes, signs)]
        return np.asarray(FINER * scale * np.stack(ways, -1), np.float64)

    width, height = (int(FINER * scale * (high - low)[a]) for a in axes)
    canvas = np.full((height, width, 3), 250, np.uint8)
    at = np.floor(place(posed.points)).astype(int)
    inside = (at >= 0).all(1) & (at[:, 0] < width) & (at[:, 1] < height)
    for (x, y), color in zip(at[inside], (255 * posed.colors[inside].clip(0, 1)).astype(int).tolist()):
        cv2.circle(canvas, (int(x), int(y)), FINER, color, -1)
    if 2 in axes:
        level = int(place(np.zeros(3))[1])
        cv2.line(canvas, (0, level), (width, level), (120, 120, 120), FINER)
    for i, m in enumerate(meshes):
        hull = cv2.convexHull(place(m.vertices).astype(np.float32)).astype(np.int32)
        cv2.polylines(canvas, [hull], True, TINTS[i % len(TINTS)], 2 * FINER, cv2.LINE_AA)
    arrow = 0.06 * float((high - low).max())
    for v in posed.views:
        eye, ahead = place(v.camera.centre), place(v.camera.centre + arrow * v.camera.viewmat[2, :3])
        a, b = (tuple(np.round(p).astype(int).tolist()) for p in (eye, ahead))
        cv2.arrowedLine(canvas, a, b, (30, 60, 160), 2 * FINER, cv2.LINE_AA, tipLength=0.3)
        cv2.circle(canvas, a, 4 * FINER, (30, 60, 160), -1, cv2.LINE_AA)
    size = max(1, width // FINER), max(1, height // FINER)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)
