"""Poses, in metres, of several RGB-D pictures that came without: from matches and depth.

Matched features are lifted by depth, pairs of pictures are laid on each other by them, the pairs are chained, and all
poses are adjusted so that matches meet and depth pictures lie on each other. Where intrinsics are not known, structure
from motion finds them, and poses up to scale, whose metre is that of the depth. Pictures without depth among the others
are placed by matches alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.files import written_aside
from pw_core.gaussians import F64
from pw_core.progress import Progress
from pw_core.reconstruct.inputs import Inputs, ViewInput
from pw_core.reconstruct.poses.rgbd.given import DepthPointsOptions, posed_from_depth
from pw_core.reconstruct.poses.rgbd.intrinsics import IntrinsicsOptions, map_with_intrinsics
from pw_core.reconstruct.poses.rgbd.pairwise import read_matches, read_verified
from pw_core.reconstruct.poses.rgbd.pose_graph import Found, PoseGraphOptions, gather, place
from pw_core.reconstruct.poses.sfm.mapping import enlargement, intrinsics_given, match_pictures
from pw_core.reconstruct.poses.sfm.reconstruct import SfmOptions, by_reason
from pw_core.reconstruct.types import Posed

ASKED_FOR = (
    "neighbouring pictures must share half of what they show; where things are plain and round, something patterned or "
    "angular beside them helps. Depth must be registered to its picture and in the same unit in all of them (uint16: "
    "millimetres, float: metres), and intrinsics be those of the pictures"
)
NOTE = "by_depth.json"


@dataclass(frozen=True, kw_only=True)
class RgbdOptions:
    """Poses by depth, stage by stage."""

    levels: int = 2
    """Of features, usual ones and many faint ones, that are tried until all pictures are placed."""
    least_registered_share: float = 0.5
    """Of the pictures (and two at least): fewer are refused."""
    intrinsics: IntrinsicsOptions = IntrinsicsOptions()
    """Where they are not given."""
    graph: PoseGraphOptions = PoseGraphOptions()
    """How pictures are placed."""
    points: DepthPointsOptions = DepthPointsOptions()
    """What depth at known poses gives."""


def pose_by_depth(
    inputs: Inputs, settings: ViewsSettings, folder: Path, progress: Progress, *,
    options: RgbdOptions = RgbdOptions(), sfm_options: SfmOptions = SfmOptions(),
) -> Posed:  # fmt: skip
    """Cameras of all pictures in metres; what was found is kept in `folder`/sfm and used again.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): fewer than half of the pictures can be placed, or trusted, or intrinsics
            are neither given nor found; names the pictures and says why.
    """
    sfm = folder / "sfm"
    sfm.mkdir(parents=True, exist_ok=True)
    start: dict[str, F64] = {}
    notes: dict[str, Any] = {}
    whole = inputs.views
    undistort = None
    mapping = sfm_options.mapping
    if not intrinsics_given(inputs):
        mapped = map_with_intrinsics(
            inputs, settings, sfm, progress, options=options.intrinsics, sfm_options=sfm_options
        )
        whole, start, notes, undistort = mapped.views, mapped.poses, mapped.report, mapped.undistorted
    else:
        notes["intrinsics"] = "given"
    best = _kept(sfm / NOTE, [v.name for v in whole])
    if best is None:
        best = Found()
        names = [v.name for v in whole]
        for level in range(options.levels):
            progress("features", 0.02 + 0.03 * level)
            larger = enlargement(inputs, level, options=mapping)
            database = match_pictures(_flat(inputs), settings, sfm, progress, level=level, options=mapping)
            pixels, matches = read_matches(database, names, larger=larger)
            progress("poses by depth", 0.1)
            if undistort is not None:
                pixels = [undistort(n, p) for n, p in zip(names, pixels)]
            gathered = gather(whole, pixels, matches, options=options.graph)
            gathered = replace(gathered, verified=read_verified(database, names))
            known = {k: start[n] for k, n in enumerate(names) if n in start}
            found = place(gathered, known, progress=progress if level else None, options=options.graph)
            if len(found.poses) > len(best.poses) or not best.why:
                best = found
            if len(best.poses) == len(whole):
                break
        if len(best.poses) < max(2, len(inputs.views) * options.least_registered_share):
            left = {v.name: best.why[v.name] for v in inputs.views if v.name in best.why}
            raise ReconstructError(
                f"only {len(best.poses)} of {len(inputs.views)} RGB-D pictures could be placed; left over: "
                f"{by_reason(left)}. {ASKED_FOR}", code=ErrorCode.RECONSTRUCT_FAILED,
            )  # fmt: skip
        _keep(sfm / NOTE, whole, best)
    return _posed(inputs, whole, best, settings, notes, options.points)


def _flat(inputs: Inputs) -> Inputs:
    """The same without depth and poses."""
    return replace(inputs, views=tuple(replace(v, depth=None, viewmat=None) for v in inputs.views))


def _posed(
    inputs: Inputs, whole: Sequence[ViewInput], found: Found, settings: ViewsSettings, notes: dict[str, Any],
    options: DepthPointsOptions,
) -> Posed:  # fmt: skip
    at = {k: np.asarray(np.linalg.inv(p)) for k, p in found.poses.items()}
    placed = tuple(replace(v, viewmat=at[k]) for k, v in enumerate(whole) if k in at)
    posed = posed_from_depth(replace(inputs, views=placed), settings, options=options)
    names = [v.name for v in posed.views]
    report = {
        "not_registered": [v.name for v in inputs.views if v.name not in names], "why_not": found.why,
        "poses": "found: matches and depth",
        "turn_known_to_deg": {n: round(d, 3) for n, d in sorted(found.turn_deg.items())},
    }  # fmt: skip
    return replace(posed, report=posed.report | report | found.report | notes)


def _keep(file: Path, views: Sequence[ViewInput], found: Found) -> None:
    poses = {views[k].name: p.tolist() for k, p in found.poses.items()}
    kept = {"poses": poses, "why": found.why, "turn_deg": found.turn_deg, "report": found.report}
    with written_aside(file) as part:
        part.write_text(json.dumps(kept))


def _kept(file: Path, names: list[str]) -> Found | None:
    if not file.is_file():
        return None
    had = json.loads(file.read_text())
    poses = {names.index(n): np.array(p) for n, p in had["poses"].items() if n in names}
    return Found(poses, had["why"], had["turn_deg"], had["report"])
