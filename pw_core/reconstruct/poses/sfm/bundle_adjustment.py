"""Bundle adjustment by pycolmap, with a loss that bounds what a wrong match pulls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BundleAdjustmentOptions:
    """How errors count, and which points stay. Pixels are those of the pictures that the cameras count in."""

    robust_px: float = 0.25
    """Reprojection error where the Cauchy loss begins to flatten."""
    most_error_px: tuple[float, ...] = (2.0, 2.0)
    """Adjustments one after the other, by the reprojection error above which a point is dropped after each."""
    least_angle_deg: float = 1.5
    """Least parallax [degrees] of a point that stays."""


def bundle_adjust(
    found: Any, *, intrinsics_held: bool, options: BundleAdjustmentOptions = BundleAdjustmentOptions()
) -> None:
    """Adjust poses and points of a pycolmap reconstruction, in place, and drop the worst points.

    Highlights wander over a wet thing and matches slide along a table's grain: epipolar geometry lets both pass.
    intrinsics_held: those of the cameras stay.
    """
    import pycolmap

    solver = pycolmap.BundleAdjustmentOptions()
    solver.print_summary = False
    solver.refine_focal_length = solver.refine_extra_params = not intrinsics_held
    solver.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    solver.ceres.loss_function_scale = options.robust_px
    for most_error_px in options.most_error_px:
        pycolmap.bundle_adjustment(found, solver)
        pycolmap.ObservationManager(found).filter_all_points3D(most_error_px, options.least_angle_deg)
    found.update_point_3d_errors()
