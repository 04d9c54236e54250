"""Depth in another unit than it was taken for, told from what is known of the camera's height."""

from __future__ import annotations

from dataclasses import dataclass

from pw_core.errors import ErrorCode, ReconstructError


@dataclass(frozen=True, kw_only=True)
class DepthUnitOptions:
    """When a height contradicts another."""

    most_factor: float = 2.5
    """Between the height by depth and the one that is told: units differ by 4 and more, guessed heights by 2."""


def check_height(
    by_depth_m: float, told_m: float, key: str, *, options: DepthUnitOptions = DepthUnitOptions()
) -> None:  # fmt: skip
    """Refuse a height [m] of the camera above its plane that contradicts the one that `key` tells.

    Raises:
        ReconstructError (INVALID_IMAGE): names the factor.
    """
    if told_m <= 0 or by_depth_m <= 0:
        return
    factor = by_depth_m / told_m
    if 1 / options.most_factor < factor < options.most_factor:
        return
    times = f"{factor:.3g} times" if factor > 1 else f"1/{1 / factor:.3g} of"
    raise ReconstructError(
        f"by its depth the camera is {by_depth_m:.3g} m above what the entities stand on, {times} the {told_m:.3g} m "
        f"of {key}: whole numbers of depth are millimetres, floats metres, unless reconstruct.views.depth_scale says "
        f"how many metres a unit has (1 mm divided by the factor is {1e-3 / factor:.3g}); or mend {key}",
        code=ErrorCode.INVALID_IMAGE,
    )
