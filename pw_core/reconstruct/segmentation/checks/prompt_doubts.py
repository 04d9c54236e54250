"""What is doubtful of how a mask, its prompts and the photo's borders go together, and of two entities' masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class PromptDoubtOptions:
    """When they are doubted."""

    border_px: int = 2
    """So near to the photo's border a mask touches it: outlines are smoothed."""
    border_share: float = 0.15
    """Of the mask's extent along a border: touching on more than this the photo ends within the thing."""
    least_border_px: int = 4
    """And on at least so many pixels."""
    seed_share: float = 0.03
    """Of the box's shorter side: radius of the disc that a negative point takes out of a mask by itself."""
    hole_discs: float = 2.5
    """A hole round a negative point of fewer of those discs shows nothing of another colour there."""
    least_width_px: float = 24.0
    """Of the working photo, across a mask: narrower, its shape is hardly known."""
    bright_level: int = 254
    """Of a channel: from here on it is at its end."""
    bright_share: float = 0.3
    """Of a mask, with two channels or more at their end: overexposed, it has neither shape nor outline."""
    most_box_share: float = 0.7
    """Of the photo: a larger box says hardly where the thing is."""
    looked_at_px: int = 640
    """Longer side of the picture, about, in which necks are looked for: seconds."""
    neck_ratio: float = 0.75
    """Half the width where two parts of a mask hang together, over the narrower one's largest inscribed circle: less is
    a neck."""
    part_share: float = 0.25
    """Of the mask, that each of the two is at the least: handles and stems are less."""
    level_share: float = 0.12
    """Of the mask's height, by which their lowest rows differ at the most: things that stand side by side; what stands
    on the other belongs to it."""
    doubted_share: float = 0.1
    """Of the smaller of two masks, which also is the other's: so much is told of ..."""
    refused_share: float = 0.5
    """... and so much refused: they are one thing told twice."""


def prompt_doubts(
    photo: Rgb, mask: Mask, entity: EntityConfig, *, scale: float, options: PromptDoubtOptions = PromptDoubtOptions()
) -> list[str]:  # fmt: skip
    """Sentences about a mask (H, W) of the working photo (H, W, 3); prompts are in pixels of the original, 1 / scale
    times as many."""
    if not mask.any():
        return []
    o = options
    return [*_beyond(mask, entity, o), *_holes(mask, entity, scale, o), *_small(mask, o), *_bright(photo, mask, o),
            *_loose(mask, entity, scale, o), *_twins(mask, scale, o)]  # fmt: skip


def check_apart(
    masks: Sequence[Mask], entities: Sequence[EntityConfig], *, options: PromptDoubtOptions = PromptDoubtOptions()
) -> list[str]:
    """Doubts about entities that share pixels of the photo.

    Raises:
        ReconstructError (INVALID_PROMPT): two are the same thing.
    """
    out = []
    for (a, first), (b, second) in combinations(zip(masks, entities), 2):
        share = float((a & b).sum()) / max(min(int(a.sum()), int(b.sum())), 1)
        if share < options.doubted_share:
            continue
        both = f"entities '{first.name}' and '{second.name}'"
        if share >= options.refused_share:
            raise ReconstructError(
                f"{both} are the same pixels of the photo ({share:.0%} of the smaller one's mask): give each a box, "
                "points and negative points of its own, or leave one of them out", code=ErrorCode.INVALID_PROMPT,
            )  # fmt: skip
        out.append(
            f"{both} share {share:.0%} of the smaller one's mask, and their solids reach into each other: put a point "
            "of each as a negative point on the other"
        )
    return out


def _beyond(mask: Mask, entity: EntityConfig, o: PromptDoubtOptions) -> Iterator[str]:
    """The photo's borders within the thing."""
    hangs = bool(entity.above) or entity.distance_m > 0 or entity.fixed != "no"
    cut = []
    for name, turn in (("left", 0), ("top", 1), ("right", 2), ("bottom", 3)):
        m = np.rot90(mask, turn)  # the border is now the left one
        rows, touching = m.any(axis=1).sum(), m[:, : o.border_px].any(axis=1).sum()
        if touching >= max(o.least_border_px, o.border_share * rows):
            cut.append(name)
    if cut:
        what = "what is beyond is not made, and its volume is of what is seen"
        if "bottom" in cut and not hangs:
            what = "it is taken to stand where the photo ends, further away than it does: its size and place are wrong"
        yield (
            f"the photo ends within it, at its {' and '.join(cut)} border{'s' * (len(cut) > 1)}: {what}; give a photo "
            "that shows all of it"
        )


def _holes(mask: Mask, entity: EntityConfig, scale: float, o: PromptDoubtOptions) -> Iterator[str]:
    """Negative points within the thing that found nothing but themselves."""
    height, width = mask.shape
    x0, y0, x1, y1 = (v * scale for v in entity.prompt.box)
    radius = max(2.0, o.seed_share * min(x1 - x0, y1 - y0)) + 0.5
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    for k, (x, y) in enumerate(entity.prompt.negative_points, 1):
        u, v = int(x * scale), int(y * scale)
        if not (0 <= u < width and 0 <= v < height and holes[v, u]):
            continue
        if (holes == holes[v, u]).sum() < o.hole_discs * np.pi * radius**2:
            yield (
                f"negative point {k} ({x:g}, {y:g}) has a hole of its own in the mask and nothing of another colour "
                "round it: if it is on the thing, leave it out"
            )


def _small(mask: Mask, o: PromptDoubtOptions) -> Iterator[str]:
    rows, columns = np.nonzero(mask)
    wide = min(np.ptp(rows), np.ptp(columns)) + 1
    if wide < o.least_width_px:
        yield (
            f"it is {wide} px across in the photo as it is worked with, and its shape and volume are rough: give a "
            "larger photo, or a larger reconstruct.width_px if the photo has more pixels"
        )


def _bright(photo: Rgb, mask: Mask, o: PromptDoubtOptions) -> Iterator[str]:
    share = float(((photo >= o.bright_level).sum(-1) >= 2)[mask].mean())
    if share > o.bright_share:
        yield (
            f"{share:.0%} of it is overexposed in the photo: its colours are not known there, and its outline may be "
            "wrong; take the photo with less light"
        )


def _loose(mask: Mask, entity: EntityConfig, scale: float, o: PromptDoubtOptions) -> Iterator[str]:
    """A box that is nearly all of the photo."""
    x0, y0, x1, y1 = entity.prompt.box
    share = (x1 - x0) * (y1 - y0) * scale**2 / mask.size
    if share > o.most_box_share:
        yield f"its box is {share:.0%} of the photo, and its mask what stands out there: draw the box close round it"


def _twins(mask: Mask, scale: float, o: PromptDoubtOptions) -> Iterator[str]:
    """Two things side by side in one mask: it falls in two where it is eroded."""
    step = max(1, round(max(mask.shape) / o.looked_at_px))
    mask, scale = mask[::step, ::step], scale / step
    if not mask.any():
        return
    inside = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    for radius in np.linspace(0.05, 0.95, 19) * inside.max():
        cores, count = ndimage.label(inside > radius)
        if count < 2:
            continue
        # Each pixel is of the core that is nearest to it.
        nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
        parts = np.where(mask, cores[tuple(nearest)], 0)
        sizes = ndimage.sum_labels(mask, parts, np.arange(1, count + 1)) / mask.sum()
        first, second = (int(k) + 1 for k in np.argsort(-sizes)[:2])
        lowest = [int(np.flatnonzero((parts == k).any(axis=1))[-1]) for k in (first, second)]
        high = int(np.ptp(np.flatnonzero(mask.any(axis=1)))) + 1
        wide = min(float(inside[parts == k].max()) for k in (first, second))
        if sizes[second - 1] < o.part_share or radius > o.neck_ratio * wide:
            continue
        if abs(lowest[0] - lowest[1]) <= o.level_share * high:
            v, u = np.unravel_index(int(np.argmax(np.where(parts == second, inside, 0))), mask.shape)
            at, share = f"({(u + 0.5) / scale:.0f}, {(v + 0.5) / scale:.0f})", f"{sizes[second - 1]:.0%}"
            yield (
                f"its mask is of two parts side by side with a neck between them, the smaller one ({share}) at {at}: "
                "if these are two things, draw the box round one of them, and give the other a box of its own if it is "
                "to move"
            )
            return
