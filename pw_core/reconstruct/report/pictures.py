"""Pictures of stages for the report: masks on photos, meshes in light, cameras and points on a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pw_core.config import EntityConfig
from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.types import Mask, Posed, Rgb
from pw_core.scene import Mesh

ENTITY_COLORS = ((255, 0, 80), (0, 140, 255), (0, 220, 80))
"""By turns, RGB."""
CAMERA_COLOR = (30, 60, 160)
GREY = 205.0
"""Of a face in full light."""


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How the report's pictures are drawn."""

    oversampling: int = 2
    """Lines and faces are drawn so many times larger, then shrunk: OpenCV draws jagged edges."""
    map_px: int = 900
    """Of the map, along its longer horizontal side."""
    map_margin: float = 0.12
    """Round what is on the map, of its longest side."""
    arrow: float = 0.06
    """Length of a camera's arrow, of that side."""
    mask_opacity: float = 0.35
    """Of a mask's colour over the photo."""
    mesh_color: float = 0.4
    """Of an entity's colour in its faces, where there are several."""
    ambient_light: float = 0.45
    """Of a face's brightness, whichever way it looks."""
    light: tuple[float, float, float] = (-0.35, 0.45, 0.82)
    """Where the rest comes from, in the world."""
    outline_px: int = 400
    """Width of a photo, in outlines of masks."""
    prompt_px: int = 160
    """The same, in radii of prompts' points."""


def marked(photo: Rgb, masks: Sequence[Mask], *, options: PictureOptions = PictureOptions()) -> Rgb:
    """The photo with each mask coloured and outlined."""
    out = photo.copy()
    for i, mask in enumerate(masks):
        color = ENTITY_COLORS[i % len(ENTITY_COLORS)]
        share = options.mask_opacity
        out[mask] = ((1 - share) * out[mask] + share * np.array(color)).astype(np.uint8)
        lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, lines, -1, color, max(1, photo.shape[1] // options.outline_px))
    return out


def prompted(
    photo: Rgb, entities: Sequence[EntityConfig], *, scale: float, options: PictureOptions = PictureOptions()
) -> Rgb:  # fmt: skip
    """The photo with each entity's box, points (filled) and negative points (crosses), which are in pixels of the
    original, 1 / scale times as large."""
    out, width = photo.copy(), photo.shape[1]
    line, radius = max(1, width // options.outline_px), max(3, width // options.prompt_px)
    for i, e in enumerate(entities):
        color = ENTITY_COLORS[i % len(ENTITY_COLORS)]
        x0, y0, x1, y1 = (round(v * scale) for v in e.prompt.box)
        cv2.rectangle(out, (x0, y0), (x1, y1), color, line, cv2.LINE_AA)
        for x, y in e.prompt.points:
            at = (round(x * scale), round(y * scale))
            cv2.circle(out, at, radius + line, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(out, at, radius, color, -1, cv2.LINE_AA)
        for x, y in e.prompt.negative_points:
            at = (round(x * scale), round(y * scale))
            for shade, wide in ((255, 255, 255), 3 * line), ((0, 0, 0), line):
                cv2.drawMarker(out, at, shade, cv2.MARKER_TILTED_CROSS, 2 * radius, wide, cv2.LINE_AA)
    return out


def in_colors(values: NDArray[np.floating], known: Mask) -> Rgb:
    """Numbers (H, W) as colours, red the least and blue the greatest of those `known` (H, W); the rest is grey."""
    if not known.any():
        return np.full((*values.shape, 3), 128, np.uint8)
    low, high = np.percentile(values[known], (1, 99))
    level = np.clip((high - np.nan_to_num(values, posinf=high)) / max(float(high - low), 1e-9), 0, 1)
    out = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
    out[~known] = 128
    return np.asarray(out, np.uint8)


def shaded(meshes: Sequence[Mesh], camera: Camera, photo: Rgb, *, options: PictureOptions = PictureOptions()) -> Rgb:
    """The meshes' faces from back to front, in light from the upper left, on the paled photo."""
    finer = options.oversampling
    height, width = finer * camera.height, finer * camera.width
    canvas = np.asarray(cv2.resize(255 - (255 - photo) // 3, (width, height)), np.uint8)
    corners = np.concatenate([m.vertices[m.faces] for m in meshes])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    own = [ENTITY_COLORS[i % len(ENTITY_COLORS)] for i in range(len(meshes))]
    colors = np.concatenate([np.tile(c, (len(m.faces), 1)) for c, m in zip(own, meshes)])
    uv, depth = camera.project(corners)
    facing = np.einsum("ij,ij->i", normals, camera.centre - corners.mean(1)) > 0
    facing &= (depth > 0).all(1)
    light = options.ambient_light + (1 - options.ambient_light) * np.clip(normals @ np.array(options.light), 0, 1)
    share = options.mesh_color
    grey = np.full(3, GREY) if len(meshes) == 1 else (1 - share) * GREY + share * colors
    shades = np.broadcast_to(grey, colors.shape) * light[:, None]
    order = np.argsort(-depth.mean(1))
    for i in order[facing[order]]:
        corner = np.round(16 * finer * uv[i]).astype(np.int32)
        cv2.fillConvexPoly(canvas, corner, shades[i].tolist(), cv2.LINE_AA, shift=4)
    return np.asarray(cv2.resize(canvas, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)


def overview(posed: Posed, meshes: Sequence[Mesh], *, options: PictureOptions = PictureOptions()) -> Rgb:
    """From straight above and from the side: sparse points, the entities' outlines, cameras with the way they look, and
    the plane as a line in the side view."""
    centres = np.array([v.camera.centre for v in posed.views])
    corners = np.concatenate([m.vertices for m in meshes])
    whole = np.concatenate([centres, corners])
    low, high = whole.min(0), whole.max(0)
    margin = options.map_margin * float((high - low).max())
    low, high = low - margin, high + margin
    scale = options.map_px / max(float((high - low)[0]), float((high - low)[1]))
    panels = [
        _panel(posed, meshes, axes=(1, 0), signs=(-1, -1), low=low, high=high, scale=scale, options=options),
        _panel(posed, meshes, axes=(0, 2), signs=(1, -1), low=low, high=high, scale=scale, options=options),
    ]
    width = max(p.shape[1] for p in panels)
    return np.vstack([
        cv2.copyMakeBorder(p, 0, 8, 0, width - p.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)) for p in panels
    ])  # fmt: skip


def _panel(
    posed: Posed, meshes: Sequence[Mesh], *, axes: tuple[int, int], signs: tuple[int, int], low: F64, high: F64,
    scale: float, options: PictureOptions,
) -> NDArray[np.uint8]:  # fmt: skip
    """One projection: picture x along `signs[0]` times world axis `axes[0]`, picture y likewise."""
    finer = options.oversampling

    def place(points: NDArray[np.floating]) -> F64:
        ways = [(points[..., a] - low[a]) if s > 0 else (high[a] - points[..., a]) for a, s in zip(axes, signs)]
        return np.asarray(finer * scale * np.stack(ways, -1), np.float64)

    width, height = (int(finer * scale * (high - low)[a]) for a in axes)
    canvas = np.full((height, width, 3), 250, np.uint8)
    at = np.floor(place(posed.points)).astype(int)
    inside = (at >= 0).all(1) & (at[:, 0] < width) & (at[:, 1] < height)
    for (x, y), color in zip(at[inside], (255 * posed.colors[inside].clip(0, 1)).astype(int).tolist()):
        cv2.circle(canvas, (int(x), int(y)), finer, color, -1)
    if 2 in axes:
        level = int(place(np.zeros(3))[1])
        cv2.line(canvas, (0, level), (width, level), (120, 120, 120), finer)
    for i, m in enumerate(meshes):
        outline = cv2.convexHull(place(m.vertices).astype(np.float32)).astype(np.int32)
        cv2.polylines(canvas, [outline], True, ENTITY_COLORS[i % len(ENTITY_COLORS)], 2 * finer, cv2.LINE_AA)
    arrow = options.arrow * float((high - low).max())
    for v in posed.views:
        stands, ahead = place(v.camera.centre), place(v.camera.centre + arrow * v.camera.viewmat[2, :3])
        a, b = (tuple(np.round(p).astype(int).tolist()) for p in (stands, ahead))
        cv2.arrowedLine(canvas, a, b, CAMERA_COLOR, 2 * finer, cv2.LINE_AA, tipLength=0.3)
        cv2.circle(canvas, a, 4 * finer, CAMERA_COLOR, -1, cv2.LINE_AA)
    size = max(1, width // finer), max(1, height // finer)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)
