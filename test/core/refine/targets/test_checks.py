"""What is wrong with an array is said with what would be right."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.errors import ErrorCode, RefineError
from pw_core.refine.targets.checks import as_frames, check_not_black, check_shape, check_strengths, check_times


def test_stamps_are_finite_and_rise() -> None:
    assert check_times([0, 1, 2.5], what="film").tolist() == [0, 1, 2.5]
    for times, words in (([], "found shape"), ([0, np.inf], "stamp 1 is inf"), ([0, 2, 2], "number 2")):
        with pytest.raises(RefineError, match=words) as caught:
            check_times(times, what="film")
        assert caught.value.code == ErrorCode.INVALID_STAMPS


def test_strengths_are_one_a_view_from_0_to_1() -> None:
    check_strengths((0, 1), views=("a", "b"))
    for strengths in ((0.5,), (0.5, 1.1), (0.5, float("nan"))):
        with pytest.raises(RefineError) as caught:
            check_strengths(strengths, views=("a", "b"))
        assert caught.value.code == ErrorCode.INVALID_STRENGTH


def test_shape_and_type_are_named() -> None:
    check_shape("flow", np.zeros((2, 3), np.float32), (2, 3), np.float32)
    with pytest.raises(RefineError, match=r"flow: found float64 \(2, 3\), expected float32 \(2, 3\)"):
        check_shape("flow", np.zeros((2, 3)), (2, 3), np.float32)
    with pytest.raises(RefineError, match="flow: found list"):
        check_shape("flow", [[0.0]], (1, 1), np.float32)


def test_a_lens_cap_is_black_and_a_dim_room_is_not() -> None:
    picture, everywhere = np.full((20, 20, 3), 9, np.uint8), np.ones((20, 20), bool)
    with pytest.raises(RefineError, match="at most 12 of 255"):
        check_not_black(picture, everywhere, what="frame 3")
    check_not_black(picture, ~everywhere, what="frame 3")  # nothing was observed: nothing is said
    check_not_black(picture, everywhere, what="frame 3", black=5)
    picture[0, :10] = 40
    check_not_black(picture, everywhere, what="frame 3")


def test_floats_from_0_to_1_become_bytes() -> None:
    assert as_frames(np.full((1, 2, 2, 3), 0.5), what="film")[0, 0, 0].tolist() == [128, 128, 128]
    for bad, words in ((np.full((1, 2, 2, 3), 2.0), "floats from 2 to 2"), (np.zeros((1, 2, 2, 3), int), "found int64"),
                       (np.full((1, 2, 2, 3), np.nan), r"NaN at pixel \(0, 0\)")):  # fmt: skip
        with pytest.raises(RefineError, match=words):
            as_frames(bad, what="film")
