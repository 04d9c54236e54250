"""One photo's mask from several seeds: the one whose outline follows the photo's edges best, without what is doubtful.

GrabCut (Rother et al. 2004) finds a local optimum: with an ellipse in a person's loose box for a seed it may learn a
cushion's or a window's colours as the thing's. Smaller seeds are tried as well. From a mask that is doubted, what it
shares with the outside of its box or what sticks out of it is grown over superpixels of like colour (SLIC, Achanta et
al. 2012), taken for the background, and the rest is cut anew. Of all these the outlines are compared with the photo's
edges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig, ViewsSettings
from pw_core.errors import ReconstructError
from pw_core.gaussians import F32
from pw_core.reconstruct.image import quiet
from pw_core.reconstruct.segmentation.checks.doubts import DoubtOptions, find_doubts
from pw_core.reconstruct.segmentation.grabcut import GrabCutOptions, grabcut, mark_discs
from pw_core.reconstruct.segmentation.matting import TrimOptions, trimmed
from pw_core.reconstruct.segmentation.outline.openings import OpeningOptions, without_openings
from pw_core.reconstruct.segmentation.outline.touching import apart
from pw_core.reconstruct.segmentation.prompt import PromptOptions, prompted_masks, segment
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class SecondLookOptions:
    """Which masks are tried, and which is taken."""

    seed_radii: tuple[float, ...] = (0.6, 0.4, 0.3, 0.2)
    """Of the box's sides, from its middle: what is likely the thing's at first. Of equals the first counts."""
    agreeing_iou: float = 0.985
    """Of the masks of the first two seeds: so alike, and not doubted, no more are tried."""
    better_ratio: float = 1.02
    """By how much another mask's score must be better to be taken."""
    edge_percentile: float = 25.0
    """Of the photo's edges along an outline: a mask is as good as the worse parts of its outline."""
    touching_factor: float = 0.8
    """Of the score, for each side of the box that a mask touches: a box goes round a thing."""
    touching_px: float = 1.5
    """So near to a side a mask touches it."""
    least_other_share: float = 0.01
    """Of a mask: where it and another differ in less than that, but for a rim, edges do not tell which is better."""
    least_dropped_share: float = 0.25
    """Of a mask: what another has less of it matters from here on."""
    most_own_share: float = 0.5
    """Of what another mask has less: more may not look rather like what it keeps than like what is outside."""
    rounds: int = 3
    """Of taking away what is doubtful, at most: what one takes away may uncover another doubt."""
    around_ratio: float = 0.4
    """Of the box's longer side: so much round it is looked at. What is further away says little of it."""
    superpixels: int = 500
    """In there."""
    compactness: float = 8.0
    """Of superpixels: larger ones are rounder, smaller ones follow colours."""
    alike_lab: float = 11.0
    """CIELAB distance up to which a superpixel is of the same stuff."""
    line_share: float = 0.02
    """Of a mask: a smaller doubtful place is a line, and what it crosses is grown over."""
    least_overlap: float = 0.3
    """Of a superpixel in a doubtful part, from which it belongs to it."""
    seed_share: float = 0.03
    """Of the box's shorter side: radius of the disc about a point that stays the thing's."""
    most_taken_ratio: float = 1.4
    """Of the doubtful part: a cut that takes more than that many times as much has lost the thing."""
    least_edge_ratio: float = 0.4
    """Of the median edge along the rest of the outline: as strong an edge must run between the thing and what is taken
    away."""
    least_kept_share: float = 0.25
    """Of a mask: what leaves less takes the thing itself."""
    most_solidity_lost: float = 0.01
    """Of the share of its convex hull that a mask fills: what sticks out does not leave a notch when it goes."""
    prompts: PromptOptions = PromptOptions()
    """The first cut."""
    doubts: DoubtOptions = DoubtOptions()
    """What is doubted."""
    grabcut: GrabCutOptions = GrabCutOptions()
    """The cut of what is left."""
    trim: TrimOptions = TrimOptions()
    """What of the best's outline is taken away."""
    openings: OpeningOptions = OpeningOptions()
    """What is seen through it."""


def photo_masks(
    photo: Rgb, entities: Sequence[EntityConfig], settings: ViewsSettings, *, scale: float
) -> list[Mask]:  # fmt: skip
    """Each entity's pixels (H, W) in the working photo of a lift, by what the settings name; prompts in pixels of the
    original, 1 / scale times as large.

    Raises:
        ReconstructError: INVALID_PROMPT, MISSING_WEIGHTS.
    """
    photo = quiet(photo)
    if settings.masks == "sam2":
        return prompted_masks(photo, entities, settings, scale=scale)
    return apart(photo, [best_mask(photo, e, scale=scale) for e in entities])


def best_mask(
    photo: Rgb, entity: EntityConfig, *, scale: float, options: SecondLookOptions = SecondLookOptions()
) -> Mask:
    """The entity's pixels (H, W) in the working photo; prompts are in pixels of the original, 1 / scale times as large.

    Raises:
        ReconstructError (INVALID_PROMPT): a prompt outside the photo, or nothing found in it, whatever the seed.
    """
    rows, columns, near = _window(photo.shape, entity, scale, options.around_ratio)
    window = np.ascontiguousarray(photo[rows, columns])
    seeds = _Seeds(window, near, scale, options)
    tried: list[Mask] = []
    for found in seeds.found():
        tried.append(found.mask)
        if found.less is not found.mask:
            tried.append(found.less)
        elif len(tried) == 2 and found.plain and _iou(*tried) > options.agreeing_iou:
            break
    best, best_score = None, -1.0
    for mask in tried:
        look = seeds.look()
        score = look.score(mask)
        if best is not None and (look.rim_alone(best, mask) or look.drops_own(best, mask)):
            continue
        if score > options.better_ratio * best_score:
            best, best_score = mask, score
    if best is None:  # or the whole photo helps, or it says what is wrong with the prompts
        return segment(photo, entity, scale=scale, options=options.prompts)
    out = np.zeros(photo.shape[:2], bool)
    best = trimmed(window, best, options=options.trim)
    out[rows, columns] = without_openings(window, best, options=options.openings)
    return out


@dataclass(frozen=True)
class _Found:
    """A seed's mask (H, W), the same without what is doubtful (that very mask, if nothing is taken away), and whether
    nothing is doubtful of it."""

    mask: Mask
    less: Mask
    plain: bool


class _Seeds:
    """What is found from each seed."""

    def __init__(self, photo: Rgb, entity: EntityConfig, scale: float, options: SecondLookOptions) -> None:
        self.photo, self.entity, self.scale, self.options = photo, entity, scale, options
        self._look: _Look | None = None
        self._lock = Lock()

    def look(self) -> _Look:
        """Made once something is found: where nothing is there may be nothing to look at."""
        with self._lock:
            self._look = self._look or _Look(self.photo, self.entity, self.scale, self.options)
            return self._look

    def found(self) -> Iterator[_Found]:
        """Seed after seed, but for those that find nothing, two at a time: they take seconds, on one core each."""
        radii = self.options.seed_radii
        with ThreadPoolExecutor(2) as pool:
            for k in range(0, len(radii), 2):
                yield from (each for each in pool.map(self._from, radii[k : k + 2]) if each is not None)

    def _from(self, radius: float) -> _Found | None:
        prompts = replace(self.options.prompts, likely_radius=radius)
        try:
            mask = segment(self.photo, self.entity, scale=self.scale, options=prompts)
        except ReconstructError:
            return None
        less, plain = self.look().without_doubtful(mask)
        return _Found(mask, less, plain)


def _window(
    shape: tuple[int, ...], entity: EntityConfig, scale: float, around_ratio: float
) -> tuple[slice, slice, EntityConfig]:
    """Rows and columns of the photo round a box, and the entity with its prompts as they are in there."""
    height, width = shape[:2]
    x0, y0, x1, y1 = (v * scale for v in entity.prompt.box)
    around = around_ratio * max(x1 - x0, y1 - y0)
    left, right = (int(np.clip(v, 0, width)) for v in (x0 - around, x1 + around))
    top, bottom = (int(np.clip(v, 0, height)) for v in (y0 - around, y1 + around))
    inside = [p for p in entity.prompt.negative_points
              if left <= p[0] * scale < right and top <= p[1] * scale < bottom]  # fmt: skip
    dx, dy = left / scale, top / scale
    a, b, c, d = entity.prompt.box
    prompt = entity.prompt.model_copy(update={
        "box": (a - dx, b - dy, c - dx, d - dy),
        "points": tuple((x - dx, y - dy) for x, y in entity.prompt.points),
        "negative_points": tuple((x - dx, y - dy) for x, y in inside),
    })  # fmt: skip
    return slice(top, bottom), slice(left, right), entity.model_copy(update={"prompt": prompt})


class _Look:
    """Superpixels round a box, and edges of the photo."""

    def __init__(self, photo: Rgb, entity: EntityConfig, scale: float, options: SecondLookOptions) -> None:
        import cv2
        from skimage.segmentation import slic

        self.photo, self.entity, self.scale, self.options = photo, entity, scale, options
        height, width = photo.shape[:2]
        box = self.box = np.array(entity.prompt.box) * scale
        self.inside = np.zeros((height, width), bool)
        a, b, c, d = (round(float(v)) for v in box)
        self.inside[max(b - 1, 0) : d + 1, max(a - 1, 0) : c + 1] = True
        lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        self.pieces = slic(lab, options.superpixels, options.compactness, channel_axis=-1, convert2lab=False,
                           start_label=0, enforce_connectivity=True).astype(np.int32)  # fmt: skip
        count = int(self.pieces.max()) + 1
        self.colors: F32 = np.stack(
            [ndimage.mean(lab[..., k], self.pieces, np.arange(count)) for k in range(3)], axis=1
        ).astype(np.float32)
        self.beside = _neighbours(self.pieces)
        soft = cv2.GaussianBlur(lab, (0, 0), 1.0)
        self.edges = np.sqrt(sum((ndimage.sobel(soft[..., k], axis=i) / 8) ** 2 for k in range(3) for i in range(2)))
        self.seeds = np.zeros((height, width), np.uint8)
        radius = max(2, round(options.seed_share * min(box[2] - box[0], box[3] - box[1])))
        mark_discs(self.seeds, np.reshape(entity.prompt.points, (-1, 2)) * scale, radius=radius, label=1)
        mark_discs(self.seeds, np.reshape(entity.prompt.negative_points, (-1, 2)) * scale, radius=radius, label=2)

    def score(self, mask: Mask) -> float:
        """How well an outline follows edges: CIELAB a pixel, less where it touches its box."""
        outline = mask & ~ndimage.binary_erosion(mask, border_value=1)
        if not outline.any():
            return 0.0
        edge = float(np.percentile(ndimage.maximum_filter(self.edges, 3)[outline], self.options.edge_percentile))
        y, x = np.nonzero(mask)
        height, width = mask.shape
        left, top, right, bottom = self.box
        gaps = ((x.min() - left, left), (y.min() - top, top), (right - 1 - x.max(), width - right),
                (bottom - 1 - y.max(), height - bottom))  # fmt: skip
        touching = sum(gap < self.options.touching_px < beyond for gap, beyond in gaps)
        return edge * self.options.touching_factor**touching

    def rim_alone(self, old: Mask, new: Mask) -> bool:
        """Whether two masks differ by hardly more than a rim of mixed pixels."""
        other = ndimage.binary_opening(old ^ new)
        return bool(other.sum() < self.options.least_other_share * old.sum())

    def drops_own(self, old: Mask, new: Mask) -> bool:
        """Whether what a new mask has less looks rather like what it keeps than like what is outside of the box."""
        dropped = ndimage.binary_opening(old & ~new, iterations=2)
        if dropped.sum() < self.options.least_dropped_share * old.sum():
            return False
        count = len(self.colors)
        size = np.maximum(np.bincount(self.pieces.ravel(), minlength=count), 1)
        outside, kept, less = (np.bincount(self.pieces[m], minlength=count) for m in (~self.inside, new, dropped))
        ways = [self.colors[of > 0.5 * size] for of in (outside, kept)]
        if min(map(len, ways)) == 0:
            return False
        which = np.flatnonzero(less)
        away = [np.linalg.norm(self.colors[which, None] - way[None], axis=-1).min(axis=1) for way in ways]
        return bool(less[which][away[1] < away[0]].sum() > self.options.most_own_share * less.sum())

    def without_doubtful(self, mask: Mask) -> tuple[Mask, bool]:
        """A mask without parts that are doubtful of it (see `find_doubts`) and set off by an edge; and whether nothing
        is doubtful of what stays, as far as that is known."""
        gone, plain = np.zeros_like(mask), False
        for _ in range(self.options.rounds):
            doubts = find_doubts(self.photo, mask, self.entity, scale=self.scale, options=self.options.doubts)
            plain = not doubts
            for where in (d.where for d in doubts if d.where is not None):
                part = self.grown(where, mask)
                cut = self.cut(mask, gone | part) if part.any() else mask
                if self.better(mask, cut, part):
                    mask, gone = cut, gone | part
                    break
            else:
                break
        return mask, plain

    def grown(self, where: Mask, mask: Mask) -> Mask:
        """A doubtful part (H, W) over superpixels of the mask that have its colours, but for those with points."""
        count = len(self.colors)
        size = np.bincount(self.pieces.ravel(), minlength=count)
        mine = np.bincount(self.pieces[mask], minlength=count) > 0
        mine[self.pieces[self.seeds == 1]] = False
        hits = np.bincount(self.pieces[where], minlength=count)
        whole = where.sum() > self.options.line_share * mask.sum()
        found = mine & (hits > self.options.least_overlap * size if whole else hits > 0)
        first = self.colors[found]
        edge = [] if whole else np.flatnonzero(found).tolist()
        while edge:  # from a line on
            k = edge.pop()
            for n in self.beside[k]:
                alike = np.linalg.norm(first - self.colors[n], axis=1).min() < self.options.alike_lab
                if mine[n] and not found[n] and alike:
                    found[n] = True
                    edge.append(n)
        return np.asarray(found[self.pieces])

    def cut(self, mask: Mask, gone: Mask) -> Mask:
        """The mask without `gone`, by colours learned without it."""
        import cv2

        labels = np.full(mask.shape, cv2.GC_BGD, np.uint8)
        labels[self.inside] = cv2.GC_PR_BGD
        labels[mask & ~gone] = cv2.GC_PR_FGD
        labels[gone] = cv2.GC_BGD
        labels[self.seeds == 1] = cv2.GC_FGD
        labels[self.seeds == 2] = cv2.GC_BGD
        if not (labels == cv2.GC_PR_FGD).any():
            return np.zeros_like(mask)
        found = grabcut(self.photo, labels, options=self.options.grabcut)
        parts, _ = ndimage.label(found)
        held = set(np.unique(parts[self.seeds == 1])) - {0}
        if not held and found.any():
            held = {int(np.argmax(np.bincount(parts.ravel())[1:])) + 1}
        return np.asarray(np.isin(parts, list(held)))

    def better(self, old: Mask, new: Mask, part: Mask) -> bool:
        """Whether what is taken away is set off by an edge from what stays."""
        taken = ndimage.binary_opening(old & ~new, iterations=2)
        if taken.sum() > self.options.most_taken_ratio * (part & old).sum():
            return False
        if not taken.any() or new.sum() < self.options.least_kept_share * old.sum():
            return False
        outline = new & ~ndimage.binary_erosion(new)
        strength = ndimage.maximum_filter(self.edges, 3)[outline]
        border = ndimage.binary_dilation(taken, iterations=4)[outline]
        if border.sum() < 3 or (~border).sum() < 3:
            return False
        if _solidity(new) < _solidity(old) - self.options.most_solidity_lost:
            return False
        a, b = np.median(strength[border]), np.median(strength[~border])
        return bool(a > self.options.least_edge_ratio * b)


def _iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def _solidity(mask: Mask) -> float:
    """Area over that of its convex hull."""
    import cv2

    hull = cv2.convexHull(np.argwhere(mask).astype(np.float32))
    return float(mask.sum() / max(cv2.contourArea(hull), 1.0))


def _neighbours(pieces: NDArray[np.int32]) -> list[list[int]]:
    """Which superpixels share a side, by their number."""
    pairs = np.concatenate([
        np.stack([pieces[:, :-1].ravel(), pieces[:, 1:].ravel()], 1),
        np.stack([pieces[:-1].ravel(), pieces[1:].ravel()], 1),
    ])  # fmt: skip
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    out: list[list[int]] = [[] for _ in range(int(pieces.max()) + 1)]
    for a, b in pairs:
        out[a].append(int(b))
        out[b].append(int(a))
    return out
