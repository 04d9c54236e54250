"""Where the matter really was, where that is known: for measuring a run, never for correcting it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pw_core.errors import ErrorCode, SceneError
from pw_core.gaussians import F32, F64


class StateError(NamedTuple):
    """Mean distance [m] of our particles from where they should be, and Chamfer distance [m] of the two clouds."""

    particle_m: float
    chamfer_m: float


class Truth:
    """Real particle positions over the rounds.

    Args:
        path: a folder with `round-<k>.npz`, or one such file, taken for round 1: times [s] (T,) from the round's start
            and positions [m] (T, P, 3), as `pw rollout --export` writes them.
        start: our particles [m] (J, 3) at the start of round 1. With as many real ones, each is its own; otherwise
            ours are matched among the real ones there and then, by four neighbours, and kept.

    Raises:
        SceneError (STORE_FAILED): no such files, or arrays that do not fit.
    """

    def __init__(self, path: Path, *, start: F32) -> None:
        from scipy.spatial import cKDTree

        files = {1: path} if path.is_file() else {}
        if path.is_dir():
            files = {int(p.stem[6:]): p for p in path.glob("round-*.npz") if p.stem[6:].isdecimal()}
        if 1 not in files:
            raise SceneError(f"{path}: no truth; expected round-1.npz, round-2.npz ...", code=ErrorCode.STORE_FAILED)
        self._rounds = {k: _read(p) for k, p in files.items()}
        real = self._rounds[1][1][0]
        self._near, self._weight = np.arange(len(real))[:, None], np.ones((len(real), 1, 1))
        if len(real) != len(start):
            gap, self._near = cKDTree(real).query(start, k=min(4, len(real)))
            weight = 1 / (gap.reshape(len(start), -1) + 1e-5)
            self._near = self._near.reshape(weight.shape)
            self._weight = (weight / weight.sum(1, keepdims=True))[..., None]
        self._offset = start - self._blended(real)

    def _blended(self, real: F32) -> F64:
        return np.asarray((real[self._near] * self._weight).sum(1))

    def error(self, number: int, positions: F32, *, time_s: float) -> StateError | None:
        """Of our particles [m] (J, 3), `time_s` [s] after the start of round `number`; None where it is not known."""
        from scipy.spatial import cKDTree

        if number not in self._rounds:
            return None
        times, real = self._rounds[number]
        now = real[int(np.argmin(np.abs(times - time_s)))]
        mean = float(np.linalg.norm(positions - self._blended(now) - self._offset, axis=1).mean())
        there, back = cKDTree(now).query(positions)[0].mean(), cKDTree(positions).query(now)[0].mean()
        return StateError(mean, float(there + back) / 2)


def _read(path: Path) -> tuple[F64, F32]:
    try:
        with np.load(path, allow_pickle=False) as file:
            times, positions = np.asarray(file["times"], np.float64), np.asarray(file["positions"], np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SceneError(f"{path}: cannot be read: {error}", code=ErrorCode.STORE_FAILED) from None
    if positions.ndim != 3 or positions.shape[::2] != (len(times), 3) or not np.isfinite(positions).all():
        raise SceneError(
            f"{path}: found times {times.shape} and positions {positions.shape}, expected (T,) and finite (T, P, 3)",
            code=ErrorCode.STORE_FAILED,
        )
    return times, positions
