"""Camera, Mitsuba scene assembly, rendering and ground truth, common to the three example photos.

World: x forward from the camera, y left, z up, metres; the table is z = 0 and the origin lies beneath the camera.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapes import F64, Mesh


@dataclass(frozen=True)
class Eye:
    """A camera: `origin` (3,) m, unit `forward` (3,), no roll; `hfov_deg` across the picture."""

    origin: F64
    forward: F64
    hfov_deg: float

    def intrinsics(self, width: int, height: int) -> F64:
        """K (3, 3) px, square pixels, pixel centres at integer + 0.5."""
        f = width / 2 / np.tan(np.radians(self.hfov_deg) / 2)
        return np.array([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1.0]])

    def viewmat(self) -> F64:
        """World to camera (4, 4), OpenCV axes: x right, y down, z forward."""
        right = np.cross(self.forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        rot = np.stack([right, np.cross(self.forward, right), self.forward])
        out = np.eye(4)
        out[:3, :3], out[:3, 3] = rot, -rot @ self.origin
        return out

    def orbited(self, angle_deg: float, pivot: F64) -> Eye:
        """The same camera turned about the vertical through `pivot`, counter-clockwise seen from above."""
        a = np.radians(angle_deg)
        turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        return Eye(pivot + turn @ (self.origin - pivot), turn @ self.forward, self.hfov_deg)


def front_eye(*, height: float, pitch_deg: float, hfov_deg: float) -> Eye:
    """The photo's camera: `height` m above the table's origin, looking along +x, `pitch_deg` down."""
    p = np.radians(pitch_deg)
    return Eye(np.array([0, 0, height]), np.array([np.cos(p), 0, -np.sin(p)]), hfov_deg)


@dataclass
class Stage:
    """One scene before rendering: its camera, its entities by name, and everything else as Mitsuba dictionaries."""

    name: str
    height: float
    pitch_deg: float
    hfov_deg: float
    table_edge: float
    pivot: tuple[float, float, float]
    focus: float
    aperture: float = 0.0
    exposure: float = 1.0
    warmth: tuple[float, float, float] = (1.0, 1.0, 1.0)
    integrator: dict[str, Any] = field(default_factory=lambda: {"type": "path", "max_depth": 9})
    entities: dict[str, tuple[Mesh, dict[str, Any]]] = field(default_factory=dict)
    props: dict[str, tuple[Mesh, dict[str, Any]]] = field(default_factory=dict)
    lights: dict[str, dict[str, Any]] = field(default_factory=dict)

    def eye(self) -> Eye:
        """The photo's camera."""
        return front_eye(height=self.height, pitch_deg=self.pitch_deg, hfov_deg=self.hfov_deg)


class Studio:
    """A loaded Mitsuba scene and what is needed to photograph it from any camera."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        import mitsuba as mi

        self.stage = stage
        folder.mkdir(parents=True, exist_ok=True)
        parts: dict[str, Any] = {"type": "scene", "integrator": stage.integrator}
        for name, (mesh, look) in {**stage.props, **stage.entities}.items():
            path = folder / f"{name}.ply"
            mesh.write_ply(path)
            parts[name] = {"type": "ply", "filename": str(path), "face_normals": not mesh.smooth, **look}
        parts.update(stage.lights)
        self.scene = mi.load_dict(parts, parallel=False, optimize=False)

    def _sensor(self, eye: Eye, width: int, height: int, *, spp: int, sharp: bool, crop: tuple[int, int] | None) -> Any:
        import mitsuba as mi

        stage = self.stage
        film: dict[str, Any] = {
            "type": "hdrfilm",
            "width": width,
            "height": height,
            "pixel_format": "rgb",
            "component_format": "float32",
            "rfilter": {"type": "box" if sharp else "gaussian"},
        }
        if crop is not None:
            film |= {
                "crop_offset_x": 0,
                "crop_offset_y": crop[0],
                "crop_width": width,
                "crop_height": crop[1] - crop[0],
            }
        sampler: dict[str, Any] = {"type": "multijitter", "sample_count": spp}
        if sharp:  # one ray through each pixel's centre, so that masks and depth are exact there
            sampler = {"type": "stratified", "sample_count": 1, "jitter": False}
        sensor: dict[str, Any] = {
            "type": "thinlens" if stage.aperture > 0 and not sharp else "perspective",
            "fov": eye.hfov_deg,
            "fov_axis": "x",
            "near_clip": 0.01,
            "far_clip": 100.0,
            "film": film,
            "sampler": sampler,
            "to_world": mi.ScalarTransform4f().look_at(
                origin=list(eye.origin), target=list(eye.origin + eye.forward), up=[0, 0, 1]
            ),
        }
        if sensor["type"] == "thinlens":
            sensor |= {"aperture_radius": stage.aperture, "focus_distance": stage.focus}
        return mi.load_dict(sensor)

    def radiance(
        self,
        eye: Eye,
        width: int,
        height: int,
        *,
        spp: int,
        seed: int = 0,
        bands: int = 1,
        report: Callable[[str], None] = print,
    ) -> NDArray[np.float32]:
        """Linear RGB (H, W, 3), rendered in horizontal bands so that progress can be told."""
        import mitsuba as mi

        edges = np.linspace(0, height, bands + 1).round().astype(int)
        rows, start = [], time.monotonic()
        for k, (top, bottom) in enumerate(pairwise(edges)):
            crop = None if bands == 1 else (int(top), int(bottom))
            sensor = self._sensor(eye, width, height, spp=spp, sharp=False, crop=crop)
            rows.append(np.array(mi.render(self.scene, sensor=sensor, spp=spp, seed=seed + k)))
            if bands > 1:
                report(f"    band {k + 1}/{bands} after {time.monotonic() - start:.0f} s")
        return np.concatenate(rows)[..., :3]

    def geometry(self, eye: Eye, width: int, height: int) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
        """Depth along the optical axis (H, W) m, 0 where nothing is hit, and a mask (H, W) for each entity."""
        import mitsuba as mi

        integrator = mi.load_dict({"type": "aov", "aovs": "p:position,i:shape_index"})
        sensor = self._sensor(eye, width, height, spp=1, sharp=True, crop=None)
        out = np.array(mi.render(self.scene, sensor=sensor, integrator=integrator, spp=1))
        position, index = out[..., -4:-1], np.rint(out[..., -1]).astype(int)
        view = eye.viewmat()
        depth = position @ view[2, :3] + view[2, 3]
        # The channel counts from 1, so that 0 can mean that nothing was hit.
        shapes = [shape.id() for shape in self.scene.shapes()]
        hit = np.any(position != 0, axis=-1)
        masks = {name: (index == shapes.index(name) + 1) & hit for name in self.stage.entities}
        return np.where(hit, depth, 0).astype(np.float32), masks


def despeckle(radiance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Single bright pixels that stand far out of all their neighbours (path-tracing fireflies) become their median."""
    light = np.pad(radiance.sum(axis=-1), 1, mode="edge")
    rows, cols = radiance.shape[:2]
    around = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    near = np.sort(np.stack([light[i : i + rows, j : j + cols] for i, j in around]), axis=0)
    odd = light[1:-1, 1:-1] > 1.35 * near[-2] + 0.02
    padded = np.pad(radiance, ((1, 1), (1, 1), (0, 0)), mode="edge")
    median = np.median(np.stack([padded[i : i + rows, j : j + cols] for i, j in around]), axis=0)
    return np.where(odd[..., None], median, radiance).astype(np.float32)


def develop(radiance: NDArray[np.float32], *, exposure: float, warmth: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Linear RGB to an 8-bit sRGB photo, highlights rolled off smoothly."""
    x = np.maximum(despeckle(radiance) * exposure * np.asarray(warmth), 0).astype(np.float64)
    knee = 0.72  # linear up to here, then an exponential shoulder that reaches white slowly
    x = np.where(x < knee, x, 1 - (1 - knee) * np.exp(-(x - knee) / (1 - knee)))
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(np.maximum(x, 1e-9), 1 / 2.4) - 0.055)
    return np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)
