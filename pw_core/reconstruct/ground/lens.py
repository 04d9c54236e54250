"""Whether a scene file's field of view can be the photo's."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LensOptions:
    """When it is doubted."""

    most_ratio: float = 1.2
    """Of the focal length, against EXIF's: zooms, stabilised films and rounding are nearer."""
    least_hfov_deg: float = 3.2
    """What is less is a telescope's, or radians."""


def lens_doubts(
    hfov_deg: float, *, exif_focal_px: float, width_px: int, options: LensOptions = LensOptions()
) -> list[str]:  # fmt: skip
    """A contradiction between `camera.hfov_deg` and the focal length [px] that EXIF tells of a photo of that width; 0:
    it tells none."""
    if exif_focal_px > 0:
        told = math.degrees(2 * math.atan(width_px / 2 / exif_focal_px))
        ratio = width_px / 2 / math.tan(math.radians(hfov_deg) / 2) / exif_focal_px
        if max(ratio, 1 / ratio) > options.most_ratio:
            return [
                f"camera.hfov_deg is {hfov_deg:g}, and by its EXIF the photo has {told:.1f} degrees across: sizes and "
                f"distances follow from it; unless the photo was cropped, camera.hfov_deg {told:.1f} would fit"
            ]
    elif hfov_deg < options.least_hfov_deg:
        return [
            f"camera.hfov_deg {hfov_deg:g} is a telescope's, and things come out tiny or far away: it is in degrees; "
            f"{hfov_deg:g} radians are {math.degrees(hfov_deg):.0f}"
        ]
    return []
