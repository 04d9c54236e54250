"""Camera poses and sparse points: structure from motion with pycolmap, or triangulation from given poses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.files import written_aside
from pw_core.progress import Progress, never_falling
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.poses.sfm.bundle_adjustment import BundleAdjustmentOptions, bundle_adjust
from pw_core.reconstruct.poses.sfm.collect import collect
from pw_core.reconstruct.poses.sfm.consistency import ConsistencyOptions, assess, deregister, map_halves
from pw_core.reconstruct.poses.sfm.ground_registration import GroundRegistrationOptions, register_to_ground
from pw_core.reconstruct.poses.sfm.mapping import (
    MappingOptions,
    database_of,
    incremental_map,
    intrinsics_given,
    map_pictures,
    verify_matches,
)
from pw_core.reconstruct.poses.sfm.patch_tracks import PatchTrackOptions, extend_tracks
from pw_core.reconstruct.types import Posed

ASKED_FOR = (
    "neighbouring views must share half of what they show and differ by 5 to 25 degrees; where things are plain, more "
    "pictures, sharper ones or something patterned beside them help, and so do given intrinsics or poses"
)
NOTES = "notes.json"


@dataclass(frozen=True, kw_only=True)
class SfmOptions:
    """Structure from motion, stage by stage."""

    mapping: MappingOptions = MappingOptions()
    """Features, matches and the first map."""
    bundle: BundleAdjustmentOptions = BundleAdjustmentOptions()
    """The adjustment of a map."""
    patch_tracks: PatchTrackOptions = PatchTrackOptions()
    """How tracks are extended where images see few points."""
    ground: GroundRegistrationOptions = GroundRegistrationOptions()
    """How images are registered to the ground."""
    extended_bundle: BundleAdjustmentOptions = BundleAdjustmentOptions(most_error_px=(4.0, 1.5, 1.0))
    """The adjustment of extended tracks and of places on the ground: first of all, then of the best."""
    consistency: ConsistencyOptions = ConsistencyOptions()
    """When poses are trusted."""
    least_points: int = 60
    """In a map: fewer are no map."""
    few_points: int = 60
    """An image that sees fewer points is placed poorly: fainter features are tried."""
    least_checked: int = 4
    """Fewer pictures are too few for two maps to be compared."""
    least_registered_share: float = 0.5
    """Of the pictures (and two at least): fewer are refused."""


def pose_by_sfm(
    inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress, *, options: SfmOptions = SfmOptions()
) -> Posed:
    """Cameras of all pictures: given poses are used as they are, others are found up to scale.

    Raises:
        ReconstructError: RECONSTRUCT_FAILED (too little overlap, or poses that cannot be trusted; names the pictures),
            INVALID_CAMERA (given poses are of another convention).
    """
    found, notes = reconstruct_sparse(inputs, settings, sfm, progress, options=options)
    registered = {i.name for i in found.images.values() if i.has_pose}
    left = [v.name for v in inputs.views if v.name not in registered]
    if len(registered) < _least_registered(inputs, options):
        raise ReconstructError(
            f"too little overlap: only {len(registered)} of {len(inputs.views)} pictures could be placed; left over: "
            f"{_with_reasons(left, notes)}. {ASKED_FOR}", code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    return collect(inputs, settings, found, notes)


def reconstruct_sparse(
    inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress, *, options: SfmOptions = SfmOptions()
) -> tuple[Any, dict[str, Any]]:
    """The pycolmap reconstruction of the pictures, and notes for the report; kept in `sfm`/model and used again.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): there is none, or it cannot be trusted.
    """
    import pycolmap

    model = sfm / "model"
    if not (model / "images.bin").is_file():
        found, notes = _find(inputs, settings, sfm, never_falling(progress), options)
        with written_aside(model) as part:
            part.mkdir()
            found.write(part)
            (part / NOTES).write_text(json.dumps(notes, indent=1))
    found = pycolmap.Reconstruction(model)
    return found, json.loads((model / NOTES).read_text()) if (model / NOTES).is_file() else {}


def _find(
    inputs: Inputs, settings: ViewsSettings, sfm: Path, progress: Progress, options: SfmOptions
) -> tuple[Any, dict[str, Any]]:
    """The map of the pictures, and notes for the report.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): there is none, or it cannot be trusted.
    """
    progress("features", 0.02)

    def mapped(level: int) -> Any:
        return map_pictures(inputs, settings, sfm, progress, level=level, options=options.mapping)

    found, level = mapped(0), 0
    for more in (1, 2):
        if found is not None and _weakest(found) >= (len(inputs.views), options.few_points):
            break
        # Affine shape, larger pictures and lower thresholds find matches over wider turns and on smooth things, at
        # several times the cost.
        progress("features that bear wider turns" if more == 1 else "still more features", 0.06)
        again = mapped(more)
        if again is not None and (found is None or _weakest(again) > _weakest(found)):
            found, level = again, more
    if found is None or found.num_points3D() < options.least_points:
        names = ", ".join(v.name for v in inputs.views)
        raise ReconstructError(f"too little overlap between {names}: no common points were found; {ASKED_FOR}",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    if inputs.route != "photos":
        return found, {}
    held = intrinsics_given(inputs)
    bundle_adjust(found, intrinsics_held=held, options=options.bundle)
    enough = _weakest(found)[1] >= options.consistency.enough_points
    if len(inputs.views) < options.least_checked or enough:
        return found, {}
    return _borne_out(inputs, found, sfm, progress, level, options)


def _borne_out(
    inputs: Inputs, found: Any, sfm: Path, progress: Progress, level: int, options: SfmOptions
) -> tuple[Any, dict[str, Any]]:
    """A map whose images see few points, made better by extended tracks and the ground, without images that neither the
    ground nor separate halves of the matches bear out; and notes for the report."""
    pictures = {v.name: v.image for v in inputs.views}
    held, trust = intrinsics_given(inputs), options.consistency

    def adjust(extended: Any) -> None:
        bundle_adjust(extended, intrinsics_held=held, options=options.extended_bundle)

    def extended(part: Any) -> Any:
        return extend_tracks(part, pictures, adjust=adjust, options=options.patch_tracks)

    progress("track extension", 0.12)
    found = extended(found)
    progress("ground registration", 0.13)
    found, places = register_to_ground(found, pictures, adjust=adjust, options=options.ground)
    notes: dict[str, Any] = {"borne_out_by_the_plane": places}
    if all(places.get(i.name, 0) >= trust.enough_places for i in found.images.values() if i.has_pose):
        return found, notes
    progress("poses by two halves of the matches", 0.13)
    halves = map_halves(
        database_of(sfm, level),
        lambda half: incremental_map(inputs, half, sfm, level=level, options=options.mapping),
        verify=lambda half: verify_matches(half, options=options.mapping), options=trust,
    )  # fmt: skip
    for half in halves:
        if half is not None:
            bundle_adjust(half, intrinsics_held=held, options=options.bundle)
    verdict = assess(found, halves, ground_places=places, options=trust)
    if verdict.reasons and None not in halves:
        # Half of the matches places worse than all with extended tracks; what the poses are like, extended halves say.
        progress("track extension of both halves", 0.13)
        halves = extended(halves[0]), extended(halves[1])
        verdict = assess(found, halves, ground_places=places, options=trust)
    if len(verdict.trusted) < _least_registered(inputs, options):
        raise ReconstructError(
            f"the poses that were found cannot be trusted: {by_reason(verdict.reasons)}. {ASKED_FOR}",
            code=ErrorCode.RECONSTRUCT_FAILED,
        )  # fmt: skip
    deregister(found, set(verdict.reasons))
    known = {n: round(d, 3) for n, d in sorted(verdict.uncertainty_deg.items())}
    return found, notes | {"why_not": verdict.reasons, "turn_known_to_deg": known}


def by_reason(reasons: dict[str, str]) -> str:
    """Reasons, each with the pictures that it holds of."""
    by: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by.items())


def _with_reasons(left: list[str], notes: dict[str, Any]) -> str:
    why = notes.get("why_not", {})
    return ", ".join(f"{n} ({why[n]})" if n in why else n for n in left)


def _least_registered(inputs: Inputs, options: SfmOptions) -> float:
    return max(2, len(inputs.views) * options.least_registered_share)


def _weakest(found: Any) -> tuple[int, int]:
    """How many pictures were registered, and how many points the one sees that sees fewest."""
    placed = [i.num_points3D for i in found.images.values() if i.has_pose]
    return len(placed), min(placed, default=0)
