"""Masks are propagated to a view without one by the sparse points that lie in the others."""

from __future__ import annotations

from pw_core.reconstruct.segmentation.propagate import propagate
from support.ball import iou
from support.two_balls import two_balls


def test_points_find_the_ball_in_the_view_that_lacks_its_mask_and_given_masks_stay() -> None:
    posed, true, entities = two_balls(count=6)
    known = {"ball": {n: m for n, m in true["ball"].items() if n != "v03"}, "plain": true["plain"]}
    found = propagate(posed, entities, known, prompt_view="v00")
    assert list(found) == ["ball", "plain"] and list(found["ball"]) == [v.name for v in posed.views]
    assert iou(found["ball"]["v03"], true["ball"]["v03"]) > 0.85
    assert not (found["ball"]["v03"] & true["plain"]["v03"]).any()
    assert all(found["ball"][n] is m for n, m in known["ball"].items())
