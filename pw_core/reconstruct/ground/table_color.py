"""The colour of a table, which goes over it smoothly: what is far off it lies or stands on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32
from pw_core.reconstruct.types import Mask


@dataclass(frozen=True, kw_only=True)
class TableColorOptions:
    """The fit of a quadratic over a picture, by iteratively reweighted least squares with Cauchy's weights."""

    least_pixels: int = 100
    """Fewer tell no colour."""
    iterations: int = 8
    """Of new weights."""
    least_off: float = 1.0
    """Median distance of colours from the fit that counts at the least."""


@dataclass(frozen=True)
class TableColor:
    """Coefficients (6, C) of a colour over a picture of `shape`, and how far (n,) each pixel that it was fitted to is
    off."""

    coefficients: F32
    shape: tuple[int, int]
    off: F32

    def over(self) -> F32:
        """The colour (H, W, C) of every pixel."""
        rows, columns = self.shape
        i, j = np.mgrid[0:rows, 0:columns]
        terms = _terms(self.shape, i.ravel(), j.ravel())
        return np.asarray((terms @ self.coefficients).reshape(rows, columns, -1), np.float32)


def table_color(
    picture: F32, known: Mask, *, options: TableColorOptions = TableColorOptions()
) -> TableColor | None:  # fmt: skip
    """Of a picture (H, W, C), fitted to what is `known` (H, W) of the table; None where that is too little. The order
    of `off` is that of `picture[known]`."""
    i, j = np.nonzero(known)
    if len(i) < options.least_pixels:
        return None
    terms, colors = _terms((known.shape[0], known.shape[1]), i, j), picture[known]
    weight = np.ones(len(i), np.float32)
    for _ in range(options.iterations):
        part = terms * weight[:, None]
        fit = np.linalg.lstsq(part.T @ terms, part.T @ colors, rcond=None)[0]
        # Many times as fast as a norm over a short axis.
        squares = [channel * channel for channel in (colors - terms @ fit).T]
        off = np.sqrt(sum(squares[1:], squares[0]))
        weight = 1 / (1 + (off / max(float(np.median(off)), options.least_off)) ** 2)
    return TableColor(fit, (known.shape[0], known.shape[1]), off)


def _terms(shape: tuple[int, int], i: np.ndarray, j: np.ndarray) -> F32:
    """(n, 6) of a quadratic at rows and columns (n,)."""
    v, u = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    one = np.ones(len(i), np.float32)
    return np.stack([one, v[i], u[j], v[i] ** 2, u[j] ** 2, v[i] * u[j]], axis=1)
