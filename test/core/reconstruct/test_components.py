"""Connected parts: the largest, and those that are not too small beside it."""

from __future__ import annotations

import numpy as np

from pw_core.reconstruct.components import large_components, largest_component


def parts() -> np.ndarray:
    mask = np.zeros((12, 20), bool)
    mask[1:4, 1:4] = mask[6:9, 10:13] = True  # nine each
    mask[10, 0:2] = True
    mask[4, 4] = True  # touches the first by a corner
    return mask


def test_of_two_as_large_the_first_is_taken_unless_a_corner_counts() -> None:
    first = largest_component(parts())
    assert first.sum() == 9 and first[1:4, 1:4].all()
    assert largest_component(parts(), structure=np.ones((3, 3)))[4, 4]
    volume = np.zeros((4, 4, 4), bool)
    volume[0, 0, :3] = volume[3, 3, 3] = True
    assert largest_component(volume).sum() == 3


def test_small_parts_go_and_nothing_stays_nothing() -> None:
    assert large_components(parts(), share=0.2).sum() == 9 + 9 + 2
    assert large_components(parts(), share=0.3).sum() == 9 + 9
    nothing = np.zeros((3, 3), bool)
    assert largest_component(nothing) is nothing and large_components(nothing, share=0.5) is nothing
