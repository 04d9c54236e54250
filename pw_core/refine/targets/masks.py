"""Entities followed through a real film, without weights: the masks of targets that bring none.

Each frame is labelled from the frames before it, not from the prediction, which may be tens of pixels off: what each
pixel would look like if the background were seen (shadows allowed), which colours each entity had, and where optical
flow took its last mask; then neighbours of like colour are made to agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F32
from pw_core.progress import Progress
from pw_core.refine.targets.backdrop import Backdrop, BackdropOptions, noise_level
from pw_core.refine.targets.checks import check_shape
from pw_core.refine.targets.types import UNCERTAIN, Frames, Masks

LEVELS = -3 * math.log(256)
"""Log of a density that knows nothing: any of 256 cubed colours."""


@dataclass(frozen=True, kw_only=True)
class ColorModelOptions:
    """A histogram of an entity's colours."""

    bins: int = 32
    """A channel."""
    blur_bins: float = 0.8
    """Standard deviation by which it is smoothed."""
    rate: float = 0.1
    """Share of a new frame's colours in it: light changes slowly."""
    fewest_pixels: int = 20
    """A frame that shows less of the entity is not learnt from."""
    any_color_share: float = 0.1
    """So many of the pixels may have any colour."""


@dataclass(frozen=True, kw_only=True)
class MaskTrackingOptions:
    """How entities are followed through a film. Lengths are in pixels, priors and shares from 0 to 1."""

    least_probability: float = 0.9
    """A pixel whose likeliest label has less is not certain."""
    strange_prior: float = 0.02
    """Of something that is neither background nor a known entity: a hand, a bird."""
    background_prior: float = 0.02
    """Of the background, at the least."""
    entity_prior_range: tuple[float, float] = (0.01, 0.98)
    """Of an entity, at the least and at the most, wherever its last mask was propagated to."""
    most_evidence: float = 25.0
    """No label is less likely than the likeliest by more than this (a logarithm)."""
    agreement: float = 2.5
    """How strongly neighbours of one colour are made to agree (a logarithm)."""
    agreement_rounds: int = 6
    """Of the mean field."""
    agreement_noise_ratio: float = 3.0
    """Neighbours are of one colour if they differ by less than so many times the noise."""

    picture_blur_px: float = 0.7
    """Standard deviation by which frames are smoothed before they are compared."""
    smoothed_noise_ratio: float = 0.5
    """What that leaves of the noise, with some room: a third."""
    least_noise: float = 1.0
    """Of a frame, in levels of 255."""
    start_blur_px: float = 1.5
    """The start masks are ours, and a pixel or two off."""
    start_free_px: int = 4
    """Background is learnt first so far from them ..."""
    start_core_px: int = 2
    """... and entities' colours so far inside."""
    spread_px: float = 2.0
    """Where an entity may be: its propagated mask, blurred by this."""
    reach_px: int = 12
    """What is likely further from a mask than this is forgotten."""
    learn_free_px: int = 5
    """Background is learnt so far from all masks."""
    learn_core_px: int = 3
    """Entities' colours are learnt so far inside theirs."""
    hint_probability: float = 0.05
    """How much the prediction's masks hint that an entity may turn up there again ..."""
    hint_blur_px: float = 15.0
    """... blurred by this."""
    flow_blur_px: float = 1.0
    """Standard deviation by which frames are smoothed before flow is looked for."""
    propagated_probability: float = 0.3
    """Where an entity's propagated probability is above this, it is held to be ..."""
    piece_reach_px: int = 20
    """... and pieces of it further from there are not certain."""
    smallest_piece_px: int = 9
    """Smaller pieces, and holes, are noise."""
    smallest_piece_share: float = 0.03
    """So are pieces smaller than this share of the largest."""
    colors: ColorModelOptions = ColorModelOptions()
    """How entities' colours are learnt."""
    backdrop: BackdropOptions = field(default_factory=BackdropOptions)
    """How the background is."""


class ColorModel:
    """Which colours an entity has: a smoothed histogram that follows the light slowly."""

    def __init__(self, options: ColorModelOptions) -> None:
        self.options = options
        self.counts = np.zeros((options.bins,) * 3, np.float32)

    def learn(self, pixels: F32) -> None:
        """From colours (N, 3), 0 to 255."""
        from scipy import ndimage

        o = self.options
        if len(pixels) < o.fewest_pixels:
            return
        at = np.clip((pixels * o.bins / 256).astype(np.int64), 0, o.bins - 1)
        index = np.ravel_multi_index(tuple(at.T), self.counts.shape)
        fresh = np.bincount(index, minlength=o.bins**3).astype(np.float32)
        fresh = ndimage.gaussian_filter(fresh.reshape(self.counts.shape), o.blur_bins, mode="nearest")
        share = o.rate if self.counts.any() else 1.0
        self.counts = (1 - share) * self.counts + share * fresh / fresh.sum()

    def log_density(self, frame: F32) -> F32:
        """(H, W), per level cubed."""
        bins, other = self.options.bins, self.options.any_color_share
        at = np.clip((frame * bins / 256).astype(np.int64), 0, bins - 1)
        density = self.counts[at[..., 0], at[..., 1], at[..., 2]] * (bins / 256) ** 3
        return np.log((1 - other) * density + other * math.exp(LEVELS)).astype(np.float32)


def track_masks(
    frames: Frames,
    *,
    start_masks: Masks,
    predicted_masks: Masks | None = None,
    background: Frames | None = None,
    valid: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
    options: MaskTrackingOptions = MaskTrackingOptions(),
) -> Masks:
    """Masks (T, H, W) of a film from a camera that stands still: entity id + 1, 0 background, -1 not certain.

    Args:
        frames: (T, H, W, 3).
        start_masks: (H, W), the first frame's; -1 where not certain.
        predicted_masks: (T, H, W) of the prediction; a faint hint where an entity may turn up again.
        background: (H, W, 3), the scene drawn without its entities; tells what stands behind them at first.
        valid: (T, H, W): False where nothing was observed; those pixels are not certain.

    Raises:
        RefineError: INVALID_TARGET for sizes that do not fit, or start masks that hold no entity.
    """
    o = options
    t, h, w = _checked(frames, start_masks, predicted_masks, background, valid)
    labels = sorted(int(v) for v in np.unique(start_masks) if v > 0)
    seen = np.ones((t, h, w), np.bool_) if valid is None else valid
    pictures = [_calm(f, o.picture_blur_px) for f in frames]
    noise = max(noise_level(frames[0].astype(np.float32)), o.least_noise)
    start = np.where(seen[0], start_masks, UNCERTAIN)
    free = (start == 0) & ~_grown(start > 0, o.start_free_px)
    scene = Backdrop(
        pictures[0], free, None if background is None else _calm(background, o.picture_blur_px),
        noise=o.smoothed_noise_ratio * noise, options=o.backdrop,
    )  # fmt: skip
    colours = [ColorModel(o.colors) for _ in labels]
    for k, label in enumerate(labels):
        inside = start == label
        core = _shrunk(inside, o.start_core_px)
        colours[k].learn(pictures[0][core if core.sum() >= o.colors.fewest_pixels else inside])
    ambient = ColorModel(o.colors)
    ambient.learn(pictures[0][free])
    hints = None if predicted_masks is None else [_hint(m, labels, o) for m in predicted_masks]

    out = np.empty((t, h, w), np.int32)
    likely = _spread(np.stack([start == v for v in labels]).astype(np.float32), o.start_blur_px)
    for i in range(t):
        if progress is not None:
            progress("following masks", i / t)
        if i > 0:
            likely = _propagated(likely, frames[i - 1], frames[i], blur_px=o.flow_blur_px)
        where = np.clip(_spread(likely, o.spread_px), 0, 1)
        if hints is not None:
            where = np.maximum(where, hints[i])
        chance = _label(pictures[i], where, scene, colours, ambient, noise=noise, options=o)
        mask = _decided(chance, likely, labels, o)
        mask[~seen[i]] = UNCERTAIN
        out[i] = mask
        # What was not seen stays where it was propagated to.
        likely = np.where(seen[i], chance[1:-1], likely)
        likely = likely * np.stack([_grown(mask == v, o.reach_px) | ~seen[i] for v in labels])
        scene.learn(pictures[i], (mask == 0) & seen[i] & ~_grown(mask != 0, o.learn_free_px))
        for k, label in enumerate(labels):
            colours[k].learn(pictures[i][_shrunk(mask == label, o.learn_core_px)])
    return out


def _label(
    frame: F32, where: F32, scene: Backdrop, colours: list[ColorModel], ambient: ColorModel, *, noise: float,
    options: MaskTrackingOptions,
) -> F32:  # fmt: skip
    """Probabilities (1 + K + 1, H, W) of background, entities, and something strange."""
    k = len(colours)
    somewhere = np.clip(where.sum(0), 0, 1)
    prior = np.empty((k + 2, *frame.shape[:2]), np.float32)
    prior[0] = np.clip(1 - somewhere, options.background_prior, 1)
    prior[1:-1] = np.clip(where, *options.entity_prior_range)
    prior[-1] = options.strange_prior
    evidence = np.log(prior / prior.sum(0))
    back = scene.log_density(frame, 1 - somewhere)
    evidence[0] += np.where(np.isnan(back), ambient.log_density(frame), back)
    for i, c in enumerate(colours):
        evidence[i + 1] += c.log_density(frame)
    evidence[-1] += LEVELS
    return _agreed(evidence, frame, noise=noise, options=options)


def _agreed(evidence: F32, frame: F32, *, noise: float, options: MaskTrackingOptions) -> F32:
    """Mean field of a Potts model whose neighbours agree the more the more alike their colours are."""
    links = []
    for axis in (0, 1):
        step = (np.diff(frame, axis=axis) ** 2).sum(-1)
        alike = np.exp(-step / (2 * (options.agreement_noise_ratio * noise) ** 2 + step.mean()))
        links.append((options.agreement * alike).astype(np.float32))
    evidence = np.clip(evidence - evidence.max(0), -options.most_evidence, 0)
    chance = _softmax(evidence)
    for _ in range(options.agreement_rounds):
        votes = np.zeros_like(chance)
        for axis, link in zip((1, 2), links):
            ahead = [slice(None)] * 3
            back: list[Any] = [slice(None)] * 3
            ahead[axis], back[axis] = slice(1, None), slice(None, -1)
            votes[tuple(back)] += link * chance[tuple(ahead)]
            votes[tuple(ahead)] += link * chance[tuple(back)]
        chance = _softmax(evidence + votes)
    return chance


def _softmax(x: F32) -> F32:
    e = np.exp(x - x.max(0))
    return np.asarray(e / e.sum(0), dtype=np.float32)


def _decided(chance: F32, likely: F32, labels: list[int], options: MaskTrackingOptions) -> Masks:
    """Labels (H, W): what is likely enough, without crumbs and pieces far from where the entity was propagated to."""
    from scipy import ndimage

    best = chance.argmax(0)
    mask = np.where(chance.max(0) >= options.least_probability, best, UNCERTAIN).astype(np.int32)
    mask[best == len(chance) - 1] = UNCERTAIN
    for k, _ in enumerate(labels):
        parts, count = ndimage.label(best == k + 1)
        if count < 1:
            continue
        sizes = ndimage.sum_labels(np.ones_like(parts), parts, np.arange(1, count + 1))
        reach = _grown(likely[k] > options.propagated_probability, options.piece_reach_px)
        held = ndimage.maximum(reach, parts, np.arange(1, count + 1))
        crumbs = (sizes < max(options.smallest_piece_px, options.smallest_piece_share * sizes.max())) | (held == 0)
        mask[np.isin(parts, np.flatnonzero(crumbs) + 1)] = UNCERTAIN
    known = np.array([0, *labels, UNCERTAIN], np.int32)
    # Holes of a few pixels in an entity are noise.
    named = np.where(mask == UNCERTAIN, UNCERTAIN, known[np.clip(mask, 0, len(labels))])
    for label in labels:
        parts, count = ndimage.label(named != label)
        if count > 1:
            sizes = ndimage.sum_labels(np.ones_like(parts), parts, np.arange(1, count + 1))
            named[np.isin(parts, np.flatnonzero(sizes < options.smallest_piece_px) + 1)] = label
    return np.asarray(named, dtype=np.int32)


def _propagated(likely: F32, before: Frames, after: Frames, *, blur_px: float) -> F32:
    """Probabilities (K, H, W) taken along the film's flow (Kroeger et al. 2016, as OpenCV has it)."""
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    a, b = (cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (0, 0), blur_px) for f in (before, after))
    back = np.asarray(search.calc(b, a, np.zeros((*a.shape, 2), np.float32)))
    there = np.asarray(search.calc(a, b, np.zeros((*a.shape, 2), np.float32)))
    y, x = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    # An entity is where looking back or going forward says: at its front edge, looking back sees the background.
    gathered = np.stack([cv2.remap(p, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR) for p in likely])
    scattered = np.zeros_like(gathered)
    tx = np.clip(np.rint(x + there[..., 0]).astype(np.int64), 0, a.shape[1] - 1)
    ty = np.clip(np.rint(y + there[..., 1]).astype(np.int64), 0, a.shape[0] - 1)
    for k, p in enumerate(likely):
        np.maximum.at(scattered[k], (ty, tx), p)
        scattered[k] = cv2.morphologyEx(scattered[k], cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.maximum(gathered, scattered)


def _hint(masks: Masks, labels: list[int], options: MaskTrackingOptions) -> F32:
    planes = np.stack([masks == v for v in labels]).astype(np.float32)
    return options.hint_probability * _spread(planes, options.hint_blur_px)


def _calm(frame: Frames, sigma: float) -> F32:
    import cv2

    return np.asarray(cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigma), dtype=np.float32)


def _spread(planes: F32, sigma: float) -> F32:
    import cv2

    return np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in planes]).astype(np.float32)


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1,) * 2)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _shrunk(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    return ~_grown(~mask, pixels)


def _checked(
    frames: Frames, start: Masks, predicted: Masks | None, background: Frames | None, valid: NDArray[np.bool_] | None
) -> tuple[int, int, int]:
    if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise RefineError(
            f"film: found {getattr(frames, 'dtype', type(frames).__name__)} {np.shape(frames)}, expected uint8 "
            "(frames, height, width, 3)",
            code=ErrorCode.INVALID_TARGET,
        )
    t, h, w = frames.shape[:3]
    check_shape("start masks", start, (h, w), np.int32)
    if predicted is not None:
        check_shape("predicted masks", predicted, (t, h, w), np.int32)
    if background is not None:
        check_shape("background", background, (h, w, 3), np.uint8)
    if valid is not None:
        check_shape("valid", valid, (t, h, w), np.bool_)
    if not (start > 0).any():
        raise RefineError(
            "start masks: no pixel belongs to an entity, expected entity id + 1 somewhere",
            code=ErrorCode.INVALID_TARGET,
        )
    return t, h, w
