"""How far a fit is: what it says of itself, what it leaves on disk to go on from, and what it ends with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.files import written_aside
from pw_core.gaussians import Gaussians
from pw_core.progress import Progress


@dataclass(frozen=True)
class Fitted:
    """What a fit ends with; psnr_db of the last pictures it was fitted to."""

    gaussians: Gaussians
    psnr_db: float
    steps: int
    seconds: float


def write_checkpoint(path: Path, gaussians: Gaussians, step: int, seconds: float, error: float) -> None:
    """All or nothing. `seconds` and the last pictures' mean squared `error` so far."""
    from safetensors.numpy import save_file

    note = {"step": str(step), "seconds": repr(seconds), "error": repr(error)}
    with written_aside(path) as part:
        save_file({k: np.ascontiguousarray(v) for k, v in gaussians.arrays().items()}, part, note)


def resume(path: Path | None, first: Gaussians) -> tuple[Gaussians, int, float, list[float]]:
    """Gaussians to go on from, the steps and seconds behind them, and the last pictures' mean squared error, if any;
    `first` and nothing where there is no file.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): the file is broken.
    """
    if path is None or not path.is_file():
        return first, 0, 0.0, []
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            arrays = [file.get_tensor(k) for k in ("means", "quats", "log_scales", "opacities", "sh")]
            note = file.metadata()
            return Gaussians(*arrays), int(note["step"]), float(note["seconds"]), [float(note["error"])]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ReconstructError(f"{path} is not a checkpoint of a fit: {error}; remove it to start again",
                               code=ErrorCode.RECONSTRUCT_FAILED) from None  # fmt: skip


def psnr_db(error: float) -> float:
    """Of a mean squared error of colours 0 to 1."""
    return -10 * math.log10(max(error, 1e-12))


class FitRecord:
    """The course of one fit.

    Args:
        steps: how many it takes in all.
        done, seconds: steps and seconds behind it already, in runs before.
        report_every, keep_every: steps between two reports and between two checkpoints; the last step has both.
        progress: gets "fit: step i of n, PSNR p dB, ETA s s" and the fraction.
        checkpoint: the file; None: none is written.
    """

    def __init__(
        self, steps: int, *, done: int, seconds: float, report_every: int, keep_every: int, progress: Progress,
        checkpoint: Path | None,
    ) -> None:  # fmt: skip
        self.steps, self.done, self.before = steps, done, seconds
        self.report_every, self.keep_every = report_every, keep_every
        self.progress, self.checkpoint = progress, checkpoint
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Spent so far, runs before included."""
        return self.before + time.perf_counter() - self.began

    def after(self, step: int, error: Callable[[], float], gaussians: Callable[[], Gaussians]) -> None:
        """Report and keep what is due after the step of that number (from 0); error: mean squared, of the last
        pictures."""
        count = step + 1
        if count % self.report_every == 0 or count == self.steps:
            left = (time.perf_counter() - self.began) / (count - self.done) * (self.steps - count)
            self.progress(f"fit: step {count} of {self.steps}, PSNR {psnr_db(error()):.2f} dB, ETA {left:.0f} s",
                          count / self.steps)  # fmt: skip
        if self.checkpoint is not None and (count % self.keep_every == 0 or count == self.steps):
            write_checkpoint(self.checkpoint, gaussians(), count, self.seconds, error())

    def end(self, gaussians: Gaussians, error: float | None) -> Fitted:
        """The result; no error: no picture was drawn."""
        return Fitted(gaussians, 0.0 if error is None else psnr_db(error), self.steps, self.seconds)
