"""Masks from prompts: in a photo, and in a view whose sparse points know of the ground; and prompts that are wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.config import EntityConfig, Material, Prompt, SceneConfig
from pw_core.errors import ErrorCode, PWError
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.segmentation.prompt import from_prompt, segment
from pw_core.reconstruct.types import Posed, View
from support.ball import camera, iou, shot
from support.ball_photo import ball_config, ball_mask, ball_photo

ROOT = Path(__file__).parents[4]


def shaded() -> tuple[View, EntityConfig, np.ndarray, Posed]:
    """The ball with a shadow beside it that has the ball's own colours, its mask, and sparse points on both."""
    cam = camera(0.0, height=0.22, name="v.png", enlarged=2)
    picture, depth, mask = shot(cam)
    rows, columns = np.nonzero(mask)
    foot = int(columns.mean()), int(rows.max() - 6)
    dark = np.zeros(mask.shape, np.uint8)
    cv2.ellipse(dark, foot, (int(0.6 * np.ptp(columns)), 16), 0, 0, 360, 1, -1)
    shadow = (dark > 0) & ~mask
    skin = picture[mask]
    picture[shadow] = np.median(skin, axis=0) + np.random.default_rng(0).normal(size=(int(shadow.sum()), 3)) * 4
    y, x = (a.ravel() for a in np.mgrid[2 : cam.height : 7, 2 : cam.width : 7])
    points = cam.unproject(np.stack([x, y], 1) + 0.5, depth[y, x].astype(np.float64))
    view = View(cam.name, picture, cam)
    posed = Posed((view,), points, np.full((len(points), 3), 0.5), {cam.name: np.arange(len(points))})
    box = [columns.min() - 40.0, rows.min() - 10.0, columns.max() + 40.0, rows.max() + 25.0]
    entity = EntityConfig(name="ball", material=Material(model="elastic"), prompt=Prompt(box=box))
    return view, entity, mask, posed


def test_a_shadow_is_told_apart_by_the_points_on_the_ground() -> None:
    view, entity, mask, posed = shaded()
    without = from_prompt(view, entity, original_width=view.camera.width)
    found = from_prompt(view, entity, original_width=view.camera.width, posed=posed)
    assert iou(without, mask) < 0.93
    assert iou(found, mask) > 0.96


def test_a_thing_as_flat_as_the_ground_stays() -> None:
    view, entity, _, posed = shaded()
    flat = Posed(posed.views, posed.points * [1, 1, 0.0], posed.colors, posed.seen)
    found = from_prompt(view, entity, original_width=view.camera.width, posed=flat)
    without = from_prompt(view, entity, original_width=view.camera.width)
    assert iou(found, without) == 1.0


def config(name: str) -> SceneConfig:
    return SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")


def test_mask_of_a_ball() -> None:
    assert iou(segment(ball_photo(), ball_config().entities[0], scale=1.0), ball_mask()) > 0.97


def with_prompt(box, points=()) -> SceneConfig:
    base = config("play_doh")
    entity = base.entities[0]
    prompt = entity.prompt.model_copy(update={"box": box, "points": points})
    return base.model_copy(update={"entities": (entity.model_copy(update={"prompt": prompt}),)})


@pytest.mark.parametrize("box", [(1200.0, 300.0, 1400.0, 500.0), (-50.0, 300.0, 200.0, 500.0)])
def test_prompts_outside_the_photo(box) -> None:
    with pytest.raises(PWError, match=r"box .* reaches outside the photo, which is 1280 x 704 px") as error:
        reconstruct(with_prompt(box))
    assert error.value.code == ErrorCode.INVALID_PROMPT


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (((640.0, 470.0), (1300.0, 500.0), (640.0, -3.0)), r"point 2 \(1300, 500\), point 3 \(640, -3\) reach outside"),
        (((640.0, 470.0), (100.0, 500.0)), r"point 2 \(100, 500\) must lie in its box"),
        (((640.0, 470.0), (512.0, 350.0)), r"point 2 \(512, 350\) is on the background"),
    ],
)
def test_of_several_prompts_the_wrong_one_is_named(points, said) -> None:
    with pytest.raises(PWError, match=said) as error:
        reconstruct(with_prompt(config("play_doh").entities[0].prompt.box, points))
    assert error.value.code == ErrorCode.INVALID_PROMPT


def test_a_place_that_is_told_to_be_the_thing_and_not_to_be_is_named() -> None:
    known = ball_config().entities[0]
    y, x = (float(v.mean()) for v in np.nonzero(ball_mask()))
    prompt = known.prompt.model_copy(update={"points": ((x, y),), "negative_points": ((3.0, 3.0), (x, y))})
    with pytest.raises(PWError, match=r"point 1 .* and negative point 2 .* are the same place") as error:
        segment(ball_photo(), known.model_copy(update={"prompt": prompt}), scale=1.0)
    assert error.value.code == ErrorCode.INVALID_PROMPT
