"""The entities' masks as a stage of the work: found once, kept in the folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.files import written_aside
from pw_core.gaussians import F64
from pw_core.reconstruct.inputs import Inputs, check_mask
from pw_core.reconstruct.segmentation.labels.voting import vote
from pw_core.reconstruct.segmentation.points import in_mask, main_cluster, most_say_own
from pw_core.reconstruct.segmentation.prompt import from_prompt, prompted_masks
from pw_core.reconstruct.segmentation.propagate import propagate
from pw_core.reconstruct.splatting.draw import choose_device
from pw_core.reconstruct.types import Mask, Masks, Posed, View

FIRST = "first_masks"
"""Folder of the masks that were found before the fit corrected them."""


def prompted(
    config: SceneConfig, inputs: Inputs, settings: ViewsSettings, posed: Posed, prompt: str
) -> dict[str, Mask]:
    """Each entity (by name) in the view that the prompts belong to: as given, or from its prompt by colours or SAM 2.

    Raises:
        ReconstructError: INVALID_PROMPT, MISSING_WEIGHTS.
    """
    view = next(v for v in posed.views if v.name == prompt)
    width = next(v.image.shape[1] for v in inputs.views if v.name == prompt)
    out = {n: _resized(of[prompt], view) for n, of in inputs.masks.items() if prompt in of}
    asked = [e for e in config.entities if e.name not in out]
    if not asked:
        return out
    found = prompted_masks(view.image, asked, settings, scale=view.camera.width / width)
    return out | {e.name: m for e, m in zip(asked, found)}


def standing_points(posed: Posed, masks: Mapping[str, Mask], prompt: str) -> Mask:
    """(n,): which of the sparse points are the entities', as far as their masks in one view tell."""
    view = next(v for v in posed.views if v.name == prompt)
    seen = posed.seen[prompt]
    out = np.zeros(len(posed.points), bool)
    for mask in masks.values():
        own = seen[in_mask(mask, view, posed.points[seen])]
        if len(own):
            out[own[main_cluster(posed.points[own])]] = True
    return out


def find_masks(
    config: SceneConfig, inputs: Inputs, settings: ViewsSettings, posed: Posed, prompt: str, folder: Path
) -> Masks:
    """Each entity in every view, both by name; the plane is z = 0. What is in `folder`/first_masks is taken: the masks
    that the scale of the fit may come from, not those that the fit corrected.

    Raises:
        ReconstructError: INVALID_PROMPT, MISSING_WEIGHTS.
    """
    views = {v.name: v for v in posed.views}
    width = next(v.image.shape[1] for v in inputs.views if v.name == prompt)
    out: Masks = {}
    for e in config.entities:
        kept = _read_masks(folder / FIRST / e.name, views)
        if kept is not None:
            out[e.name] = kept
            continue
        given = {n: _resized(m, views[n]) for n, m in inputs.masks.get(e.name, {}).items() if n in views}
        if settings.masks == "sam2" and len(given) < len(views):
            from pw_core.reconstruct.segmentation.sam import follow

            given = follow(posed.views, e, settings.sam2, prompt_view=prompt, original_width=width,
                           device=choose_device(settings)) | given  # fmt: skip
        if prompt not in given:
            given[prompt] = from_prompt(views[prompt], e, original_width=width, posed=posed)
        out[e.name] = given
    if any(len(m) < len(views) for m in out.values()):
        out = propagate(posed, config.entities, out, prompt_view=prompt)
        if all(v.depth is not None for v in posed.views):
            out = vote(posed.views, out, fixed=inputs.masks)
    for name, masks in out.items():
        for n, mask in masks.items():
            if mask.any():
                check_mask(mask, views[n].image.shape[1::-1], what=f"mask found of '{name}' in {n}")
        write_masks(folder / FIRST / name, masks)
    return out


def write_masks(folder: Path, masks: Mapping[str, Mask]) -> None:
    """One picture a view, all or nothing."""
    import cv2

    with written_aside(folder) as part:
        part.mkdir(parents=True)
        for name, mask in masks.items():
            cv2.imwrite(str(part / f"{name}.png"), mask.astype(np.uint8) * 255)


def _read_masks(folder: Path, views: Mapping[str, View]) -> dict[str, Mask] | None:
    import cv2

    files = [folder / f"{n}.png" for n in views]
    if not all(f.is_file() for f in files):
        return None
    return {n: np.asarray(cv2.imread(str(f), cv2.IMREAD_GRAYSCALE)) > 127 for n, f in zip(views, files)}


def _resized(mask: Mask, view: View) -> Mask:
    """A mask of a picture as given, at a view's size."""
    import cv2

    return np.asarray(cv2.resize(mask.astype(np.uint8), (view.camera.width, view.camera.height))) > 0


def own_points(posed: Posed, masks: Mapping[str, Mask]) -> F64:
    """As `points.most_say_own`.

    Raises:
        ReconstructError (INVALID_PROMPT): fewer than four.
    """
    own = most_say_own(posed, masks)
    if len(own) < 4:
        raise ReconstructError("none of the sparse points lies on the entity; check its prompts or masks",
                               code=ErrorCode.INVALID_PROMPT)  # fmt: skip
    return own
