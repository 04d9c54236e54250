"""Pictures from gradients (Pérez, Gangnet and Blake 2003, "Poisson image editing"): smooth holes, even seams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, I64
from pw_core.reconstruct.types import Mask


def smooth(image: F32, hole: Mask, known: Mask) -> F32:
    """`image` (H, W, C) with the hole as smooth as can be between the known pixels round it (Laplace's equation)."""
    known = known & ~hole
    at = np.argwhere(hole)
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(len(at))
    diagonal, right = np.full(len(at), 1e-6), np.zeros((len(at), image.shape[2]))
    coupled = []
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        beside = at + np.array([dy, dx])
        inside = (beside >= 0).all(axis=1) & (beside < hole.shape).all(axis=1)
        y, x = np.where(inside, beside[:, 0], 0), np.where(inside, beside[:, 1], 0)
        within, outer = inside & hole[y, x], inside & known[y, x]
        diagonal += within | outer
        right[outer] += image[y, x][outer]
        coupled.append((np.flatnonzero(within), number[y, x][within]))
    out = image.copy()
    if len(at):
        out[hole] = _solve(diagonal, coupled, right)
    return out


def join_copies(
    image: F32, hole: Mask, known: Mask, source: Mask, taken: I64, shifts: I64, *, copy_weight: float
) -> F32:
    """`image` (H, W, 3) with the gradients of copies in its hole, those of both pieces averaged where two meet, and the
    picture's values at its edge.

    taken (H, W): number of the shift that each pixel of the hole takes; shifts (K, 2) [rows, columns]. copy_weight: of
    the copies' own values beside their gradients.
    """
    at = np.argwhere(hole)
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(len(at))
    diagonal, right = np.zeros(len(at)), np.zeros((len(at), 3))
    coupled = []

    def step_by(k: I64, a: I64, b: I64) -> tuple[F32, Mask]:
        """Difference of the picture between pixels a and b, both moved by shift k."""
        a, b = a + shifts[k], b + shifts[k]
        ok = known_at(source, a) & known_at(source, b)
        a, b = (np.where(ok[:, None], x, 0) for x in (a, b))
        return np.where(ok[:, None], image[a[:, 0], a[:, 1]] - image[b[:, 0], b[:, 1]], 0), ok

    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        beside = at + np.array([dy, dx])
        inside = (beside >= 0).all(axis=1) & (beside < hole.shape).all(axis=1)
        y, x = np.where(inside, beside[:, 0], 0), np.where(inside, beside[:, 1], 0)
        within, outer = inside & hole[y, x], inside & known[y, x]
        own, ok_own = step_by(taken[hole], at, beside)
        other, ok_other = step_by(taken[y, x], at, beside)
        use_other = within & ok_other
        count = ok_own.astype(float) + use_other
        slope = (own + np.where(use_other[:, None], other, 0)) / np.maximum(count, 1)[:, None]
        linked = within | outer
        diagonal += linked
        right[linked] += slope[linked]
        right[outer] += image[y, x][outer]
        coupled.append((np.flatnonzero(within), number[y, x][within]))
    copies = at + shifts[taken[hole]]
    ok = known_at(source, copies)
    copies = np.where(ok[:, None], copies, 0)
    tie = np.where(ok, copy_weight, 1e-6)  # a hole without a border keeps the copies' own values
    right += tie[:, None] * image[copies[:, 0], copies[:, 1]]
    out = image.copy()
    out[hole] = _solve(diagonal + tie, coupled, right)
    return out


def known_at(known: Mask, at: NDArray[np.integer]) -> Mask:
    """Which of the pixels `at` (n, 2) [row, column] lie in the picture and are known (H, W)."""
    inside = (at >= 0).all(axis=1) & (at < known.shape).all(axis=1)
    out = np.zeros(len(at), bool)
    out[inside] = known[at[inside, 0], at[inside, 1]]
    return out


def _solve(diagonal: NDArray[np.floating], coupled: list[tuple[I64, I64]], right: NDArray[np.floating]) -> F32:
    from scipy import sparse
    from scipy.sparse.linalg import splu

    i, j = (np.concatenate(c) for c in zip(*coupled))
    matrix = sparse.diags(diagonal) - sparse.csr_matrix((np.ones(len(i)), (i, j)), shape=(len(right),) * 2)
    # It is symmetric and positive definite: no pivots are looked for, which halves the time.
    factors = splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, relax=8, panel_size=8,
        options={"SymmetricMode": True},
    )  # fmt: skip
    return np.asarray(factors.solve(right), np.float32)
