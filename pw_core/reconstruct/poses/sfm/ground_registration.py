"""The plane that things stand on, put together as one picture from all views, and each view laid on it again.

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
from pw_core.reconstruct.ground.plane import Plane, find_plane
from pw_core.reconstruct.poses.sfm.tracks import Eye, Track, eyes_of, rebuilt, track_of, unit
from pw_core.reconstruct.types import Rgb

CELLS_PX = (8, 4, 2)
"""Side of the mosaic's cells in each round, in pixels of a view at its usual distance."""
REACH = 1.0
"""Half of the mosaic's side, in that distance."""
WINDOW = 8.0
"""Standard deviation of the window of a patch, and of what its contrast is measured in [cells]."""
SOFT = 0.7
"""Blur of what is registered [cells]."""
FAINT = 1.0
"""Contrast (0 to 255) that does not count as any."""
SLANTED = 6.0
"""A pixel that covers more of the plane along its line of sight than so many at the usual distance shows too little."""
RIM = 4
"""From the border of what a view shows [cells]."""
OTHERS = 3
"""That a view is held against at a place, at the least."""
ALIKE = 0.7
"""Least correlation of a patch with the others' mean."""
EDGES = 0.002
"""Least of a patch's smaller eigenvalue (mean square slope [1 / cell^2]): along a single edge nothing is told."""
FAR = 2.5
"""A patch that seems to lie further from its place is another [cells]."""
SHARED = 10
"""Places that two pictures must share to lie together."""
EVERY_PX = 24
"""Between places, in pixels of a view at its usual distance."""


@dataclass(frozen=True)
class _Sheet:
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


def mosaic(found: Any, pictures: dict[str, Rgb], *, adjust: Callable[[Any], None]) -> tuple[Any, dict[str, int]]:
    """A pycolmap reconstruction with the points of `found` and many of its plane, adjusted; `found` where it shows no
    plane or nothing on it can be told. And how many places of the plane bear out each picture's pose, by name.

    Places bear out what lies together: of pictures that share none with the others, none does.

    pictures: by the name of each image in `found`, which counts in their pixels; adjust: adjusts a reconstruction in
    place.
    """
    old = [(np.asarray(p.xyz), track_of(found, p)) for p in found.points3D.values()]
    borne: dict[str, int] = {}
    for cell_px in CELLS_PX:
        eyes = eyes_of(found, pictures)
        try:
            plane = _plane(found, eyes)
        except ReconstructError:
            return found, {}
        tracks = _tracks(eyes, _sheet(eyes, plane, cell_px), plane.normal, step=max(1, EVERY_PX // cell_px))
        if not tracks:
            return found, {}
        found, numbers, _ = rebuilt(found, [*tracks, *old], [])
        adjust(found)
        borne = _borne(found, numbers[: len(tracks)])
    return found, borne


def _borne(found: Any, numbers: Sequence[int]) -> dict[str, int]:
    """How many of these points each picture still sees after the adjustment, of those that lie together."""
    names = {i.image_id: i.name for i in found.images.values() if i.has_pose}
    column = {i: k for k, i in enumerate(names)}
    sees = np.zeros((len(numbers), len(names)), np.int64)
    for row, number in enumerate(numbers):
        if found.exists_point3D(number):
            for element in found.point3D(number).track.elements:
                sees[row, column[element.image_id]] = 1
    _, part = connected_components(sees.T @ sees >= SHARED, directed=False)
    largest = np.bincount(part).argmax()
    return {n: int(sees[:, column[i]].sum()) for i, n in names.items() if part[column[i]] == largest}


def _plane(found: Any, eyes: dict[int, Eye]) -> Plane:
    points = np.array([p.xyz for p in found.points3D.values()]).reshape(-1, 3)
    turns = np.array([e.turn for e in eyes.values()])
    return find_plane(points, np.array([e.centre for e in eyes.values()]), ups=-turns[:, 1], rights=turns[:, 0])


def _sheet(eyes: dict[int, Eye], plane: Plane, cell_px: int) -> _Sheet:
    """Round the place on the plane that most of the cameras look at."""
    ahead = np.array([e.turn[2] for e in eyes.values()])
    centres = np.array([e.centre for e in eyes.values()])
    across = np.eye(3) - np.einsum("ni,nj->nij", ahead, ahead)
    # Nearest to all lines of sight; where those are parallel, not far off.
    target = np.linalg.lstsq(across.sum(0), np.einsum("nij,nj->i", across, centres), rcond=1e-6)[0]
    middle = target - (target @ plane.normal - plane.offset) * plane.normal
    distance = float(np.mean(np.linalg.norm(centres - middle, axis=1)))
    focal = float(np.median([e.camera.mean_focal_length() * e.shrink for e in eyes.values()]))
    cell = cell_px * distance / focal
    right = unit(np.cross(plane.normal, np.eye(3)[np.abs(plane.normal).argmin()]))
    return _Sheet(middle, cell * right, cell * np.cross(plane.normal, right), int(2 * REACH * focal / cell_px))


def _tracks(eyes: dict[int, Eye], sheet: _Sheet, normal: F64, *, step: int) -> list[tuple[F64, Track]]:
    """Places on the plane every `step` cells, and where each view shows them."""
    numbers = list(eyes)
    drawn = [_drawn(eyes[i], sheet, normal) for i in numbers]
    there = np.array([m for _, m in drawn])
    look = np.array([d for d, _ in drawn]) * there
    known, total = there.sum(0, dtype=np.float32), look.sum(0)
    rows, columns = (a.ravel() for a in np.mgrid[step : sheet.count : step, step : sheet.count : step])
    found: dict[int, Track] = {}
    for k, i in enumerate(numbers):
        others = known - there[k]
        mean = (total - look[k]) / np.maximum(others, 1)
        moved, sure = _registered(look[k], mean, there[k] & (others >= OTHERS))
        use = np.flatnonzero(sure[rows, columns])
        y, x = rows[use], columns[use]
        at = _seen(eyes[i], sheet.places(y + moved[y, x, 1], x + moved[y, x, 0]))
        for place, pixel in zip(use, at):
            if np.isfinite(pixel).all():
                found.setdefault(int(place), []).append((i, eyes[i].given(pixel)))
    places = sheet.places(rows.astype(np.float64), columns.astype(np.float64))
    return [(places[k], track) for k, track in found.items() if len(track) > OTHERS]


def _seen(eye: Eye, points: F64) -> F64:
    """Pixels (n, 2) of the eye's image where it sees points (n, 3); not finite behind it."""
    inside = points @ eye.turn.T + eye.shift
    out = np.full((len(points), 2), np.nan)
    ahead = inside[:, 2] > 1e-9
    out[ahead] = eye.pixel(np.asarray(eye.camera.img_from_cam(inside[ahead]), np.float64))
    return out


def _drawn(eye: Eye, sheet: _Sheet, normal: F64) -> tuple[F32, NDArray[np.bool_]]:
    """What one view shows of the sheet, (count, count), less its mean and in units of its contrast round each cell; and
    where it shows it well."""
    n = sheet.count
    rows, columns = np.mgrid[:n, :n].astype(np.float64)
    points = sheet.places(rows.ravel(), columns.ravel())
    at = _seen(eye, points)
    at[~np.isfinite(at)] = -1e4
    high, wide = eye.grey.shape
    cell = float(np.linalg.norm(sheet.right))
    focal = float(eye.camera.mean_focal_length()) * eye.shrink
    away = (points - eye.centre) @ eye.turn[2]
    height = abs(float((eye.centre - sheet.middle) @ normal))
    usual = float(np.linalg.norm(eye.centre - sheet.middle)) / focal
    there = (at >= 2).all(1) & (at < [wide - 3, high - 3]).all(1) & (away**2 < SLANTED * usual * focal * height)
    coarse = cell / usual
    grey = cv2.GaussianBlur(eye.grey, (0, 0), 0.4 * coarse) if coarse > 1.5 else eye.grey
    maps = at.reshape(n, n, 2).astype(np.float32)
    seen = cv2.remap(np.asarray(grey), maps[..., 0], maps[..., 1], cv2.INTER_LINEAR)
    shown = there.reshape(n, n).astype(np.float32)
    share = _blurred(shown, WINDOW) + 1e-6
    plain = (seen - _blurred(seen * shown, WINDOW) / share) * shown
    contrast = np.sqrt(_blurred(plain * plain, WINDOW) / share)
    well = cv2.erode(shown, np.ones((2 * RIM + 1, 2 * RIM + 1))) > 0
    return _blurred(plain / (contrast + FAINT), SOFT), np.asarray(well)


def _registered(look: F32, mean: F32, where: NDArray[np.bool_]) -> tuple[F32, NDArray[np.bool_]]:
    """How far (x, y) [cells] from a cell a look (H, W) shows what the others' mean shows there, (H, W, 2), and where
    that can be told."""
    weight = where.astype(np.float32)
    dy, dx = np.gradient((look + mean) / 2)
    gap = look - mean
    xx, xy, yy, xg, yg, aa, bb, ab = (
        _blurred(v * weight, WINDOW)
        for v in (dx * dx, dx * dy, dy * dy, dx * gap, dy * gap, look * look, mean * mean, look * mean)
    )  # fmt: skip
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    det = xx * yy - xy * xy + 1e-9
    moved = np.stack([xy * yg - yy * xg, xy * xg - xx * yg], -1) / det[..., None]
    alike = ab / np.sqrt(aa * bb + 1e-9)
    sure = where & (alike > ALIKE) & (least > EDGES) & (np.linalg.norm(moved, axis=-1) < FAR)
    return moved.astype(np.float32), np.asarray(sure)


def _blurred(picture: F32, sigma: float) -> F32:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
