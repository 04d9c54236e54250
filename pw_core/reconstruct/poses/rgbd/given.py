"""RGB-D pictures whose poses are given: views, and points by unprojecting their depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.gaussians import F64, I64
from pw_core.reconstruct.inputs import Inputs, ViewInput
from pw_core.reconstruct.poses.working_view import working_view
from pw_core.reconstruct.types import Posed, View


@dataclass(frozen=True, kw_only=True)
class DepthPointsOptions:
    """How many points depth gives, and who sees them."""

    least_points: int = 1500
    """Of a view's depth pixels that become points ..."""
    points: int = 40_000
    """... and how many all views have together, where that is more."""
    cell_px: int = 8
    """Side of the cells in which points hide others from a view without depth."""
    hidden_ratio: float = 1.03
    """How many times as far as its cell's nearest point one may be and still be seen."""
    seed: int = 0
    """Of the choice of points."""


def posed_from_depth(
    inputs: Inputs, settings: ViewsSettings, *, options: DepthPointsOptions = DepthPointsOptions()
) -> Posed:
    """Points by unprojecting every view's depth, thinned; a view without depth sees those of the others."""
    views, points, colors, seen = [], [], [], {}
    n = 0
    most = max(options.least_points, options.points // len(inputs.views))
    for v in inputs.views:
        assert v.K is not None and v.viewmat is not None
        view = working_view(v, v.image, K=v.K, viewmat=v.viewmat, width_px=settings.width_px)
        views.append(view)
        if view.depth is None:
            continue
        y, x = np.nonzero(view.depth > 0)
        pick = np.random.default_rng(options.seed).permutation(len(y))[:most]
        y, x = y[pick], x[pick]
        pixel = np.stack([x, y], 1).astype(np.float64) + 0.5
        points.append(view.camera.unproject(pixel, view.depth[y, x].astype(np.float64)))
        colors.append(view.image[y, x] / 255)
        seen[v.name] = np.arange(n, n + len(y))
        n += len(y)
    seen |= {v.name: _in_front(v, np.concatenate(points), options) for v in views if v.depth is None}
    return Posed(tuple(views), np.concatenate(points), np.concatenate(colors), seen, {
        "registered": [v.name for v in views], "not_registered": [], "points": n, "poses": "given, points from depth",
    })  # fmt: skip


def _in_front(view: View, points: F64, options: DepthPointsOptions) -> I64:
    """Which of the points (n, 3) a view without depth sees: those with none well before them round where they fall."""
    uv, z = view.camera.project(points)
    inside = np.nonzero(view.camera.contains(uv, z))[0]
    cell = (uv[inside] // options.cell_px).astype(np.int64) @ np.array([1, view.camera.width])
    nearest = np.full(cell.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest, cell, z[inside])
    return np.asarray(inside[z[inside] < options.hidden_ratio * nearest[cell]], np.int64)


def single_view(given: ViewInput, settings: ViewsSettings, *, hfov_deg: float) -> Posed:
    """One picture with depth as a posed view; without a pose in its own frame, without K from its field of view."""
    height, width = given.image.shape[:2]
    focal = given.focal_px or width / 2 / float(np.tan(np.radians(hfov_deg) / 2))
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]) if given.K is None else given.K
    viewmat = np.eye(4) if given.viewmat is None else given.viewmat
    full = ViewInput(given.name, given.image, given.depth, K, viewmat, given.focal_px, given.valid)
    return posed_from_depth(Inputs((full,)), settings)
