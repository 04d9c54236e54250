"""What a reconstruction says of itself."""

from __future__ import annotations

import math
from dataclasses import replace

from pw_core.reconstruct.report.outcome import BY_CONFIGURATION, Outcome
from support.ball_scene import ball_scene


def test_every_route_s_figures_are_found_and_nothing_is_made_up() -> None:
    scene = ball_scene()
    none = Outcome.of(replace(scene, provenance={}))
    assert math.isnan(none.psnr_db) and none.scale_from == BY_CONFIGURATION and not none.left_out and not none.doubts
    one = Outcome.of(replace(scene, provenance={"psnr_db": 31.0, "doubts": ["the mask is cut by its box"]}))
    assert one.good and Outcome(psnr_db=29.96).good and not Outcome(psnr_db=29.9).good and not none.good
    assert one.psnr_db == 31.0 and one.doubts == ("the mask is cut by its box",)
    bound, poses = {"bound": {"psnr_db": 27.5}}, {"not_registered": ["a"]}
    many = {"figures": bound, "plane": {"scale_from": "depth"}, "poses": poses}
    assert Outcome.of(replace(scene, provenance=many)) == Outcome(psnr_db=27.5, scale_from="depth", left_out=("a",))
