"""The entities' masks as a stage of the work: found once, kept in the folder, cut again where the fit contradicts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64
from pw_core.reconstruct.inputs import Inputs, check_mask
from pw_core.reconstruct.segmentation.matting import at_half
from pw_core.reconstruct.segmentation.propagate import at, carry, cut_again, from_prompt, main_cluster
from pw_core.reconstruct.segmentation.voting import agree
from pw_core.reconstruct.splatting.draw import choose_device
from pw_core.reconstruct.types import Mask, Masks, Posed, View

FIRST = "first_masks"
AGREE = 0.9


def prompted(
    config: SceneConfig, inputs: Inputs, settings: ViewsSettings, posed: Posed, prompt: str
) -> dict[str, Mask]:
    """Each entity (by name) in the view that the prompts belong to: as given, or from its prompt by colours or SAM 2.

    Raises:
        ReconstructError: INVALID_PROMPT, MISSING_WEIGHTS.
    """
    import cv2

    view = next(v for v in posed.views if v.name == prompt)
    width = next(v.image.shape[1] for v in inputs.views if v.name == prompt)
    size = view.camera.width, view.camera.height
    given = {n: of[prompt] for n, of in inputs.masks.items() if prompt in of}
    out = {n: np.asarray(cv2.resize(m.astype(np.uint8), size)) > 0 for n, m in given.items()}
    asked = [e for e in config.entities if e.name not in out]
    if asked and settings.masks == "sam2":
        from pw_core.reconstruct.segmentation.sam import segment_all

        found = segment_all(view.image, asked, settings.sam2, scale=view.camera.width / width,
                            device=choose_device(settings))  # fmt: skip
        return out | {e.name: m for e, m in zip(asked, found)}
    return out | {e.name: from_prompt(view, e, original_width=width) for e in asked}


def standing_points(posed: Posed, masks: Mapping[str, Mask], prompt: str) -> NDArray[np.bool_]:
    """(n,): which of the sparse points are the entities', as far as their masks in one view tell."""
    view = next(v for v in posed.views if v.name == prompt)
    seen = posed.seen[prompt]
    out = np.zeros(len(posed.points), bool)
    for mask in masks.values():
        own = seen[at(mask, view, posed.points[seen])]
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
    import cv2

    views = {v.name: v for v in posed.views}
    width = next(v.image.shape[1] for v in inputs.views if v.name == prompt)
    out: Masks = {}
    for e in config.entities:
        kept = _read_masks(folder / FIRST / e.name, views)
        if kept is not None:
            out[e.name] = kept
            continue
        given = {
            n: np.asarray(cv2.resize(m.astype(np.uint8), (views[n].camera.width, views[n].camera.height))) > 0
            for n, m in inputs.masks.get(e.name, {}).items() if n in views
        }  # fmt: skip
        if settings.masks == "sam2" and len(given) < len(views):
            from pw_core.reconstruct.segmentation.sam import follow

            given = follow(posed.views, e, settings.sam2, prompt_view=prompt, original_width=width,
                           device=choose_device(settings)) | given  # fmt: skip
        if prompt not in given:
            given[prompt] = from_prompt(views[prompt], e, original_width=width, posed=posed)
        out[e.name] = given
    if any(len(m) < len(views) for m in out.values()):
        out = carry(posed, config.entities, out, prompt_view=prompt)
        if all(v.depth is not None for v in posed.views):
            out = agree(posed.views, out, fixed=inputs.masks)
    for name, masks in out.items():
        for n, mask in masks.items():
            if mask.any():
                check_mask(mask, views[n].image.shape[1::-1], what=f"mask found of '{name}' in {n}")
        write_masks(folder / FIRST / name, masks)
    return out


def write_masks(folder: Path, masks: Mapping[str, Mask]) -> None:
    """One picture a view, all or nothing."""
    import cv2

    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        cv2.imwrite(str(part / f"{name}.png"), mask.astype(np.uint8) * 255)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _read_masks(folder: Path, views: Mapping[str, View]) -> dict[str, Mask] | None:
    import cv2

    files = [folder / f"{n}.png" for n in views]
    if not all(f.is_file() for f in files):
        return None
    return {n: np.asarray(cv2.imread(str(f), cv2.IMREAD_GRAYSCALE)) > 127 for n, f in zip(views, files)}


def on_it(posed: Posed, masks: Mapping[str, Mask]) -> F64:
    """The sparse points (m, 3) that more masks of one entity, by view, say are its own than not."""
    yes, no = np.zeros(len(posed.points)), np.zeros(len(posed.points))
    for v in posed.views:
        seen = posed.seen[v.name]
        inside = at(masks[v.name], v, posed.points[seen])
        yes[seen[inside]] += 1
        no[seen[~inside]] += 1
    own: F64 = posed.points[yes > no]
    return own


def own_points(posed: Posed, masks: Mapping[str, Mask]) -> F64:
    """As `on_it`.

    Raises:
        ReconstructError (INVALID_PROMPT): fewer than four.
    """
    own = on_it(posed, masks)
    if len(own) < 4:
        raise ReconstructError("none of the sparse points lies on the entity; check its prompts or masks",
                               code=ErrorCode.INVALID_PROMPT)  # fmt: skip
    return own


def settle(
    views: list[View], masks: Masks, likely: Mapping[str, np.ndarray], config: SceneConfig,
    given: Mapping[str, Mapping[str, Mask]],
) -> bool:  # fmt: skip
    """Take what the fitted Gaussians say of the masks, in place, but for those that were given; cut anew where that is
    something else. Whether there were any.

    What a view's colours alone leave open, a shadow or a like-coloured edge, other views of the same Gaussians tell.
    """
    changed = False
    for i, e in enumerate(config.entities):
        for v in views:
            if v.name in given.get(e.name, {}):
                continue
            p = likely[v.name][..., 1 + i]
            mine, theirs = masks[e.name][v.name], (p > 0.5) & (likely[v.name].argmax(-1) == 1 + i)
            either = int((mine | theirs).sum())
            if not either:
                continue
            if (mine & theirs).sum() < AGREE * either:
                rivals = np.delete(likely[v.name][..., 1:], i, axis=-1).max(-1, initial=0.0)
                theirs = cut_again(v.image, p, rivals)
            others = np.any([np.zeros_like(mine), *(m[v.name] for n, m in masks.items() if n != e.name)], axis=0)
            masks[e.name][v.name] = at_half(v.image, theirs, others)
            changed = True
    return changed
