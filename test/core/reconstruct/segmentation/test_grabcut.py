"""Cuts by colours, holes that something speaks for, discs that points seed."""

from __future__ import annotations

import cv2
import numpy as np

from pw_core.reconstruct.segmentation.grabcut import GrabCutOptions, color_models, filled, grabcut, mark_discs
from support.ball import camera, iou, shot


def test_labels_that_are_a_little_off_become_the_ball() -> None:
    picture, _, mask = shot(camera(0.0))
    labels = np.full(mask.shape, cv2.GC_PR_BGD, np.uint8)
    labels[np.roll(mask, 6, axis=1)] = cv2.GC_PR_FGD
    assert iou(grabcut(picture, labels), mask) > 0.95


def test_colours_of_another_view_go_before_what_labels_hold_to_be_likely() -> None:
    first, _, mask = shot(camera(0.0))
    picture, _, true = shot(camera(0.4))
    labels = np.full(true.shape, cv2.GC_PR_BGD, np.uint8)
    labels[10:60, 10:60] = cv2.GC_PR_FGD  # a piece of the floor
    assert iou(grabcut(picture, labels.copy(), models=color_models(first, mask)), true) > 0.9
    assert iou(grabcut(picture, labels.copy()), true) < 0.5


def test_where_labels_leave_nothing_open_they_are_the_answer() -> None:
    picture, _, _ = shot(camera(0.0))
    nothing, everything = (np.full(picture.shape[:2], v, np.uint8) for v in (cv2.GC_BGD, cv2.GC_PR_FGD))
    assert not grabcut(picture, nothing).any() and grabcut(picture, everything).all()


def test_specks_go_by_their_share_of_the_largest_part() -> None:
    picture = np.full((60, 80, 3), 40, np.uint8)
    picture[10:40, 10:50] = picture[48:54, 60:70] = 220
    labels = np.where(picture[..., 0] > 100, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    assert not grabcut(picture, labels.copy())[48:54, 60:70].any()
    assert grabcut(picture, labels.copy(), options=GrabCutOptions(min_part_share=0.01))[49:53, 61:69].all()


def test_discs_are_drawn_for_pixels_in_the_picture_alone() -> None:
    labels = np.zeros((20, 30), np.uint8)
    mark_discs(labels, np.array([[5.7, 6.2], [-0.5, 3.0], [30.0, 4.0], [np.nan, 1.0]]), radius=1, label=3)
    assert {tuple(p) for p in np.argwhere(labels == 3)} == {(6, 5), (5, 5), (7, 5), (6, 4), (6, 6)}


def test_a_gap_stays_open_where_something_speaks_for_it() -> None:
    mask = np.ones((60, 80), bool)
    mask[[0, -1]] = mask[:, [0, -1]] = False
    mask[10:20, 10:30] = mask[30:40, 10:30] = mask[30:32, 50:53] = False  # two gaps and a speck
    against = np.zeros_like(mask)
    against[15, 20] = against[31, 51] = True
    found = filled(mask, against, least=10)
    assert not found[10:20, 10:30].any()
    assert found[30:40, 10:30].all() and found[30:32, 50:53].all()
    assert not filled(mask, against)[30:32, 50:53].any()


def test_a_large_thing_that_is_cut_on_half_the_picture_first_keeps_its_thin_handle() -> None:
    rng = np.random.default_rng(3)
    true = np.zeros((351, 453), np.uint8)
    cv2.circle(true, (200, 170), 110, 1, -1)
    cv2.line(true, (300, 170), (420, 140), 1, 5)
    picture = np.where(true[..., None] > 0, (170, 60, 40), (90, 95, 100)) + rng.normal(0, 12, (*true.shape, 3))
    picture = picture.round().clip(0, 255).astype(np.uint8)
    labels = np.full(true.shape, cv2.GC_BGD, np.uint8)
    labels[20:-20, 20:-15] = cv2.GC_PR_BGD
    cv2.circle(labels, (200, 170), 80, cv2.GC_PR_FGD, -1)
    assert (labels == cv2.GC_PR_BGD).sum() > GrabCutOptions().coarse_from_px
    found, whole = (grabcut(picture, labels.copy(), options=o) for o in
                    (GrabCutOptions(), GrabCutOptions(coarse_from_px=labels.size + 1)))  # fmt: skip
    assert iou(found, true > 0) > 0.99 and found[145:160, 380].any()
    assert iou(found, whole) > 0.995
