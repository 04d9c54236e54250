"""The raster on which the table is filled."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.gaussians import Camera
from pw_core.reconstruct.background.table import TableOptions, TableRaster
from pw_core.reconstruct.surface.inflate import pixel_centres, table_depth


@pytest.mark.parametrize("pitch_deg", [5.0, 12.0, 40.0])
def test_cells_are_about_as_large_as_pixels_however_far_the_table_goes_on(pitch_deg: float) -> None:
    options = TableOptions()
    camera = Camera.above_table(height_m=0.2, pitch_deg=pitch_deg, hfov_deg=40, width=320, height=176)
    hidden = np.isfinite(table_depth(camera))  # all below the horizon
    raster = TableRaster.of(hidden, camera, options)
    depth = np.nan_to_num(table_depth(camera), posinf=1e3)
    points = camera.unproject(pixel_centres(camera.height, camera.width), depth)
    rows = np.flatnonzero(hidden.any(axis=1))
    middle = (rows[0] + rows[-1]) // 2
    footprint = points[middle, 160, 0] - points[middle + 1, 160, 0]
    assert footprint * 0.99 < raster.step[0] <= 1.01 * options.most_coarse * footprint
    assert raster.shape[0] * raster.shape[1] <= 1.01 * options.most_cells
    reach = raster.corner[0] + raster.step[0] * raster.shape[0]
    assert reach > 0.99 * points[middle, 160, 0]  # what is near is all on it
