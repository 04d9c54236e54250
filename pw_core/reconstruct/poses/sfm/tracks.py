"""Registered images, and tracks: points by where they are seen, between two reconstructions of pycolmap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pw_core.gaussians import F32, F64
from pw_core.reconstruct.types import Rgb


@dataclass(frozen=True, kw_only=True)
class RegisteredImageOptions:
    """How pictures are prepared for comparison."""

    widest_px: int = 960
    """Pictures wider than this are looked at smaller."""
    blur_px: float = 0.5
    """Standard deviation of the blur that takes out what pixels alone show."""


@dataclass(frozen=True)
class RegisteredImage:
    """A picture with its pose: grey image, by how much it is smaller than what the camera counts in, pycolmap's camera,
    rotation (3, 3) and translation (3,) from the world to the camera, and the camera's centre (3,)."""

    grey: F32
    scale: float
    camera: Any
    rotation: F64
    translation: F64
    centre: F64

    def to_image(self, at: F64) -> F64:
        """COLMAP's pixels (centres at + 0.5) as this image's (centres at + 0)."""
        return at * self.scale - 0.5

    def to_camera(self, at: F64) -> F64:
        """The inverse of `to_image`."""
        return (at + 0.5) / self.scale

    def contains(self, at: F64, *, margin: float) -> bool:
        """Whether a pixel lies inside, by more than `margin`."""
        high, wide = self.grey.shape
        return bool(margin <= at[0] < wide - margin and margin <= at[1] < high - margin)


Track = list[tuple[int, F64]]
"""Image numbers and where a point is seen there, in COLMAP's pixels."""


def track_of(found: Any, point: Any) -> Track:
    """Where a point of a pycolmap reconstruction is seen."""
    return [(e.image_id, found.image(e.image_id).points2D[e.point2D_idx].xy) for e in point.track.elements]


def registered_images(
    found: Any, pictures: dict[str, Rgb], *, options: RegisteredImageOptions = RegisteredImageOptions()
) -> dict[int, RegisteredImage]:
    """Every registered image of a reconstruction by its number; pictures by the names that images have there."""
    import cv2

    out = {}
    for image in found.images.values():
        if not image.has_pose:
            continue
        whole = np.asarray(cv2.cvtColor(pictures[image.name], cv2.COLOR_RGB2GRAY), np.float32)
        scale = min(1.0, options.widest_px / whole.shape[1])
        if scale < 1:
            whole = np.asarray(cv2.resize(whole, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.float32)
        grey = np.asarray(cv2.GaussianBlur(whole, (0, 0), options.blur_px), np.float32)
        pose = image.cam_from_world().matrix()
        out[image.image_id] = RegisteredImage(
            grey, scale, found.camera(image.camera_id), pose[:, :3], pose[:, 3], -pose[:, :3].T @ pose[:, 3]
        )
    return out


def rebuild(
    found: Any, tracks: Sequence[tuple[F64, Track]], spare: Sequence[Track]
) -> tuple[Any, list[int], list[list[int]]]:
    """The registered images of `found` with other points; the points' numbers; and what numbers the places of tracks
    without a point have."""
    import pycolmap

    keypoints: dict[int, list[F64]] = {i.image_id: [] for i in found.images.values() if i.has_pose}

    def number(track: Track) -> list[int]:
        out = []
        for i, at in track:
            out.append(len(keypoints[i]))
            keypoints[i].append(at)
        return out

    numbers = [number(track) for _, track in tracks]
    spares = [number(track) for track in spare]
    out = pycolmap.Reconstruction()
    for image in found.images.values():
        if not image.has_pose:
            continue
        if not out.exists_camera(image.camera_id):
            out.add_camera_with_trivial_rig(pycolmap.Camera(found.camera(image.camera_id).todict()))
        at = np.array(keypoints[image.image_id]).reshape(-1, 2)
        new = pycolmap.Image(image_id=image.image_id, name=image.name, camera_id=image.camera_id, keypoints=at)
        out.add_image_with_trivial_frame(new, image.cam_from_world())
    points = []
    for (place, track), which in zip(tracks, numbers):
        elements = pycolmap.Track()
        for (i, _), k in zip(track, which):
            elements.add_element(i, k)
        points.append(int(out.add_point3D(place, elements, np.zeros(3, np.uint8))))
    return out, points, spares


def triangulate(found: Any, track: Track) -> F64 | None:
    """The point nearest to all lines of sight; None where they are parallel or it lies behind a camera."""
    left, right = np.zeros((3, 3)), np.zeros(3)
    poses = []
    for i, at in track:
        image = found.image(i)
        pose = image.cam_from_world().matrix()
        ray = found.camera(image.camera_id).cam_from_img(np.asarray(at)[None])[0]
        way = normalized(pose[:, :3].T @ np.array([*ray, 1.0]))
        across = np.eye(3) - np.outer(way, way)
        left += across
        right += across @ (-pose[:, :3].T @ pose[:, 3])
        poses.append(pose)
    if np.linalg.cond(left) > 1e8:
        return None
    place = np.asarray(np.linalg.solve(left, right), np.float64)
    return place if all((p[:, :3] @ place + p[:, 3])[2] > 0 for p in poses) else None


def normalized(v: F64) -> F64:
    """At length 1."""
    return np.asarray(v / np.linalg.norm(v))
