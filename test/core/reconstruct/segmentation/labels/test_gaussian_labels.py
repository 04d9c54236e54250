"""Gaussians learn from masks whose they are."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.segmentation.labels.gaussian_labels import LabelOptions, classify
from support.ball import CENTRE, RADIUS, camera, iou
from support.dense_ball import dense_ball


def test_the_balls_gaussians_are_told_from_the_floors() -> None:
    views, masks, gaussians = dense_ball([camera(2 * np.pi * k / 4, name=f"v{k}") for k in range(4)])
    few = gaussians[::5]  # there are gaps between them, which belong to nobody
    said: list[float] = []
    whose, probabilities = classify(views, few, {"ball": masks}, progress=lambda s, f: said.append(f),
                                    options=LabelOptions(passes=8))  # fmt: skip
    ball = np.linalg.norm(few.means - CENTRE, axis=1) < 1.02 * RADIUS
    high = few.means[:, 2] > 0.01  # at its foot neither is sure
    assert (whose[high] == ball[high]).mean() > 0.97 and set(whose.tolist()) == {0, 1}
    found = {n: p[..., 1] > 0.5 for n, p in probabilities.items()}
    assert min(iou(found[n], m) for n, m in masks.items()) > 0.6
    assert max((found[n] & ~m).sum() / m.sum() for n, m in masks.items()) < 0.1
    assert len(said) == 8 * 4 and said[-1] == 1.0
