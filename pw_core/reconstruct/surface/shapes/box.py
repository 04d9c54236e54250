"""Standing things that are boxes: of all boxes on the table, the one whose silhouette is the mask's.

What its silhouette leaves open, a face-on box's depth against its height, is settled by what is likely: as deep as
wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.surface.shapes.silhouette import Silhouette
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class BoxOptions:
    """How a box is looked for in a mask."""

    yaws_deg: tuple[float, ...] = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0)
    """From which its turn about the vertical is looked for."""
    evaluations: int = 250
    """Of silhouettes, from each."""
    again: tuple[float, ...] = (0.3, 0.1)
    """Shares of the first steps with which the search begins again at the best: silhouettes change by whole pixels, and
    the simplex collapses before it is there (a block was 15 % too small)."""
    square_cost: float = 0.01
    """Of a share of the mask, for each e times that it is deeper than wide, or less deep: the silhouette of a box seen
    face on hardly tells."""
    least_iou: float = 0.965
    """Of the box's silhouette and the mask, for the thing to count as a box: rounder things have less."""


@dataclass(frozen=True)
class Box:
    """Middle of the foot x, y [m], extents along its own axes [m] (3,), turn about the vertical [rad]; the IoU of its
    silhouette with the mask."""

    x: float
    y: float
    size: F64
    yaw: float
    iou: float

    def corners(self) -> F64:
        """(8, 3) [m]."""
        unit = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [0.0, 1.0], indexing="ij"), -1).reshape(8, 3)
        own = unit * self.size
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([self.x + c * own[:, 0] - s * own[:, 1], self.y + s * own[:, 0] + c * own[:, 1], own[:, 2]], -1)


def find_box(mask: Mask, camera: Camera, *, options: BoxOptions = BoxOptions()) -> Box | None:
    """The box on z = 0 whose silhouette is nearest to a mask (H, W); None where its foot shows no table."""
    seen = Silhouette.of(mask, camera)
    if seen is None:
        return None
    wide = seen.width_m
    middle = seen.near_m + wide / 2

    def box(p: F64, iou: float = 0.0) -> Box:
        return Box(float(p[0]), float(p[1]), np.exp(p[2:5]), float(p[5]), iou)

    def cost(p: F64) -> float:
        return 1 - seen.iou(box(p).corners()) + options.square_cost * abs(float(p[2] - p[3]))

    rows, columns = (np.ptp(np.flatnonzero(mask.any(axis=a))) + 1 for a in (1, 0))
    steps = np.array([0.2 * wide, 0.1 * wide, 0.2, 0.2, -0.2, 0.2])
    best: tuple[F64, float] | None = None
    for yaw in np.radians(options.yaws_deg):
        side = np.log(wide / (abs(np.cos(yaw)) + abs(np.sin(yaw))))
        across = seen.across_m * middle / seen.near_m
        start = np.array([middle, across, side, side, np.log(rows / columns * wide), yaw])
        found = seen.best(cost, start, steps, options.evaluations)
        if best is None or found[1] < best[1]:
            best = found
    assert best is not None
    for share in options.again:
        best = min(best, seen.best(cost, best[0], share * steps, options.evaluations), key=lambda found: found[1])
    return box(best[0], seen.iou(box(best[0]).corners()))


def box_solid(
    mask: Mask, camera: Camera, rays: F64, *, options: BoxOptions = BoxOptions()
) -> tuple[F64, F64, float] | None:  # fmt: skip
    """Front and back depth [m] (H, W), nan outside the mask, of a thing that is a box, and its middle's x [m]; None for
    one that is none. rays (H, W, 3): those of the pixels."""
    found = find_box(mask, camera, options=options)
    if found is None or found.iou < options.least_iou:
        return None
    c, s = np.cos(found.yaw), np.sin(found.yaw)
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])  # into the box's own axes
    eye = turn @ (camera.centre - [found.x, found.y, 0])
    way = rays @ turn.T
    low, high = -found.size / 2, found.size / 2
    low[2], high[2] = 0, found.size[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - eye) / way, (high - eye) / way
    front, back = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    hit = front < back
    near = ndimage.distance_transform_edt(~hit, return_distances=False, return_indices=True)
    front, back = (np.where(mask, d[tuple(near)], np.nan) for d in (front, back))
    return front, back, found.x
