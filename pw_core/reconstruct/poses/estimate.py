"""Which way camera poses are found: given with depth, by depth, or by structure from motion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pw_core.config import ViewsSettings
from pw_core.progress import Progress, never_falling
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.poses.rgbd.estimate import RgbdOptions, pose_by_depth
from pw_core.reconstruct.poses.rgbd.given import posed_from_depth
from pw_core.reconstruct.poses.sfm.conventions import check_by_depth
from pw_core.reconstruct.poses.sfm.reconstruct import SfmOptions, pose_by_sfm
from pw_core.reconstruct.types import Posed


@dataclass(frozen=True, kw_only=True)
class PoseOptions:
    """Each way's options."""

    sfm: SfmOptions = SfmOptions()
    """Structure from motion."""
    rgbd: RgbdOptions = RgbdOptions()
    """Pictures with depth."""


def pose(
    inputs: Inputs, settings: ViewsSettings, folder: Path, progress: Progress, *, options: PoseOptions = PoseOptions()
) -> Posed:
    """Cameras of all pictures.

    Given poses are used as they are, and points are triangulated (or taken from depth). Without them, structure from
    motion finds poses up to scale, with the intrinsics as given or found too, and depth finds them in metres; pictures
    are undistorted. A model in `folder`/sfm is used again.

    Raises:
        ReconstructError: RECONSTRUCT_FAILED (too little overlap, or poses that cannot be trusted; names the pictures),
            INVALID_CAMERA (given poses are of another convention).
    """
    import pycolmap

    pycolmap.logging.minloglevel = 2
    sfm = folder / "sfm"
    sfm.mkdir(parents=True, exist_ok=True)
    if inputs.route == "posed rgbd":
        check_by_depth(inputs, options=options.sfm.mapping.conventions)
        return posed_from_depth(inputs, settings, options=options.rgbd.points)
    if inputs.route == "rgbd pictures":
        onward = never_falling(progress)
        return pose_by_depth(inputs, settings, folder, onward, options=options.rgbd, sfm_options=options.sfm)
    return pose_by_sfm(inputs, settings, sfm, progress, options=options.sfm)
