"""Masks against the photo's borders, negative points, and each other; told where a user looks, in a scene's doubts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pw_core.config import EntityConfig, SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.segmentation.checks.prompt_doubts import check_apart, prompt_doubts
from support.ball_photo import HEIGHT, WIDTH, ball_config, ball_mask, ball_photo


def entity(**prompt: object) -> EntityConfig:
    known = ball_config().entities[0]
    return known.model_copy(update={"prompt": known.prompt.model_copy(update=prompt)})


def middle() -> tuple[float, float]:
    y, x = np.nonzero(ball_mask())
    return float(x.mean()), float(y.mean())


def test_what_the_photo_shows_all_of_is_not_doubted() -> None:
    assert prompt_doubts(ball_photo(), ball_mask(), entity(), scale=1.0) == []


@pytest.mark.parametrize("sides", [("left",), ("bottom",), ("left", "right"), ("left", "top", "right", "bottom")])
def test_a_thing_that_the_photo_cuts_is_told_with_the_borders(sides: tuple[str, ...]) -> None:
    y, x = np.nonzero(ball_mask())
    rows = slice(int(y.min()) + 12 if "top" in sides else 0, int(y.max()) - 12 if "bottom" in sides else None)
    columns = slice(int(x.min()) + 12 if "left" in sides else 0, int(x.max()) - 12 if "right" in sides else None)
    texts = prompt_doubts(ball_photo()[rows, columns], ball_mask()[rows, columns], entity(), scale=1.0)
    (text,) = (t for t in texts if "the photo ends within it" in t)
    assert f"at its {' and '.join(sides)} border" in text and "give a photo that shows all of it" in text
    assert ("stand where the photo ends" in text) == ("bottom" in sides)
    assert ("its volume is of what is seen" in text) != ("bottom" in sides)
    hung = entity().model_copy(update={"fixed": "top"})
    texts = prompt_doubts(ball_photo()[rows, columns], ball_mask()[rows, columns], hung, scale=1.0)
    assert any("its volume is of what is seen" in t for t in texts)


def test_a_scene_of_a_cut_thing_says_so() -> None:
    config, (x, _) = ball_config(), middle()
    cut = int(x)
    _, top, right, bottom = config.entities[0].prompt.box
    fields = config.model_dump()
    fields["entities"][0]["prompt"]["box"] = [0, top, right - cut, bottom]
    scene = reconstruct(SceneConfig.parse(fields), Inputs.of_photo(config, np.ascontiguousarray(ball_photo()[:, cut:])))
    assert any("the photo ends within it, at its left border" in text for text in scene.provenance["doubts"])


def test_a_negative_point_on_the_thing_is_told_and_one_in_a_gap_is_not() -> None:
    mask, (x, y) = ball_mask().copy(), middle()
    yy, xx = np.mgrid[: mask.shape[0], : mask.shape[1]]
    pierced = entity(negative_points=((x, y),))
    (text,) = prompt_doubts(ball_photo(), mask & (np.hypot(xx - x, yy - y) > 2), pierced, scale=1.0)
    assert f"negative point 1 ({x:g}, {y:g})" in text and "leave it out" in text
    assert prompt_doubts(ball_photo(), mask & (np.hypot(xx - x, yy - y) > 12), pierced, scale=1.0) == []


def test_a_thing_of_a_few_pixels_is_told() -> None:
    (text,) = prompt_doubts(ball_photo()[::4, ::4], ball_mask()[::4, ::4], entity(), scale=0.25)
    assert "px across in the photo as it is worked with" in text and "larger photo" in text


def test_an_overexposed_thing_is_told() -> None:
    bright = np.clip(ball_photo().astype(int) * 8, 0, 255).astype(np.uint8)
    (text,) = prompt_doubts(bright, ball_mask(), entity(), scale=1.0)
    assert "% of it is overexposed" in text and "less light" in text


def test_two_things_side_by_side_in_one_mask_are_told_with_the_place_of_the_other() -> None:
    y, x = np.nonzero(ball_mask())
    other = np.roll(ball_mask(), int(0.93 * np.ptp(x)), axis=1)
    (text,) = prompt_doubts(ball_photo(), ball_mask() | other, entity(), scale=1.0)
    found = re.search(r"two parts side by side.* at \((\d+), (\d+)\): .*draw the box round one", text)
    assert found is not None
    u, v = int(found[1]), int(found[2])
    assert other[v, u] != ball_mask()[v, u]  # on one of them, not where they meet
    above = np.roll(ball_mask(), -int(0.93 * np.ptp(y)), axis=0)  # a snowman is one thing
    assert not any("side by side" in t for t in prompt_doubts(ball_photo(), ball_mask() | above, entity(), scale=1.0))


def test_a_box_that_is_all_of_the_photo_is_told() -> None:
    loose = entity(box=(0.0, 0.0, float(WIDTH), float(HEIGHT)))
    (text,) = prompt_doubts(ball_photo(), ball_mask(), loose, scale=1.0)
    assert "its box is 100% of the photo" in text and "draw the box close" in text


def test_two_entities_of_one_thing_are_refused_by_name() -> None:
    known = ball_config()
    other = known.entities[0].model_copy(update={"name": "other"})
    config = known.model_copy(update={"entities": (known.entities[0], other)})
    with pytest.raises(ReconstructError, match="entities 'ball' and 'other' are the same pixels") as error:
        reconstruct(config, Inputs.of_photo(config, ball_photo()))
    assert error.value.code == ErrorCode.INVALID_PROMPT


def test_masks_that_share_some_pixels_are_doubted_and_others_not() -> None:
    mask, known = ball_mask(), ball_config().entities[0]
    pair = (known, known.model_copy(update={"name": "other"}))
    wide = int(np.ptp(np.nonzero(mask)[1]))
    (text,) = check_apart([mask, np.roll(mask, int(0.7 * wide), axis=1)], pair)
    assert "'ball' and 'other' share" in text and "negative point" in text
    assert check_apart([mask, np.roll(mask, wide + 2, axis=1)], pair) == []
    with pytest.raises(ReconstructError, match="are the same pixels"):  # one within the other
        check_apart([mask, mask & np.roll(mask, wide // 2, axis=1)], pair)
