"""A depth guess in metres: scale and offset from the table, and its shape as the visible side of a solid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.providers.types import DepthGuess
from pw_core.reconstruct.surface.inflate import Solid, mesh_between, pixel_centres, table_depth
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """How a guess is put on the table, and which of its pixels are an entity's."""

    least_pixels: int = 500
    """Of the table that must have a guess."""
    most_error_ratio: float = 0.05
    """Median error on the table, as a share of its distance, beyond which a guess is of no use."""
    rounds: int = 30
    """Of reweighted least squares."""
    tukey_sigmas: float = 4.685
    """Spreads from which a pixel counts for nothing: Tukey's, 95 % efficient on normal errors."""
    outline_px: int = 3
    """Pixels this near to a mask's outline may be mixed with what lies behind."""
    jump_ratio: float = 0.25
    """Of an outline pixel's depth against what is next to it, in the entity's longest extents, from which it is not its
    own."""
    least_known_share: float = 0.5
    """Of an entity's pixels that must have a depth."""
    least_thickness_m: float = 1e-4
    """Between front and back [m]."""


@dataclass(frozen=True)
class Aligned:
    """depth [m] (H, W), 0 where unknown; report: how it was fitted, and how well it fits the table."""

    depth: F64
    report: dict[str, Any]


def align(
    guess: DepthGuess, camera: Camera, table: Mask, *, options: AlignOptions = AlignOptions()
) -> Aligned:  # fmt: skip
    """The guess with the scale and offset that put its pixels in `table` (H, W) on the plane z = 0.

    Iteratively reweighted least squares with Tukey's weights on the relative error, so that things on the table that
    have no mask count for nothing.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): too little table, or a guess that no scale and offset puts on it.
    """
    true = table_depth(camera)
    use = table & (guess.values != 0) & np.isfinite(true)
    if use.sum() < options.least_pixels:
        raise ReconstructError(
            f"depth: only {int(use.sum())} pixels show the table round the entities; {options.least_pixels} are "
            "needed to find its scale", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    tried = []
    for kind in ("depth", "disparity") if guess.kind == "auto" else (guess.kind,):
        wanted = true[use] if kind == "depth" else 1 / true[use]
        value = guess.values[use].astype(np.float64)
        scale, offset = _line(value, wanted, options)
        with np.errstate(divide="ignore"):
            whole = scale * guess.values.astype(np.float64) + offset
            whole = whole if kind == "depth" else 1 / whole
        error = float(np.median(np.abs(whole[use] - true[use]) / true[use])) if scale > 0 else np.inf
        tried.append((error, kind, scale, offset, whole))
    error, kind, scale, offset, whole = min(tried, key=lambda t: t[0])
    if error > options.most_error_ratio:
        said = "it falls where the distance grows" if not np.isfinite(error) else f"it is {100 * error:.0f} % off there"
        raise ReconstructError(
            f"depth: no scale and offset puts it on the table ({said}); the model, its `kind`, or the scene's camera "
            "is wrong", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    known = (guess.values != 0) & np.isfinite(whole) & (whole > 0)
    report = {"kind": kind, "scale": scale, "offset": offset, "median_error_on_table": round(error, 5)}
    return Aligned(np.where(known, whole, 0.0), report)


def with_front(
    solid: Solid, depth: F64, camera: Camera, *, standing: bool, name: str, options: AlignOptions = AlignOptions()
) -> Solid:
    """The solid with that visible side [m] (H, W), as thick as before; a standing one ends at the table.

    Where the depth is unknown, at the outline far behind what is next to it, or behind the table, the nearest pixel's
    is taken.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): under half of its pixels have a depth, or the solid does not close.
    """
    mask = solid.mask
    reach = max(*np.ptp(np.nonzero(mask), axis=1)) * solid.mid_m / camera.K[0, 0]
    known = mask & (depth > 0)
    if known.any():
        known &= np.abs(depth - np.median(depth[known])) < reach
        inner = known & ndimage.binary_erosion(mask, iterations=options.outline_px)
        if inner.any():
            beside = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
            known &= np.abs(depth - depth[tuple(beside)]) < options.jump_ratio * reach
    if known.sum() < options.least_known_share * mask.sum():
        share = 100 * known.sum() / mask.sum()
        raise ReconstructError(f"entity '{name}': only {share:.0f} % of its pixels have a depth of its own",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    front = depth[tuple(nearest)]
    table = table_depth(camera) if standing else np.full(mask.shape, np.inf)
    back = np.minimum(front + (solid.back - solid.front), table)
    front = np.minimum(front, back - options.least_thickness_m)
    front, back = (np.where(mask, d, np.nan) for d in (front, back))
    middle = float(np.nanmedian((front + back) / 2 * camera.rays(pixel_centres(*mask.shape))[..., 0]))
    return replace(solid, front=front, back=back, mid_m=middle, mesh=mesh_between(mask, front, back, camera, name))


def _line(value: F64, wanted: F64, options: AlignOptions) -> tuple[float, float]:
    """Scale and offset of `value` (n,) that come nearest to `wanted` (n,), by relative error."""
    weight = 1 / wanted
    use = np.ones(len(value))
    line = (1.0, 0.0)
    for _ in range(options.rounds):
        w = weight * np.sqrt(use)
        design = np.stack([value * w, w], 1)
        found = np.linalg.lstsq(design, wanted * w, rcond=None)[0]
        line = (float(found[0]), float(found[1]))
        error = (line[0] * value + line[1]) * weight - 1
        spread = 1.4826 * float(np.median(np.abs(error))) + 1e-9
        use = np.clip(1 - (error / (options.tukey_sigmas * spread)) ** 2, 0, None) ** 2
    return line
