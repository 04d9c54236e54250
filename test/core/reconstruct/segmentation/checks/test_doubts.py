"""Sentences about masks and sizes that look wrong."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pw_core.reconstruct.segmentation.checks.doubts import mask_doubts, size_doubts
from support.ball_photo import ball_config, ball_mask, ball_photo, spiny_photo
from support.ball_scene import ball_scene


def test_a_good_mask_is_not_doubted_in_its_tight_box() -> None:
    assert mask_doubts(ball_photo(), ball_mask(), ball_config().entities[0], scale=1.0) == []


def test_a_mask_that_its_box_cuts_off_is() -> None:
    rows, columns = np.nonzero(ball_mask())
    middle = float(columns.mean())
    box = [columns.min() - 5.0, rows.min() - 5.0, middle, rows.max() + 5.0]
    entity = ball_config(prompt={"box": box}).entities[0]
    cut = ball_mask() & (np.arange(ball_mask().shape[1]) < middle)
    (text,) = mask_doubts(ball_photo(), cut, entity, scale=1.0)
    assert "cut off by its box" in text and "right side" in text


def test_what_sticks_out_in_another_colour_is_told_with_a_negative_point() -> None:
    photo, mask = ball_photo(), ball_mask()
    rows, columns = np.nonzero(mask)
    ear = np.zeros(mask.shape, np.uint8)
    cv2.circle(ear, (int(columns.max()) + 6, int(rows.mean())), 11, 1, -1)
    extra = (ear > 0) & ~mask
    photo[extra] = (40, 60, 200)
    box = [columns.min() - 2.0, rows.min() - 2.0, columns.max() + 30.0, rows.max() + 3.0]
    texts = mask_doubts(photo, mask | extra, ball_config(prompt={"box": box}).entities[0], scale=0.5)
    assert len(texts) == 1 and "negative point" in texts[0]
    x, y = (float(v) * 0.5 for v in texts[0].rsplit("(", 1)[1].rstrip(")").split(","))
    assert extra[int(y), int(x)]


def test_a_leg_in_the_shade_of_its_seat_is_its_own_and_one_of_the_table_s_hue_is_not() -> None:
    photo, mask = ball_photo(), ball_mask()
    rows, columns = np.nonzero(mask)
    x, low = int(columns.mean()), int(rows.max())
    leg = np.zeros(mask.shape, bool)
    leg[low - 3 : low + 45, x - 9 : x + 9] = True
    leg &= ~mask
    box = [columns.min() - 2.0, rows.min() - 2.0, columns.max() + 2.0, low + 50.0]
    entity = ball_config(prompt={"box": box}).entities[0]
    color, table = photo[mask].mean(0), photo[~mask].mean(0)
    told = []
    for of in (0.6 * color, 0.45 * table):
        photo[leg] = of
        told.append(any("other colours" in t for t in mask_doubts(photo, mask | leg, entity, scale=1.0)))
    assert told == [False, True]


def test_a_shadow_in_the_mask_is_taken_for_one() -> None:
    photo, mask = ball_photo(), ball_mask()
    rows, columns = np.nonzero(mask)
    dark = np.zeros(mask.shape, np.uint8)
    cv2.ellipse(dark, (int(columns.mean()), int(rows.max()) - 2), (40, 9), 0, 0, 360, 1, -1)
    shadow = (dark > 0) & ~mask
    photo[shadow] = (0.6 * photo[shadow]).astype(np.uint8)
    box = [columns.min() - 20.0, rows.min() - 2.0, columns.max() + 20.0, rows.max() + 20.0]
    texts = mask_doubts(photo, mask | shadow, ball_config(prompt={"box": box}).entities[0], scale=1.0)
    assert any("shadow" in t for t in texts)


def test_too_large_a_thing_is_told_with_the_camera_height_that_would_do() -> None:
    entity = ball_scene().entities[0]
    assert size_doubts([entity], 0.2) == []
    mesh = replace(entity.mesh, vertices=entity.mesh.vertices * 10)
    large = replace(entity, volume_m3=entity.volume_m3 * 1000, mesh=mesh, origin=entity.origin * 10)
    (text,) = size_doubts([large], 2.0)
    assert "litres" in text and "camera.height_m is 0.4" in text


def test_too_small_a_thing_is_told_with_the_camera_height_that_would_do() -> None:
    entity = ball_scene().entities[0]
    small = replace(entity, mesh=replace(entity.mesh, vertices=entity.mesh.vertices / 100), volume_m3=1e-9)
    (text,) = size_doubts([small], 0.02)
    assert "1 mm across is little" in text and "camera.height_m is 4, not 0.02" in text


@pytest.mark.parametrize(("kg_m3", "said"), [(20, None), (0.8, "0.8 g/cm³ are 800"), (80_000, "8e+04 kg/m³")])
def test_a_density_that_nothing_has_is_told(kg_m3: float, said: str | None) -> None:
    entity = ball_scene().entities[0]
    of_it = replace(entity, material=entity.material.model_copy(update={"density_kg_m3": kg_m3}))
    texts = size_doubts([of_it], 0.2)
    assert texts == [] if said is None else any(said in text for text in texts)


def test_a_thing_seen_from_above_has_a_height_that_is_a_guess() -> None:
    entity = ball_scene().entities[0]
    far = float(np.hypot(*entity.origin[:2]))
    assert size_doubts([entity], far) == []
    (text,) = size_doubts([entity], 3 * far)
    assert "degrees above" in text and "is a guess" in text


def test_light_that_the_table_throws_on_a_thing_is_not_taken_for_its_shadow() -> None:
    """The ball's lower half takes the table's hue bit by bit."""
    photo, mask = ball_photo().astype(np.float64), ball_mask()
    rows, _ = np.nonzero(mask)
    table = photo[rows.max() + 6, mask.any(axis=0)].mean(0)
    share = np.clip((np.arange(mask.shape[0]) - rows.mean()) / (rows.max() - rows.mean()), 0, 1)[:, None, None]
    photo = np.where(mask[..., None], photo + share * (0.9 * table - photo), photo).round().astype(np.uint8)
    texts = mask_doubts(photo, mask, ball_config().entities[0], scale=1.0)
    assert not any("shadow" in t for t in texts)


def test_spines_that_a_mask_lacks_are_told_of_and_grain_is_not() -> None:
    photo, spiny, mask = ball_photo(), spiny_photo(), ball_mask()
    noise = np.random.default_rng(0).normal(0, 9, photo.shape)
    grainy = (photo + noise).clip(0, 255).astype(np.uint8)
    entity = ball_config().entities[0]
    told = ["fine parts" in " ".join(mask_doubts(p, mask, entity, scale=1.0)) for p in (photo, spiny, grainy)]
    assert told == [False, True, False]
