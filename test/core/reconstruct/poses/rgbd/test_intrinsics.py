"""The metre of a map, by the depth of its pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.errors import ReconstructError
from pw_core.reconstruct import ViewInput
from pw_core.reconstruct.poses.rgbd.intrinsics import IntrinsicsOptions, scale_of
from support.ball import camera, shot
from support.poses import chained

pytest.importorskip("pycolmap")


def test_the_scale_is_what_depth_says_and_what_does_not_belong_is_named() -> None:
    cameras = [camera(2 * np.pi * k / 6, height=0.26, name=f"v{k}.png", enlarged=2) for k in range(6)]
    found = chained(cameras, off_px=0.0)
    views = {c.name: ViewInput(c.name, p, 2.5 * d, c.K) for c in cameras for p, d, _ in [shot(c)]}
    scale, spread = scale_of(found, views)
    assert scale == pytest.approx(2.5, rel=0.02) and spread < 0.05
    other = views | {"v2.png": replace(views["v2.png"], depth=4 * views["v2.png"].depth)}
    with pytest.raises(ReconstructError, match=r"v2.png \(4.* times\) is off what the other pictures say"):
        scale_of(found, other)
    assert scale_of(found, other, options=IntrinsicsOptions(most_scale_deviation=9.0, most_scale_spread=9.0))[0] > 2
    with pytest.raises(ReconstructError, match="only 0 of the points"):
        scale_of(found, {})
