"""The folder of a reconstruction from many views: what in it is of the same job, and goes on; what is not, goes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.files import remove, replace_file
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.segmentation.stage import FIRST

CHECKPOINT = "fit.safetensors"
JOB, PICTURES = "job.txt", "pictures.txt"
PASSING = (CHECKPOINT, FIRST, "features.db*", "try", "*.part", JOB, PICTURES)
"""What only a next run of the same job could use."""
WITHOUT_EFFECT = {"bind_steps", "checkpoint_every"}
"""Settings that leave poses, masks and the fit as they are."""


def open_job(config: SceneConfig, inputs: Inputs, settings: ViewsSettings, folder: Path) -> None:
    """Empty the folder of another job's intermediate files."""
    given = [(v.image, v.depth, v.K, v.viewmat, *(() if v.valid is None else (v.valid,))) for v in inputs.views]
    sums = [_digest(b"|".join(b"" if a is None else a.tobytes() for a in v))[:16] for v in given]
    masks = [
        _digest(np.ascontiguousarray(m).tobytes() + f"{e} {n}".encode())[:16]
        for e, of in sorted(inputs.masks.items()) for n, m in sorted(of.items())
    ]  # fmt: skip
    asked = settings.model_dump(mode="json", exclude=WITHOUT_EFFECT)
    job = _digest(json.dumps([sums, masks, config.model_dump(mode="json"), asked]).encode())
    if _other(folder / JOB, job):
        remove(folder / CHECKPOINT)
        remove(folder / FIRST)
    pictures = _digest(json.dumps([sums, settings.mapper, settings.matching]).encode())
    if _other(folder / PICTURES, pictures):
        shutil.rmtree(folder / "sfm", ignore_errors=True)
    replace_file(folder / PICTURES, pictures.encode())
    replace_file(folder / JOB, job.encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _other(note: Path, key: str) -> bool:
    return note.is_file() and note.read_text() != key
