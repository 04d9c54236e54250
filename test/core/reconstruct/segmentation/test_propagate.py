"""A mask in one view is propagated to all others by the sparse points that lie in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.segmentation.propagate import PropagationOptions, propagate
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


def test_too_few_points_name_the_entity_and_what_helps() -> None:
    posed, true, entities = two_balls(count=3)
    seen = {n: i[:0] for n, i in posed.seen.items()}
    nothing = {n: np.zeros_like(m) for n, m in true["ball"].items() if n == "v00"}
    with pytest.raises(ReconstructError, match=r"'ball': only 0 .* propagate its mask from v00 .* use SAM 2") as caught:
        propagate(replace(posed, seen=seen), entities[:1], {"ball": nothing}, prompt_view="v00",
                  options=PropagationOptions())  # fmt: skip
    assert caught.value.code == ErrorCode.INVALID_PROMPT
