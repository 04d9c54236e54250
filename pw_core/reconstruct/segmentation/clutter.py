"""What else stands on the table of a photo: found without prompts, so that it need not lie there as a picture.

A camera without roll sees the table's far end along a row. Whatever has colours that are not the table's, and the same
above that row as below, stands before it and rises over the end. What stays below the end could lie flat, too. A line
of sight that falls at an angle p sees flat things sin p times as high as they are deep: what would be much deeper than
wide is taken to stand. All else is left where it is: a sheet of paper that stands up would look worse than a bowl
that lies.

Each is cut out by GrabCut in windows that grow until it keeps off their borders, so that little of what is behind can
go with it, and is given up where its outline has no edge in the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from pw_core.gaussians import F32, Camera
from pw_core.reconstruct.ground.table_color import table_color
from pw_core.reconstruct.segmentation.grabcut import grabcut
from pw_core.reconstruct.segmentation.matting import TrimOptions, trimmed
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class ClutterOptions:
    """What is told to stand on the table; colours are CIELAB's, 0 to 100."""

    blur_px: float = 1.0
    """Standard deviation of the photo's blur before colours are compared."""
    outline_px: int = 6
    """Round the entities: mixed pixels are no clutter, and no table."""
    every_px: int = 3
    """Of the table's pixels, in a row, that its colour is fitted to."""
    strange_medians: float = 5.0
    """How many medians a colour is off the table's ..."""
    strange: float = 12.0
    """... and how far at the least, for it to be something else's."""
    brightest_shade: float = 1.05
    """Shadows are not brighter than the table, ..."""
    darkest_shade: float = 0.25
    """... nor darker than this share of it, ..."""
    shade_spread: float = 0.25
    """... and take as much from red, green and blue, but for this share."""
    closing_px: int = 2
    """Gaps in what is something else that are closed."""
    end_px: tuple[int, int] = (1, 5)
    """Rows before and behind the table's end that are compared."""
    most_step: float = 14.0
    """Between the two, on a thing that stands before the end."""
    crossing_share: float = 0.3
    """Of a thing's columns that do not change there."""
    least_share: float = 8e-4
    """Of the photo: what is smaller is left, ..."""
    least_px: int = 60
    """... and what has fewer pixels: they tell no colours."""
    least_below: float = 0.02
    """Of the photo's height, that its foot lies below the end: else it may be the end itself, which is not quite where
    the scene says."""
    least_solid: float = 0.35
    """Of its bounding box, that it fills."""
    under_share: float = 0.3
    """Of its columns that begin below an entity: its shadow, or its reflection."""
    least_stretch: float = 2.5
    """How many times as deep as wide it would be if it lay flat."""
    most_tall: float = 2.0
    """How many times as high as wide one may be in the photo that does not rise over the end: a pen that points at the
    camera lies."""
    windows: tuple[float, ...] = (0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
    """How far above the table's end it is looked for, in its widths."""
    further_windows: int = 2
    """After one in which it is found, that are looked at: a lid has other colours."""
    most_growth: float = 1.25
    """Times as large it may be in one of those: else it is something behind it that came along."""
    aside: float = 0.5
    """And beside it."""
    sure_px: int = 2
    """So far inside its outline on the table it is certain."""
    unsure_px: int = 4
    """And so far outside it may go on."""
    least_edge: float = 3.0
    """A pixel, of the photo at its outline ..."""
    least_edge_share: float = 0.7
    """... on so much of it."""
    narrow_ratio: float = 0.3
    """Of the square root of its area: what is narrower than twice that may be the shadow at its foot, ..."""
    foot_shade: float = 0.4
    """... where it is no brighter than this share of the table."""
    most: int = 6
    """Of them, the largest."""
    trim: TrimOptions = TrimOptions()
    """What of an outline is the table's."""


@dataclass(frozen=True)
class _Table:
    """Colours (H, W, 3) of the blurred photo and how much they change a pixel (H, W), what of it is table and what the
    entities cover (H, W), and the first row of the table."""

    lab: F32
    change: F32
    table: Mask
    things: Mask
    end: int


def find_clutter(
    photo: Rgb, table: Mask, masks: Sequence[Mask], camera: Camera, *, options: ClutterOptions = ClutterOptions()
) -> list[Mask]:  # fmt: skip
    """Masks (H, W) of things that stand on the table of a photo (H, W, 3), the largest first, none of them on another.

    table (H, W): pixels of the table's plane; masks (H, W): of the entities, which are none of them.
    """
    if not table.any() or (table[0].any() and not table[-1].any()):
        return []
    grey = photo.astype(np.float32) / 255
    lab = np.asarray(cv2.GaussianBlur(cv2.cvtColor(grey, cv2.COLOR_RGB2LAB), (0, 0), options.blur_px), np.float32)
    change = np.sqrt(sum((np.gradient(lab, axis=axis) ** 2).sum(axis=-1) for axis in (0, 1)))
    things = np.any([np.zeros(table.shape, bool), *masks], axis=0)
    on = _Table(lab, np.asarray(change, np.float32), table, things, int(np.argmax(table.any(axis=1))))
    share = _table_share(photo, on, options)
    if share is None:
        return []
    odd = _odd(share, on, options)
    found: list[Mask] = []
    taken = things.copy()
    for part, crosses in _standing(odd, on, camera, options):
        if len(found) == options.most:
            break
        whole = _whole(photo, part & ~taken, crosses, on, taken, options)
        if whole is not None:
            whole &= ~_foot_shadow(whole, share, on, options)
            found.append(whole)
            taken |= whole
    return found


@dataclass(frozen=True)
class _Share:
    """By how much (H, W) colours are off the table's, how much that is for the table itself, and how many times as
    bright as it pixels are (H, W, 3)."""

    off: F32
    usual: float
    bright: F32


def _table_share(photo: Rgb, on: _Table, o: ClutterOptions) -> _Share | None:
    """Of the photo (H, W, 3); None where the table has no colour."""
    known = on.table & ~ndimage.binary_dilation(on.things, iterations=o.outline_px)
    known[: on.end + o.outline_px] = False
    sparse = np.zeros_like(known)
    sparse[:, :: o.every_px] = known[:, :: o.every_px]
    color = table_color(on.lab, sparse)
    if color is None:
        return None
    own = color.over()
    # One level more, or black pixels have no hue.
    lit = np.maximum(255 * cv2.cvtColor(own, cv2.COLOR_LAB2RGB) + 1, 1)
    bright = cv2.GaussianBlur(photo.astype(np.float32) + 1, (0, 0), o.blur_px) / lit
    off = np.linalg.norm(on.lab - own, axis=-1)
    return _Share(np.asarray(off, np.float32), float(np.median(color.off)), np.asarray(bright, np.float32))


def _odd(share: _Share, on: _Table, o: ClutterOptions) -> Mask:
    """Pixels (H, W) of the table's that have other colours, also in shade."""
    most, least = share.bright.max(axis=-1), share.bright.min(axis=-1)
    shade = (most < o.brightest_shade) & (most > o.darkest_shade) & (most - least < o.shade_spread * most)
    limit = max(o.strange_medians * share.usual, o.strange)
    odd = ndimage.binary_opening(on.table & ~on.things & (share.off > limit) & ~shade)
    wide = 2 * o.closing_px
    closed = ndimage.binary_closing(np.pad(odd, wide), iterations=o.closing_px)[wide:-wide, wide:-wide]
    return np.asarray(closed & on.table & ~on.things)


def _standing(odd: Mask, on: _Table, camera: Camera, o: ClutterOptions) -> list[tuple[Mask, bool]]:
    """Parts (H, W) of what is odd that stand, the largest first, and whether they rise over the table's end."""
    height, width = odd.shape
    first, last = (on.end + k for k in o.end_px)
    near, far = on.lab[first:last].mean(axis=0), on.lab[max(on.end - o.end_px[1], 0) : max(on.end - o.end_px[0], 1)]
    steady = np.linalg.norm(near - far.mean(axis=0), axis=-1) < o.most_step
    crossing = steady & (odd[first:last].mean(axis=0) > 0.5) & (on.end > o.end_px[1])
    labels, _ = ndimage.label(odd)
    out = []
    for k, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        part = labels == k
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        at_border = columns.start <= o.sure_px or columns.stop >= width - o.sure_px or rows.stop >= height - o.sure_px
        if (
            at_border or part.sum() < max(o.least_px, o.least_share * part.size, o.least_solid * high * wide)
            or rows.stop - on.end < o.least_below * height or _under(part, on.things, o) > o.under_share
        ):  # fmt: skip
            continue
        meets_end = rows.start < last
        crosses = bool(meets_end and crossing[columns].sum() > o.crossing_share * wide)
        ray = camera.rays(np.array([[(columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2]]))[0]
        falls = -ray[2] / float(np.linalg.norm(ray))
        stands = not meets_end and o.least_stretch * falls * wide < high < o.most_tall * wide
        if crosses or stands:
            out.append((part, crosses))
    return sorted(out, key=lambda found: -int(found[0].sum()))


def _under(part: Mask, things: Mask, o: ClutterOptions) -> float:
    """Share of a part's columns (H, W) that begin right below an entity."""
    columns = np.flatnonzero(part.any(axis=0))
    tops = np.argmax(part[:, columns], axis=0)
    return float(np.mean([things[max(top - o.outline_px, 0) : top, x].any() for top, x in zip(tops, columns)]))


def _whole(photo: Rgb, part: Mask, crosses: bool, on: _Table, taken: Mask, o: ClutterOptions) -> Mask | None:
    """All of a thing (H, W) of which a part is seen before the table; None where it does not stand out."""
    if part.sum() < o.least_px:
        return None
    best, further = None, 0
    for above in o.windows if crosses else (0.0,):
        found = _cut(photo, part, above, on, taken, o)
        if found is not None and best is not None and found.sum() > o.most_growth * best.sum():
            found = None
        if found is not None and _edge_share(found, on, crosses, o) >= o.least_edge_share:
            best = found
        further += best is not None
        if further > o.further_windows:
            break
    return None if best is None else trimmed(photo, best, options=o.trim)


def _foot_shadow(mask: Mask, share: _Share, on: _Table, o: ClutterOptions) -> Mask:
    """What of a mask (H, W) is the table in its deepest shadow: near black, narrow and below all that is wide."""
    reach = max(round(o.narrow_ratio * float(np.sqrt(mask.sum()))), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = cv2.morphologyEx(np.pad(mask, reach).astype(np.uint8), cv2.MORPH_OPEN, disc)[reach:-reach, reach:-reach] > 0
    if not wide.any():
        return np.zeros_like(mask)
    below = mask & ~wide & on.table
    below[: int(np.flatnonzero(wide.any(axis=1))[-1]) + 1] = False
    dark = below.any() and float(np.median(share.bright[below].max(axis=-1))) < o.foot_shade
    return np.asarray(below & dark)


def _cut(photo: Rgb, part: Mask, above: float, on: _Table, taken: Mask, o: ClutterOptions) -> Mask | None:
    """GrabCut in a window that reaches so many widths above the table's end; None where what is found reaches its
    borders."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    wide = int(np.ptp(columns)) + 1
    aside = round(max(o.aside * wide, 2 * o.outline_px))
    top = on.end - round(above * wide) if above else rows[0] - aside
    left, right = columns[0] - aside, columns[-1] + 1 + aside
    window = np.s_[max(top, 0) : rows[-1] + 1 + aside, max(left, 0) : right]
    around = ndimage.binary_dilation(part, iterations=o.unsure_px)
    labels = np.full(part.shape, cv2.GC_PR_BGD, np.uint8)
    labels[on.table & ~around] = cv2.GC_BGD
    labels[: on.end + o.unsure_px][labels[: on.end + o.unsure_px] == cv2.GC_BGD] = cv2.GC_PR_BGD
    if above:
        labels[max(on.end - round(min(above, 1.0) * wide), 0) : on.end + o.sure_px, columns] = cv2.GC_PR_FGD
    labels[around & on.table] = cv2.GC_PR_FGD
    labels[ndimage.binary_erosion(part, iterations=o.sure_px)] = cv2.GC_FGD
    labels[taken] = cv2.GC_BGD
    seen = np.ascontiguousarray(labels[window])
    border = np.ones(seen.shape, bool)
    border[o.sure_px if top > 0 else 0 : -o.sure_px, o.sure_px : -o.sure_px] = False  # it may go on above the photo
    seen[border] = cv2.GC_BGD
    found = grabcut(np.ascontiguousarray(photo[window]), seen)
    out = np.zeros(part.shape, bool)
    out[window] = found & ~taken[window]
    labelled, _ = ndimage.label(out)
    own = np.unique(labelled[part & out])
    out = np.isin(labelled, own[own > 0])
    touches = ndimage.binary_dilation(border, iterations=1) & out[window]
    return np.asarray(out) if out.any() and not touches.any() else None


def _edge_share(mask: Mask, on: _Table, crosses: bool, o: ClutterOptions) -> float:
    """Share of a mask's outline (H, W), above the table's end where it `crosses` that, at which the photo has an
    edge."""
    edge = ndimage.maximum_filter(on.change, 3)
    rim = mask & ~ndimage.binary_erosion(mask)
    if crosses:
        rim[on.end :] = False
    return float((edge[rim] > o.least_edge).mean()) if rim.any() else 0.0
