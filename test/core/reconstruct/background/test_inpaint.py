"""Holes filled by copies of what is around them."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.background.inpaint import InpaintOptions, fill


def tiles() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:64, 0:96]
    picture = np.repeat((200.0 * (((x // 8) + (y // 8)) % 2))[..., None], 3, 2).astype(np.float32)
    hole = np.zeros(x.shape, bool)
    hole[24:41, 37:61] = True
    return picture, hole


def test_a_regular_pattern_goes_on_as_it_was() -> None:
    picture, hole = tiles()
    found = fill(np.where(hole[..., None], 77, picture).astype(np.float32), hole, ~hole)
    assert np.abs(found - picture).max() < 2
    again = fill(np.where(hole[..., None], 77, picture).astype(np.float32), hole, ~hole)
    assert np.array_equal(found, again)


def test_a_large_hole_is_filled_on_a_smaller_picture() -> None:
    picture, hole = tiles()
    spoilt = np.where(hole[..., None], 77, picture).astype(np.float32)
    found = fill(spoilt, hole, ~hole, options=InpaintOptions(most_nodes=40))
    assert np.array_equal(found[~hole], picture[~hole]) and (found[hole] > 150).any() and (found[hole] < 50).any()


def test_what_is_no_source_is_not_copied() -> None:
    picture, hole = tiles()
    picture[:, 70:] = (255, 0, 0)
    source = np.ones(hole.shape, bool)
    source[:, 70:] = False
    found = fill(np.where(hole[..., None], 77, picture).astype(np.float32), hole, ~hole, source=source)
    assert np.abs(found[hole][:, 0] - found[hole][:, 1]).max() < 5


def test_where_there_is_nothing_to_copy_nothing_changes() -> None:
    picture, hole = tiles()
    assert fill(picture, hole, np.zeros_like(hole)) is picture
    assert fill(picture, np.zeros_like(hole), ~hole) is picture
