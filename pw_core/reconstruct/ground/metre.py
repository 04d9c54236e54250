"""The metre of a scene whose poses were found from pictures alone, by what the scene file says of its first entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from pw_core.config import EntityConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class SeenLengthOptions:
    """Where along the line of sight a silhouette's outline is."""

    outline_percentile: float = 75.0
    """Of the depths of points on the side that is seen: most of it lies nearer than its outline. Of a ball the outline
    is deeper than 9 in 10, of flat things as deep as any."""
    most_behind_diameters: float = 2.0
    """How far behind its foot a thing's middle may be: half a diameter is what stands there, more is roughness."""


def said_length(entity: EntityConfig, settings: ViewsSettings, *, assumed_size_m: float) -> float:
    """The longest side [m] of the entity, where that is what `metre_by_entity` takes the metre from; 0 where it is
    not."""
    if settings.object_size_m > 0:
        return settings.object_size_m
    return 0.0 if entity.diameter_m > 0 or entity.distance_m > 0 else assumed_size_m


def upright_sides(points: F64) -> F64:
    """(3,): length, width and height of the upright box round points (n, 3), z up, that takes the least room on the
    table, however it is turned: what is measured with a rule. Along the axes, a stick that lies askew would be 0.7 of
    its length."""
    flat = np.ascontiguousarray(points[:, :2], np.float32)
    width, length = sorted(cv2.minAreaRect(flat)[1])
    return np.array([length, width, float(np.ptp(points[:, 2]))])


def seen_length(
    points: F64, cameras: Sequence[Camera], silhouettes: Sequence[Mask], *,
    options: SeenLengthOptions = SeenLengthOptions(),
) -> float:  # fmt: skip
    """The longest side of a thing as far as it is seen: of the box round points (n, 3) on it, or of its silhouettes
    (H, W) in the cameras, at the depth that those points say. What lies behind is not in it, however it was guessed."""
    across = []
    for camera, mask in zip(cameras, silhouettes):
        y, x = np.nonzero(mask)
        if len(x) > 0:
            long_px = max(cv2.minAreaRect(np.stack([x, y], 1).astype(np.float32))[1])
            depth = float(np.percentile(camera.project(points)[1], options.outline_percentile))
            across.append(long_px * depth / float(camera.K[0, 0]))
    return max([float(upright_sides(points).max()), *across])


def depth_by_diameter(mask: Mask, entity: EntityConfig, camera: Camera) -> float:
    """How far along the optical axis [m] the widest circle within the silhouette (H, W) has the entity's diameter."""
    diameter_px = 2 * float(ndimage.distance_transform_edt(mask).max())
    return float(entity.diameter_m * camera.K[0, 0] / diameter_px)


def check_above_table(
    mask: Mask, entity: EntityConfig, camera: Camera, mid_m: float, *, options: SeenLengthOptions = SeenLengthOptions()
) -> None:  # fmt: skip
    """Raises ReconstructError (INVALID_CONFIG) where a thing whose middle is at x = mid_m [m] by its diameter would be
    under the table: well behind where the line of sight to its foot meets that."""
    lowest = int(np.flatnonzero(mask.any(axis=1))[-1])
    ray = camera.rays(np.array([camera.width / 2, lowest + 1.0]))
    if ray[2] >= 0 or ray[0] <= 0:
        return
    foot = float(-camera.centre[2] * ray[0] / ray[2])
    if mid_m > foot + options.most_behind_diameters * entity.diameter_m:
        raise ReconstructError(
            f"entity '{entity.name}': by its diameter_m {entity.diameter_m:g} it is {mid_m:.2g} m away, and there it "
            f"would be under the table, which its foot meets at {foot:.2g} m: diameter_m "
            f"{entity.diameter_m * foot / mid_m:.2g} would fit, or the camera's height or pitch is wrong",
            code=ErrorCode.INVALID_CONFIG,
        )


def metre_by_entity(
    entity: EntityConfig, settings: ViewsSettings, *, box: F64, mask: Mask, camera: Camera, assumed_size_m: float
) -> tuple[float, str]:
    """How many metres one unit of the poses is, and what says so: the size of the entity, else its diameter, else its
    distance from the camera of the view (H, W) that its prompts are of; where nothing tells, its size is assumed.

    box: (2, 3) round the entity in that unit, z up.
    """
    longest, middle = float((box[1] - box[0]).max()), box.mean(0)
    if settings.object_size_m > 0:
        return settings.object_size_m / longest, f"object size {settings.object_size_m} m"
    if entity.diameter_m > 0:
        depth = float((camera.viewmat @ np.append(middle, 1.0))[2])
        return depth_by_diameter(mask, entity, camera) / depth, f"diameter_m of '{entity.name}'"
    if entity.distance_m > 0:
        ahead, to = camera.viewmat[2, :2], (middle - camera.centre)[:2]
        return entity.distance_m / float(to @ ahead / np.linalg.norm(ahead)), f"distance_m of '{entity.name}'"
    return assumed_size_m / longest, f"unknown; the first entity is assumed to be {assumed_size_m} m long"
