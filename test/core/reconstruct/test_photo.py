"""Masks from prompts in a photo, and what is said of prompts that cannot be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, PWError
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.segmentation.prompt import segment
from support.ball_photo import ball_config, ball_mask, ball_photo

ROOT = Path(__file__).parents[3]


def config(name: str) -> SceneConfig:
    return SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


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
