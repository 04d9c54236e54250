"""Views with depth vote on whose each place is."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.segmentation.labels.voting import vote
from pw_core.reconstruct.types import View
from support.ball import iou, shots


def wrong(mask: np.ndarray, k: int) -> np.ndarray:
    """Of four one is eaten into from the left by a third, one has grown to the right; two are right."""
    columns = np.flatnonzero(mask.any(0))
    width = len(columns) // 3
    out = mask.copy()
    if k % 4 == 1:
        out[:, : columns[0] + width] = False
    if k % 4 == 3:
        out |= np.roll(mask, width, axis=1)
    return out


def test_views_with_depth_outvote_the_masks_that_are_wrong() -> None:
    inputs, true = shots(12, depth=True)
    views = [View(v.name, v.image, v.camera, v.depth) for v in inputs.views if v.camera is not None]
    drawn = {v.name: wrong(true[v.name], k) for k, v in enumerate(views)}
    assert min(iou(drawn[n], true[n]) for n in true) < 0.75
    kept = views[1].name
    found = vote(views, {"ball": drawn}, fixed={"ball": {kept: drawn[kept]}})["ball"]
    assert min(iou(found[n], true[n]) for n in true if n != kept) > 0.97
    assert (found[kept] == drawn[kept]).all()


def test_two_entities_share_what_they_are_outvoted_of() -> None:
    inputs, true = shots(12, depth=True)
    views = [View(v.name, v.image, v.camera, v.depth) for v in inputs.views if v.camera is not None]
    left = {n: m & (np.arange(m.shape[1]) < m.shape[1] // 2) for n, m in true.items()}
    # One view calls all of the ball its other half's; the rest have it all as the ball.
    first = views[0].name
    ball = {n: m if n != first else m & ~left[n] for n, m in true.items()}
    half = {n: np.zeros_like(m) if n != first else left[n] for n, m in true.items()}
    found = vote(views, {"ball": ball, "half": half}, fixed={})
    assert iou(found["ball"][first], true[first]) > 0.97 and found["half"][first].sum() < 0.02 * true[first].sum()
