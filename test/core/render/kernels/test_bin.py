"""Depth order and tile lists against NumPy."""

from __future__ import annotations

import numpy as np

from pw_core.kernels.threads import run
from pw_core.render.kernels import bin as kernels_bin

RNG = np.random.default_rng(0)


def test_depth_order_is_a_stable_sort_of_what_is_visible() -> None:
    depths = RNG.uniform(0.1, 9, 500).astype(np.float32)
    depths[100:200] = depths[:100]  # ties
    visible = RNG.integers(0, 3, 500).astype(np.int32)
    drawn = np.flatnonzero(visible > 0)
    want = drawn[np.argsort(depths[drawn], kind="stable")]
    assert np.array_equal(kernels_bin.radix_order(depths.view(np.uint32), visible), want)


def test_each_tile_lists_its_gaussians_in_the_order_given() -> None:
    across, down, n = 7, 5, 200
    first = np.stack([RNG.integers(0, across, n), RNG.integers(0, down, n)], 1)
    last = np.minimum(first + RNG.integers(1, 4, (n, 2)), (across, down))
    rects = np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], 1).astype(np.int32)
    order = RNG.permutation(n).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum((rects[:, 1] - rects[:, 0]) * (rects[:, 3] - rects[:, 2]))])
    ids, slots = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    stretch = 64
    places, offsets = np.zeros((-(-n // stretch), across * down), np.int32), np.empty(across * down + 1, np.int64)
    run(kernels_bin.count_tiles, n, stretch, order, rects, across, places)
    kernels_bin.places_of(places, offsets)
    run(kernels_bin.fill_tiles, n, stretch, order, rects, across, places, starts, ids, slots)
    for y in range(down):
        for x in range(across):
            inside = (rects[:, 0] <= x) & (x < rects[:, 1]) & (rects[:, 2] <= y) & (y < rects[:, 3])
            t = y * across + x
            assert ids[offsets[t] : offsets[t + 1]].tolist() == [i for i in order if inside[i]]
    assert np.array_equal(ids[slots], np.repeat(np.arange(n), np.diff(starts)))
