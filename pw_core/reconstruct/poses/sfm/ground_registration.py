"""Ground registration: what things stand on as one orthophoto from all views, and each view registered to it.

Where a scene is plain, features join neighbours only, and poses drift along the chain. But most of what views a third
of a circle apart show is the same table, and its picture can be drawn from straight above whatever the view: there, all
that the other views show of it can be held against one view at once. How far patches of that view lie from their place
is a local registration (Lucas and Kanade 1981) against the mean of the others; the places become points that many views
see, and bundle adjustment weighs them with what else is known. Poses are not bound to the plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from pw_core.errors import ReconstructError
from pw_core.gaussians import F32, F64
from pw_core.reconstruct.ground.plane import Plane, PlaneOptions, find_plane
from pw_core.reconstruct.poses.sfm.tracks import (
    RegisteredImage,
    RegisteredImageOptions,
    Track,
    normalized,
    rebuild,
    registered_images,
    track_of,
)
from pw_core.reconstruct.types import Rgb


@dataclass(frozen=True, kw_only=True)
class GroundRegistrationOptions:
    """How registered images are compared on the ground. Pixels are those of a view at its usual distance; cells those
    of the ground raster."""

    plane: PlaneOptions = PlaneOptions()
    """How the plane is found."""
    images: RegisteredImageOptions = RegisteredImageOptions()
    """How pictures are prepared."""
    cells_px: tuple[int, ...] = (8, 4, 2)
    """Side of the raster's cells in each round [px]: from coarse, which reaches further, to fine."""
    reach_ratio: float = 1.0
    """Half of the raster's side, in the cameras' mean distance."""
    window_cells: float = 8.0
    """Standard deviation of the window of a patch, and of what its contrast is measured in."""
    blur_cells: float = 0.7
    """Blur of what is registered."""
    faint_contrast: float = 1.0
    """Contrast (0 to 255) that does not count as any."""
    most_slant: float = 6.0
    """A pixel that covers more of the plane along its line of sight than so many at the usual distance shows too
    little."""
    border_px: int = 2
    """Left out along the border of an image."""
    border_cells: int = 4
    """Left out along the border of what a view shows."""
    shrinking_blur: float = 0.4
    """Blur of an image before it is drawn on coarser cells, in pixels for each pixel of a cell's side ..."""
    least_shrinking: float = 1.5
    """... where these are more than so many."""
    least_others: int = 3
    """Views that one is held against at a place, at the least."""
    least_correlation: float = 0.7
    """Of a patch with the others' mean."""
    least_texture: float = 0.002
    """Least of a patch's smaller eigenvalue (mean square slope [1 / cell^2]): along a single edge nothing is known."""
    most_shift_cells: float = 2.5
    """A patch that seems to lie further from its place is another."""
    least_shared_places: int = 10
    """Places that two images must share to lie together."""
    spacing_px: int = 24
    """Between places."""


@dataclass(frozen=True)
class _GroundRaster:
    """A square of the plane: middle, its two axes times the cell's side (3,) each, cells along a side, distance."""

    middle: F64
    right: F64
    down: F64
    count: int

    def places(self, rows: F64, columns: F64) -> F64:
        """Points (n, 3) at cells, which may be fractions."""
        half = (self.count - 1) / 2
        return np.asarray(
            self.middle + (columns - half)[..., None] * self.right + (rows - half)[..., None] * self.down
        )


def register_to_ground(
    found: Any, pictures: dict[str, Rgb], *, adjust: Callable[[Any], None],
    options: GroundRegistrationOptions = GroundRegistrationOptions(),
) -> tuple[Any, dict[str, int]]:  # fmt: skip
    """A pycolmap reconstruction with the points of `found` and many of its plane, adjusted; `found` where it shows no
    plane or nothing on it can be registered. And how many places of the plane bear out each image's pose, by name.

    Places bear out what lies together: of images that share none with the others, none does.

    pictures: by the name of each image in `found`, which counts in their pixels; adjust: adjusts a reconstruction in
    place.
    """
    old = [(np.asarray(p.xyz), track_of(found, p)) for p in found.points3D.values()]
    support: dict[str, int] = {}
    for cell_px in options.cells_px:
        images = registered_images(found, pictures, options=options.images)
        try:
            plane = _plane(found, images, options.plane)
        except ReconstructError:
            return found, {}
        raster = _raster(images, plane, cell_px, options)
        tracks = _tracks(images, raster, plane.normal, options, step=max(1, options.spacing_px // cell_px))
        if not tracks:
            return found, {}
        found, numbers, _ = rebuild(found, [*tracks, *old], [])
        adjust(found)
        support = _support(found, numbers[: len(tracks)], options)
    return found, support


def _support(found: Any, numbers: Sequence[int], options: GroundRegistrationOptions) -> dict[str, int]:
    """How many of these points each image still sees after the adjustment, of those that lie together."""
    names = {i.image_id: i.name for i in found.images.values() if i.has_pose}
    column = {i: k for k, i in enumerate(names)}
    sees = np.zeros((len(numbers), len(names)), np.int64)
    for row, number in enumerate(numbers):
        if found.exists_point3D(number):
            for element in found.point3D(number).track.elements:
                sees[row, column[element.image_id]] = 1
    _, part = connected_components(sees.T @ sees >= options.least_shared_places, directed=False)
    largest = np.bincount(part).argmax()
    return {n: int(sees[:, column[i]].sum()) for i, n in names.items() if part[column[i]] == largest}


def _plane(found: Any, images: dict[int, RegisteredImage], options: PlaneOptions) -> Plane:
    points = np.array([p.xyz for p in found.points3D.values()]).reshape(-1, 3)
    rotations = np.array([e.rotation for e in images.values()])
    centres = np.array([e.centre for e in images.values()])
    return find_plane(points, centres, ups=-rotations[:, 1], rights=rotations[:, 0], options=options)


def _raster(
    images: dict[int, RegisteredImage], plane: Plane, cell_px: int, options: GroundRegistrationOptions
) -> _GroundRaster:
    """Round the place on the plane that most of the cameras look at."""
    ahead = np.array([e.rotation[2] for e in images.values()])
    centres = np.array([e.centre for e in images.values()])
    across = np.eye(3) - np.einsum("ni,nj->nij", ahead, ahead)
    # Nearest to all lines of sight; where those are parallel, not far off.
    target = np.linalg.lstsq(across.sum(0), np.einsum("nij,nj->i", across, centres), rcond=1e-6)[0]
    middle = target - (target @ plane.normal - plane.offset) * plane.normal
    distance = float(np.mean(np.linalg.norm(centres - middle, axis=1)))
    focal = float(np.median([e.camera.mean_focal_length() * e.scale for e in images.values()]))
    cell = cell_px * distance / focal
    right = normalized(np.cross(plane.normal, np.eye(3)[np.abs(plane.normal).argmin()]))
    count = int(2 * options.reach_ratio * focal / cell_px)
    return _GroundRaster(middle, cell * right, cell * np.cross(plane.normal, right), count)


def _tracks(
    images: dict[int, RegisteredImage], raster: _GroundRaster, normal: F64, options: GroundRegistrationOptions, *,
    step: int,
) -> list[tuple[F64, Track]]:  # fmt: skip
    """Places on the plane every `step` cells, and where each view shows them."""
    numbers = list(images)
    drawn = [_orthophoto(images[i], raster, normal, options) for i in numbers]
    there = np.array([m for _, m in drawn])
    shown = np.array([d for d, _ in drawn]) * there
    known, total = there.sum(0, dtype=np.float32), shown.sum(0)
    rows, columns = (a.ravel() for a in np.mgrid[step : raster.count : step, step : raster.count : step])
    found: dict[int, Track] = {}
    for k, i in enumerate(numbers):
        others = known - there[k]
        mean = (total - shown[k]) / np.maximum(others, 1)
        moved, sure = _registered(shown[k], mean, there[k] & (others >= options.least_others), options)
        use = np.flatnonzero(sure[rows, columns])
        y, x = rows[use], columns[use]
        at = _projected(images[i], raster.places(y + moved[y, x, 1], x + moved[y, x, 0]))
        for place, pixel in zip(use, at):
            if np.isfinite(pixel).all():
                found.setdefault(int(place), []).append((i, images[i].to_camera(pixel)))
    places = raster.places(rows.astype(np.float64), columns.astype(np.float64))
    return [(places[k], track) for k, track in found.items() if len(track) > options.least_others]


def _projected(image: RegisteredImage, points: F64) -> F64:
    """Pixels (n, 2) of the image where it sees points (n, 3); not finite behind it."""
    inside = points @ image.rotation.T + image.translation
    out = np.full((len(points), 2), np.nan)
    ahead = inside[:, 2] > 1e-9
    out[ahead] = image.to_image(np.asarray(image.camera.img_from_cam(inside[ahead]), np.float64))
    return out


def _orthophoto(
    image: RegisteredImage, raster: _GroundRaster, normal: F64, options: GroundRegistrationOptions
) -> tuple[F32, NDArray[np.bool_]]:
    """What one view shows of the raster, (count, count), less its mean and in units of its contrast round each cell;
    and where it shows it well."""
    n = raster.count
    rows, columns = np.mgrid[:n, :n].astype(np.float64)
    points = raster.places(rows.ravel(), columns.ravel())
    at = _projected(image, points)
    at[~np.isfinite(at)] = -1e4
    high, wide = image.grey.shape
    cell = float(np.linalg.norm(raster.right))
    focal = float(image.camera.mean_focal_length()) * image.scale
    away = (points - image.centre) @ image.rotation[2]
    height = abs(float((image.centre - raster.middle) @ normal))
    usual = float(np.linalg.norm(image.centre - raster.middle)) / focal
    border = options.border_px
    there = (at >= border).all(1) & (at < [wide - border - 1, high - border - 1]).all(1)
    there &= away**2 < options.most_slant * usual * focal * height
    coarse = cell / usual
    grey = image.grey
    if coarse > options.least_shrinking:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), options.shrinking_blur * coarse), np.float32)
    maps = at.reshape(n, n, 2).astype(np.float32)
    seen = cv2.remap(grey, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR)
    shown = there.reshape(n, n).astype(np.float32)
    share = _blurred(shown, options.window_cells) + 1e-6
    plain = (seen - _blurred(seen * shown, options.window_cells) / share) * shown
    contrast = np.sqrt(_blurred(plain * plain, options.window_cells) / share)
    well = cv2.erode(shown, np.ones((2 * options.border_cells + 1, 2 * options.border_cells + 1))) > 0
    return _blurred(plain / (contrast + options.faint_contrast), options.blur_cells), np.asarray(well)


def _registered(
    shown: F32, mean: F32, where: NDArray[np.bool_], options: GroundRegistrationOptions
) -> tuple[F32, NDArray[np.bool_]]:
    """How far (x, y) [cells] from a cell an orthophoto (H, W) shows what the others' mean shows there, (H, W, 2), and
    where that is known."""
    weight = where.astype(np.float32)
    dy, dx = np.gradient((shown + mean) / 2)
    gap = shown - mean
    xx, xy, yy, xg, yg, aa, bb, ab = (
        _blurred(v * weight, options.window_cells)
        for v in (dx * dx, dx * dy, dy * dy, dx * gap, dy * gap, shown * shown, mean * mean, shown * mean)
    )  # fmt: skip
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    det = xx * yy - xy * xy + 1e-9
    moved = np.stack([xy * yg - yy * xg, xy * xg - xx * yg], -1) / det[..., None]
    correlation = ab / np.sqrt(aa * bb + 1e-9)
    sure = where & (correlation > options.least_correlation) & (least > options.least_texture)
    sure &= np.linalg.norm(moved, axis=-1) < options.most_shift_cells
    return moved.astype(np.float32), np.asarray(sure)


def _blurred(picture: F32, sigma: float) -> F32:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
