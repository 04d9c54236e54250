"""What a fit says of itself and leaves to go on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pw_core.errors import ReconstructError
from pw_core.gaussians import Gaussians
from pw_core.reconstruct.splatting.checkpoint import FitRecord, resume, write_checkpoint
from pw_core.reconstruct.splatting.parameters import start


def test_a_checkpoint_keeps_steps_seconds_and_error(tmp_path: Path) -> None:
    one = Gaussians(*(np.ones(s, np.float32) for s in ((2, 3), (2, 4), (2, 3), (2,), (2, 1, 3))))
    assert resume(tmp_path / "fit.safetensors", one) == (one, 0, 0.0, [])
    write_checkpoint(tmp_path / "fit.safetensors", one, 7, 12.5, 0.25)
    gaussians, steps, seconds, errors = resume(tmp_path / "fit.safetensors", one[:0])
    assert (len(gaussians), steps, seconds, errors) == (2, 7, 12.5, [0.25])
    assert [f.name for f in tmp_path.iterdir()] == ["fit.safetensors"]


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "fit.safetensors").write_bytes(b"no")
    with pytest.raises(ReconstructError, match=r"fit\.safetensors is not a checkpoint"):
        resume(tmp_path / "fit.safetensors", start(np.eye(3), np.eye(3), sh_degree=0))


def test_a_record_reports_and_keeps_what_is_due_and_the_last_step(tmp_path: Path) -> None:
    one = Gaussians(*(np.ones(s, np.float32) for s in ((2, 3), (2, 4), (2, 3), (2,), (2, 1, 3))))
    said: list[str] = []
    kept: list[int] = []

    def progress(stage: str, fraction: float) -> None:
        said.append(stage.split(", ETA")[0])
        assert 0 < fraction <= 1

    file = tmp_path / "fit.safetensors"
    record = FitRecord(7, done=0, seconds=3.0, report_every=3, keep_every=5, progress=progress, checkpoint=file)
    for step in range(7):
        record.after(step, lambda: 0.01, lambda: one)
        kept.append(resume(file, one)[1])
    assert said == [f"fit: step {k} of 7, PSNR 20.00 dB" for k in (3, 6, 7)]
    assert kept == [0, 0, 0, 0, 5, 5, 7]
    found = record.end(one, 0.01)
    assert found.psnr_db == pytest.approx(20) and found.steps == 7 and found.seconds >= 3
    assert record.end(one, None).psnr_db == 0
