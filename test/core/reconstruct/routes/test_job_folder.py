"""What in the folder is of the same job stays; the rest goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.reconstruct import Inputs
from pw_core.reconstruct.routes.job_folder import CHECKPOINT, open_job
from support.ball import config, shots

SETTINGS = ViewsSettings(steps=30)


@pytest.fixture
def inputs() -> Inputs:
    return shots(3, depth=False)[0]


@pytest.fixture
def folder(inputs: Inputs, tmp_path: Path) -> Path:
    """With what a run of `SETTINGS` left."""
    open_job(config(), inputs, SETTINGS, tmp_path)
    for name in (CHECKPOINT, "first_masks/ball/v00.png", "sfm/model/images.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def left(folder: Path) -> set[str]:
    return {p.relative_to(folder).parts[0] for p in folder.rglob("*") if p.suffix != ".txt" and p.is_file()}


def test_the_same_job_goes_on(folder: Path, inputs: Inputs) -> None:
    open_job(config(), inputs, SETTINGS, folder)
    open_job(config(), inputs, SETTINGS.model_copy(update={"bind_steps": 7, "checkpoint_every": 3}), folder)
    assert left(folder) == {CHECKPOINT, "first_masks", "sfm"}


def test_other_settings_fit_anew_with_the_same_poses(folder: Path, inputs: Inputs) -> None:
    open_job(config(), inputs, SETTINGS.model_copy(update={"steps": 31}), folder)
    assert left(folder) == {"sfm"}


def test_masks_that_are_given_are_part_of_the_job(folder: Path, inputs: Inputs) -> None:
    mask = {"ball": {"v00.png": np.eye(180, 240, dtype=bool)}}
    open_job(config(), replace(inputs, masks=mask), SETTINGS, folder)
    assert left(folder) == {"sfm"}


def test_other_pictures_are_placed_anew(folder: Path, inputs: Inputs) -> None:
    first = replace(inputs.views[0], image=255 - inputs.views[0].image)
    open_job(config(), replace(inputs, views=(first, *inputs.views[1:])), SETTINGS, folder)
    assert left(folder) == set()
