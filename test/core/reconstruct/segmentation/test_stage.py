"""Masks are found once and kept in the folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs
from pw_core.reconstruct.segmentation.stage import (
    FIRST,
    find_masks,
    own_points,
    prompted,
    standing_points,
    write_masks,
)
from pw_core.reconstruct.types import Posed, View
from support.ball import CENTRE, RADIUS, config, iou, shots


def scene(count: int = 3) -> tuple[Inputs, Posed, dict[str, np.ndarray]]:
    """Views with depth and their true masks; points on the ball and on the floor that all views see."""
    inputs, masks = shots(count, depth=True)
    views = tuple(View(v.name, v.image, v.camera, v.depth) for v in inputs.views)
    rise, turn = np.meshgrid(np.linspace(0.5, 1.4, 6), np.linspace(0, 6, 9))
    way = np.stack([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)], -1).reshape(-1, 3)
    floor = np.array([[0.09, 0.09, 0.0], [-0.09, 0.09, 0.0], [0.1, -0.08, 0.0]])
    points = np.concatenate([CENTRE + 0.95 * RADIUS * way, floor])
    seen = {v.name: np.arange(len(points)) for v in views}
    return inputs, Posed(views, points, np.full(points.shape, 0.5), seen), masks


def test_masks_are_found_in_all_views_and_read_again(tmp_path: Path) -> None:
    inputs, posed, true = scene()
    found = find_masks(config(), inputs, ViewsSettings(), posed, "v00.png", tmp_path)
    assert min(iou(found["ball"][n], m) for n, m in true.items()) > 0.7  # three views with 54 points
    write_masks(tmp_path / FIRST / "ball", {n: m & (np.arange(240) < 120) for n, m in true.items()})
    again = find_masks(config(), inputs, ViewsSettings(), posed, "v00.png", tmp_path)
    assert all((again["ball"][n] == (m & (np.arange(240) < 120))).all() for n, m in true.items())


def test_given_masks_take_the_place_of_prompts(tmp_path: Path) -> None:
    inputs, posed, true = scene()
    given = replace(inputs, masks={"ball": {"v00.png": ~true["v00.png"]}})
    assert (prompted(config(), given, ViewsSettings(), posed, "v00.png")["ball"] == ~true["v00.png"]).all()
    assert iou(prompted(config(), inputs, ViewsSettings(), posed, "v00.png")["ball"], true["v00.png"]) > 0.9


def test_a_mask_that_cannot_be_written_leaves_the_old_ones(tmp_path: Path) -> None:
    _, _, true = scene()
    write_masks(tmp_path / "masks", true)
    with pytest.raises(AttributeError):
        write_masks(tmp_path / "masks", true | {"bad": None})
    assert sorted(f.name for f in tmp_path.rglob("*.png")) == [f"{n}.png" for n in true]


def test_the_points_of_an_entity_are_found_or_missed_in_words() -> None:
    _, posed, true = scene()
    own = standing_points(posed, {"ball": true["v00.png"]}, "v00.png")
    assert own[:-3].all() and not own[-3:].any()
    assert len(own_points(posed, true)) == len(posed.points) - 3
    with pytest.raises(ReconstructError, match="none of the sparse points") as caught:
        own_points(posed, {n: np.zeros_like(m) for n, m in true.items()})
    assert caught.value.code == ErrorCode.INVALID_PROMPT
