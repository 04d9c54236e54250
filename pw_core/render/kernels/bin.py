"""Depth order and tile lists: one radix sort over the visible Gaussians, then a counting sort into tiles.

Filling the tiles in depth order leaves every tile's list sorted, so the sort costs N keys and not one key per (tile,
Gaussian) pair. Threads fill stretches of that order: each first counts its pairs, so that it knows where in every
tile's list its own begin. Equal depths keep their index order, as in gsplat.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import numpy as np
from numba import njit

from pw_core.kernels.options import KERNEL
from pw_core.kernels.threads import take


@njit(**KERNEL)
def radix_order(keys, visible):
    """Indices of the entries with visible > 0, by rising key; keys [N] uint32 (the bits of positive floats), stable."""
    n = keys.shape[0]
    hist = np.zeros((3, 2048), np.int64)
    # Each key travels with its index, so that every pass reads in order.
    items = np.empty(n, np.uint64)
    count = 0
    for i in range(n):
        if visible[i] > 0:
            key = keys[i]
            items[count] = (np.uint64(key) << np.uint64(32)) | np.uint64(i)
            count += 1
            hist[0, key & 2047] += 1
            hist[1, (key >> 11) & 2047] += 1
            hist[2, key >> 22] += 1
    swap = np.empty(count, np.uint64)
    order = np.empty(count, np.int32)
    for p in range(3):
        total = 0
        for b in range(2048):
            here = hist[p, b]
            hist[p, b] = total
            total += here
        shift = np.uint64(32 + 11 * p)
        for i in range(count):
            b = (items[i] >> shift) & np.uint64(2047)
            to = hist[p, b]
            hist[p, b] = to + 1
            if p < 2:
                swap[to] = items[i]
            else:
                order[to] = np.int32(items[i] & np.uint64(0x7FFFFFFF))
        items, swap = swap, items
    return order


@njit(**KERNEL)
def count_tiles(counter, total, stretch, order, rects, tiles_x, counts):
    """How many Gaussians of each stretch of `order` each tile has, added to counts [stretches, tiles].

    rects [N, 4] int32: first and one-past-last tile column, first and one-past-last tile row.
    """
    first = take(counter, stretch)
    while first < total:
        mine = counts[first // stretch]
        for r in range(first, min(first + stretch, total)):
            i = order[r]
            for ty in range(rects[i, 2], rects[i, 3]):
                for tx in range(rects[i, 0], rects[i, 1]):
                    mine[ty * tiles_x + tx] += 1
        first = take(counter, stretch)


@njit(**KERNEL)
def places_of(counts, offsets):
    """From counts [stretches, tiles] to each stretch's first place in every tile's list, in their stead; and offsets
    [tiles + 1], where the lists begin."""
    stretches, tiles = counts.shape
    at = np.zeros(tiles, np.int32)
    for s in range(stretches):
        for t in range(tiles):
            at[t] += counts[s, t]
    total = 0
    for t in range(tiles):
        offsets[t] = total
        total += at[t]
        at[t] = offsets[t]
    offsets[tiles] = total
    for s in range(stretches):
        for t in range(tiles):
            here = counts[s, t]
            counts[s, t] = at[t]
            at[t] += here


@njit(**KERNEL)
def fill_tiles(counter, total, stretch, order, rects, tiles_x, places, starts, ids, slots):
    """Put the Gaussians of each stretch of `order` into the tiles' lists, from its `places` [stretches, tiles] on.

    Writes ids [pairs], and slots [pairs]: Gaussian n's places in `ids` are slots[starts[n] : starts[n + 1]], in
    row-major order of its tiles.
    """
    first = take(counter, stretch)
    while first < total:
        cursor = places[first // stretch]
        for r in range(first, min(first + stretch, total)):
            i = order[r]
            at = starts[i]
            for ty in range(rects[i, 2], rects[i, 3]):
                for tx in range(rects[i, 0], rects[i, 1]):
                    t = ty * tiles_x + tx
                    place = cursor[t]
                    ids[place] = i
                    slots[at] = place
                    at += 1
                    cursor[t] = place + 1
        first = take(counter, stretch)


@njit(**KERNEL)
def merge_tiles(back_offsets, back_ids, back_rec, front_offsets, front_ids, front_rec):
    """Merge two depth-sorted sets of tile lists, in the tiles where the second has anything.

    Returns ids of the merged lists (the second set's counted on from the end of back_rec), offsets [tiles + 1] (empty
    lists for the tiles the second set leaves alone), the numbers of the tiles it touches, and where each pair of the
    second set went. At equal depths the first set comes first.
    """
    tiles = back_offsets.shape[0] - 1
    offsets = np.zeros(tiles + 1, np.int64)
    count = 0
    for t in range(tiles):
        n_front = front_offsets[t + 1] - front_offsets[t]
        offsets[t + 1] = offsets[t]
        if n_front > 0:
            offsets[t + 1] += n_front + back_offsets[t + 1] - back_offsets[t]
            count += 1
    ids = np.empty(offsets[tiles], np.int32)
    places = np.empty(front_ids.shape[0], np.int32)
    touched = np.empty(count, np.int64)
    shift = back_rec.shape[0]
    at_touched = 0
    for t in range(tiles):
        if front_offsets[t + 1] == front_offsets[t]:
            continue
        touched[at_touched] = t
        at_touched += 1
        a, a_end, b, b_end = back_offsets[t], back_offsets[t + 1], front_offsets[t], front_offsets[t + 1]
        at = offsets[t]
        while a < a_end or b < b_end:
            if b >= b_end or (a < a_end and back_rec[back_ids[a], 11] <= front_rec[front_ids[b], 11]):
                ids[at] = back_ids[a]
                a += 1
            else:
                ids[at] = front_ids[b] + shift
                places[b] = at
                b += 1
            at += 1
    return ids, offsets, touched, places


@njit(**KERNEL)
def add_colors(ids, pairs, column, into):
    """Add the colour gradients of all pairs to `into` [N, 3], from `column` on; ids >= N are another set's."""
    count = into.shape[0]
    for k in range(ids.shape[0]):
        i = ids[k]
        if i < count:
            for ch in range(3):
                into[i, ch] += pairs[k, column + ch]
