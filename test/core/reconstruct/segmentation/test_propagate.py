"""A mask in one view is propagated to all others by the sparse points that lie in it."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.reconstruct.segmentation.propagate import propagate
from support.ball import iou
from support.two_balls import two_balls


@pytest.mark.slow
def test_points_take_a_mask_all_round_and_given_masks_stay() -> None:
    posed, true, entities = two_balls()
    wrong = np.zeros_like(true["ball"]["v05"])
    found = propagate(posed, entities[:1], {"ball": {"v00": true["ball"]["v00"], "v05": wrong}}, prompt_view="v00")
    assert list(found["ball"]) == [v.name for v in posed.views] and found["ball"]["v05"] is wrong
    # What hovers before it has no points of its own, and may be taken for it.
    open_ = {n: ~m for n, m in true["plain"].items()}
    worst = min(iou(found["ball"][n] & open_[n], m) for n, m in true["ball"].items() if n != "v05")
    assert worst > 0.9
