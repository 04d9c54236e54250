"""Holes in pictures filled by copies of what is around them, each hole in a few large pieces.

After He and Sun 2012 ("Statistics of patch offsets for image completion"): the shifts by which patches at the hole's
border are found again elsewhere are few, and each pixel of the hole takes one of them, so that pieces meet where they
are alike (alpha expansion: Boykov, Veksler and Zabih 2001). The seams are evened out in the gradients' domain (Pérez,
Gangnet and Blake 2003, "Poisson image editing").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, I64
from pw_core.reconstruct.background.poisson import join_copies, known_at
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class InpaintOptions:
    """How holes are filled; levels are those of the picture, 0 to 255."""

    patch_radius_px: int = 3
    """Half a patch's side, on the small picture."""
    most_nodes: int = 1500
    """The picture is halved until its hole has at most about so many pixels: minimum cuts take seconds beyond."""
    node_slack: float = 1.5
    """By how much the hole may be larger: halving once more would lose what there is to see."""
    least_side_px: int = 24
    """Below which the picture is not halved."""
    least_share: float = 0.4
    """Of four pixels that must be known for the one that stands for them to be."""
    most_shifts: int = 40
    """Ways to copy that are kept: He and Sun take 60."""
    most_border_patches: int = 400
    """Patches at the hole's border that are looked for elsewhere."""
    most_source_patches: int = 12_000
    """Among which they are looked for."""
    votes: int = 8
    """Best places of each border patch that count."""
    vote_smoothing_px: float = 0.7
    """Standard deviation of the blur of the votes for shifts."""
    least_use: float = 0.02
    """Of the hole, that a shift must fill to be kept."""
    layers: int = 2
    """Shifts that every pixel of the hole is to have, where more are to be had."""
    sweeps: int = 2
    """Rounds of alpha expansion over all shifts."""
    converged_ratio: float = 0.999
    """Of a round's energy before: above, no more rounds."""
    distance_cost: float = 0.3
    """What a piece costs more that comes from the picture's other end [levels]."""
    along: tuple[float, float] | None = None
    """Unit vector (rows, columns) along the picture's grain, if it has one: pieces come from along it."""
    along_shifts: int = 12
    """Ways to copy along the grain that are tried beside those that are found."""
    most_rounding_px: float = 0.2
    """By which whole pixels may miss the grain there."""
    across_cost: float = 1.0
    """What a piece costs more for each pixel that it comes from aside of that [levels]."""
    most_across_cost: float = 4.0
    """At the most."""
    unknown_cost: float = 60.0
    """What a piece from nowhere costs [levels]."""
    copy_weight: float = 1e-3
    """Of the copies' own values beside their gradients: a hole without a border keeps them."""


def fill(
    image: F32, hole: Mask, known: Mask, *, source: Mask | None = None, options: InpaintOptions = InpaintOptions()
) -> F32:
    """`image` (H, W, 3) with `hole` (H, W) filled so that it fits `known` (H, W); what is in neither is not looked at.

    Copied is what is in `source` (default: all that is known). The same input gives the same picture. Where there is
    nothing to copy, nothing is changed.
    """
    known = known & ~hole
    source = known if source is None else known & source
    if not hole.any() or not source.any():
        return image
    small = _Small(np.where(known[..., None], image, 0).astype(np.float32), hole, known, source)
    scale = 1
    while small.hole.sum() > options.most_nodes * options.node_slack and min(small.hole.shape) > options.least_side_px:
        small, scale = small.halved(options), 2 * scale
    shifts = _shifts(small, options)
    labels = _labels(small, shifts, options)
    return _compose(image, hole, known, source, labels, shifts * scale, options)


@dataclass(frozen=True)
class _Small:
    image: F32
    hole: Mask
    known: Mask
    source: Mask

    def halved(self, options: InpaintOptions) -> _Small:
        """Half the size; colours averaged over known pixels alone."""
        import cv2

        h, w = self.hole.shape
        odd = ((0, h % 2), (0, w % 2))
        hole, known, source = (np.pad(m, odd) for m in (self.hole, self.known, self.source))
        size = (hole.shape[1] // 2, hole.shape[0] // 2)
        image = np.pad(self.image, (*odd, (0, 0)))
        share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        sums = cv2.resize(image * known[..., None], size, interpolation=cv2.INTER_AREA)
        gap = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        whole = (share > options.least_share) & ~gap
        image = np.asarray(sums / np.maximum(share, 1e-6)[..., None] * whole[..., None], np.float32)
        copied = cv2.resize(source.astype(np.float32), size, interpolation=cv2.INTER_AREA) > options.least_share
        return _Small(image, gap, whole, whole & copied)


def _shifts(small: _Small, options: InpaintOptions) -> I64:
    """(K, 2) steps (rows, columns) from the hole's pixels to where they may be copied from: those by which patches at
    its border are found again most often, and more until all its pixels have one that leads to a pixel to copy."""
    import cv2
    from scipy import ndimage

    hole, source, radius = small.hole, small.source, options.patch_radius_px
    near = cv2.dilate(hole.astype(np.uint8), np.ones((2 * radius + 1,) * 2, np.uint8)) > 0
    border = np.argwhere(near & small.known)
    border = border[:: max(1, len(border) // options.most_border_patches)]
    whole = ndimage.uniform_filter(source.astype(np.float32), 2 * radius + 1, mode="constant") > 0.999
    sources = np.argwhere(whole)
    height, width = hole.shape
    votes = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
    if len(border) and len(sources):
        sources = sources[:: max(1, len(sources) // options.most_source_patches)]
        costs = _patch_costs(small, border, sources, radius)
        best = np.argpartition(costs, min(options.votes, costs.shape[1] - 1), axis=1)[:, : options.votes]
        for column in best.T:
            step = sources[column] - border
            far = np.abs(step).max(axis=1) > radius
            np.add.at(votes, (step[far, 0] + height, step[far, 1] + width), 1)
    score = ndimage.gaussian_filter(votes, options.vote_smoothing_px)
    peaks = (score == ndimage.maximum_filter(score, 3)) & (score > 0)
    found = np.argwhere(peaks)
    found = found[np.argsort(-score[peaks], kind="stable")] - [height, width]
    chosen: list[NDArray[np.integer]] = []
    at = np.argwhere(hole)
    covered = np.zeros(len(at), int)
    for step in found:
        hits = known_at(source, at + step)
        if hits.sum() > options.least_use * len(at):
            chosen.append(step)
            covered += hits
        if len(chosen) == options.most_shifts:
            break
    if options.along is not None:
        chosen += _along(source, at, options)
    # What no shift serves takes those that serve the most of it; along rows first, as tables and rooms have layers.
    span = np.array(
        [(0, c) for c in range(-width + 1, width)]
        + [(r, c) for r in range(-height + 1, height, 2) for c in range(-width + 1, width, 4)]
    )
    for layer in range(options.layers, 0, -1):
        for tried in (span[: 2 * width - 1], span):
            lacking = at[covered < layer]
            if len(lacking) == 0:
                break
            gains = _gains(source, lacking)[tried[:, 0] + height - 1, tried[:, 1] + width - 1]
            for k in np.argsort(-gains, kind="stable")[:3]:
                if gains[k] > 0:
                    chosen.append(tried[k])
                    covered += known_at(source, at + tried[k])
    while (covered == 0).any():
        lacking = at[covered == 0]
        nearest = ndimage.distance_transform_edt(~source, return_distances=False, return_indices=True)
        step = nearest[:, lacking[0, 0], lacking[0, 1]] - lacking[0]
        chosen.append(step)
        covered += known_at(source, at + step)
    return np.unique(np.array(chosen, np.int64).reshape(-1, 2), axis=0)


def _gains(source: Mask, lacking: I64) -> I64:
    """(2 H - 1, 2 W - 1): of the pixels `lacking` (n, 2) how many each shift takes to one in `source` (H, W); no shift
    is in the middle."""
    from scipy.signal import correlate

    holes = np.zeros(source.shape)
    holes[lacking[:, 0], lacking[:, 1]] = 1
    return np.asarray(np.rint(correlate(source.astype(np.float64), holes, method="fft")), np.int64)


def _along(source: Mask, at: I64, options: InpaintOptions) -> list[NDArray[np.integer]]:
    """Steps along the grain, to either side the shortest ones first that lead many of the hole's pixels `at` (n, 2) to
    pixels of `source` (H, W)."""
    out: list[NDArray[np.integer]] = []
    for way in (1, -1):
        exact = way * np.arange(2, max(source.shape))[:, None] * np.array(options.along)
        steps = exact.round().astype(np.int64)
        steps = steps[np.abs(exact - steps).max(axis=1) < options.most_rounding_px]  # beside a line, it would break
        hits = np.array([known_at(source, at + step).mean() for step in steps])
        useful = np.flatnonzero(hits > options.least_use)
        if len(useful):
            out += list(steps[useful[np.linspace(0, len(useful) - 1, options.along_shifts // 2).astype(int)]])
    return out


def _patch_costs(small: _Small, border: I64, sources: I64, radius: int) -> F32:
    """(border, sources): mean squared differences over the known pixels of each border patch, as matrix products."""
    steps = [(dy, dx) for dy in range(-radius, radius + 1) for dx in range(-radius, radius + 1)]
    padded = np.pad(small.image, ((radius, radius), (radius, radius), (0, 0)))
    weight = np.pad(small.known, radius)

    def patches(at: I64) -> tuple[F32, F32]:
        colors = np.stack([padded[at[:, 0] + radius + dy, at[:, 1] + radius + dx] for dy, dx in steps], axis=1)
        weights = np.stack([weight[at[:, 0] + radius + dy, at[:, 1] + radius + dx] for dy, dx in steps], axis=1)
        return colors.astype(np.float32), weights.astype(np.float32)

    a, w = patches(border)
    b, _ = patches(sources)
    total = ((a**2).sum(2) * w).sum(1)[:, None] + w @ (b**2).sum(2).T
    total -= 2 * (a * w[..., None]).reshape(len(a), -1) @ b.reshape(len(b), -1).T
    return np.asarray(total / np.maximum(w.sum(1), 1)[:, None], np.float32)


def _labels(small: _Small, shifts: I64, options: InpaintOptions) -> NDArray[np.int32]:
    """(H, W): the shift that each pixel of the hole takes, -1 outside it."""
    hole = small.hole
    at = np.argwhere(hole)
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(len(at))
    height, width = hole.shape

    def sample(points: NDArray[np.integer], step: NDArray[np.integer]) -> tuple[F32, Mask]:
        target = points + step
        ok = known_at(small.source, target)
        target = np.where(ok[:, None], target, 0)
        return small.image[target[:, 0], target[:, 1]], ok

    colors = np.stack([sample(at, s)[0] for s in shifts])  # (K, n, 3)
    valid = np.stack([sample(at, s)[1] for s in shifts])
    distance = np.linalg.norm(shifts, axis=1) / max(height, width)
    if options.along is not None:
        aside = np.abs(shifts @ np.array([-options.along[1], options.along[0]]))
        distance = distance + np.minimum(options.across_cost * aside, options.most_across_cost) / options.distance_cost
    unary = np.where(valid, options.distance_cost * distance[:, None], 1e5)
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        beside = at + np.array([dy, dx])
        border = np.flatnonzero(known_at(small.known, beside))
        own = small.image[beside[border, 0], beside[border, 1]]
        for k, step in enumerate(shifts):
            there, ok = sample(beside[border], step)
            unary[k, border] += np.where(ok, np.linalg.norm(there - own, axis=1), options.unknown_cost)
    pairs = []
    for dy, dx in ((0, 1), (1, 0)):
        beside = at + np.array([dy, dx])
        inside = (beside < hole.shape).all(axis=1)
        other = np.where(inside, number[np.where(inside, beside[:, 0], 0), np.where(inside, beside[:, 1], 0)], -1)
        pairs.append(np.stack([np.flatnonzero(other >= 0), other[other >= 0]], axis=1))
    p, q = np.concatenate(pairs).T
    seams = _Seams(p, q, colors, valid, options.unknown_cost)
    label = np.argmin(unary, axis=0)
    energy = np.inf
    for _ in range(options.sweeps):
        for alpha in range(len(shifts)):
            label = _expand(label, alpha, unary, seams)
        new = float(unary[label, np.arange(len(at))].sum() + seams.cost(label[p], label[q]).sum())
        if new >= options.converged_ratio * energy:
            break
        energy = new
    out = np.full(hole.shape, -1, np.int32)
    out[hole] = label
    return out


@dataclass(frozen=True)
class _Seams:
    """Pairs of neighbours p and q (n,), and each pixel's colours (K, pixels, 3) by shift where they are valid (K,
    pixels)."""

    p: I64
    q: I64
    colors: F32
    valid: Mask
    unknown_cost: float

    def cost(self, a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.floating]:
        """(n,): what it costs that p and q take shifts a and b: how unlike both shifts' colours are at p and at q."""
        out = np.zeros(len(self.p), np.float32)
        for at in (self.p, self.q):
            both = self.valid[a, at] & self.valid[b, at]
            unlike = np.linalg.norm(self.colors[a, at] - self.colors[b, at], axis=1)
            out += np.where(both, unlike, np.where(a == b, 0, self.unknown_cost))
        return out


def _expand(label: I64, alpha: int, unary: NDArray[np.floating], seams: _Seams) -> I64:
    """The best labelling in which every pixel keeps its label or takes `alpha`: a minimum cut."""
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    n, p, q, valid = len(label), seams.p, seams.q, seams.valid
    able = valid[alpha] & (label != alpha)
    if not able.any():
        return label
    each = np.arange(n)
    keep, take = unary[label, each].astype(np.float64), unary[alpha].astype(np.float64)
    fixed = np.full(len(p), alpha)
    stay = seams.cost(label[p], label[q]).astype(np.float64)  # neither takes alpha
    p_takes = seams.cost(fixed, label[q]).astype(np.float64)
    q_takes = seams.cost(label[p], fixed).astype(np.float64)
    # Kolmogorov and Zabih 2004: E(0,0) = stay, E(1,0) = p_takes, E(0,1) = q_takes, E(1,1) = 0; 1 is on the sink's side.
    gain = take - keep
    np.add.at(gain, p, p_takes - stay)
    np.add.at(gain, q, -p_takes)
    weight = np.maximum(p_takes + q_takes - stay, 0)
    source, sink = n, n + 1
    unit = 64.0
    rows = np.concatenate([np.full(n, source), each, p])
    columns = np.concatenate([each, np.full(n, sink), q])
    capacity = np.concatenate([np.maximum(gain, 0), np.maximum(-gain, 0), weight])
    whole = np.minimum(capacity * unit, 1e8).round().astype(np.int32)
    graph = sparse.csr_matrix((whole, (rows, columns)), shape=(n + 2, n + 2))
    graph.eliminate_zeros()
    flow = maximum_flow(graph, source, sink).flow
    left = graph - flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = np.zeros(n + 2, bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    return np.where(reached[:n] | ~valid[alpha], label, alpha)


def _compose(
    image: F32, hole: Mask, known: Mask, source: Mask, labels: NDArray[np.int32], shifts: I64, options: InpaintOptions
) -> F32:
    """Copies at full size, their gradients joined."""
    import cv2
    from scipy import ndimage

    height, width = hole.shape
    scale = max(1, round(height / labels.shape[0]))
    at = np.argwhere(hole)
    best = np.full(len(at), -1.0, np.float32)
    choice = np.full(len(at), -1)
    size = (labels.shape[1] * scale, labels.shape[0] * scale)
    for k, step in enumerate(shifts):
        share = (labels == k).astype(np.float32)
        if not share.any():
            continue
        share = cv2.resize(ndimage.gaussian_filter(share, 0.6), size, interpolation=cv2.INTER_LINEAR)
        value = np.where(known_at(source, at + step), share[at[:, 0], at[:, 1]], -1)
        better = (value > best) & (value > 0)
        best, choice = np.where(better, value, best), np.where(better, k, choice)
    lost = choice < 0
    if lost.any() and not lost.all():
        from scipy.spatial import cKDTree

        near = cKDTree(at[~lost]).query(at[lost], k=1)[1]
        choice[lost] = choice[~lost][near]
    elif lost.all():
        return image
    taken = np.zeros((height, width), np.int64)
    taken[hole] = choice
    return join_copies(image, hole, known, source, taken, shifts, copy_weight=options.copy_weight)
