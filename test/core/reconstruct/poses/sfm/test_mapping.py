"""Features, matches and the first map: what is asked of pycolmap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ReconstructError
from pw_core.reconstruct import Inputs, ViewInput
from pw_core.reconstruct.poses.sfm.mapping import MappingOptions, enlargement, map_pictures
from support.ball import camera, shot, shots


def test_small_pictures_are_enlarged_where_features_are_hard_to_find() -> None:
    inputs, _ = shots(2, depth=False)
    assert [enlargement(inputs, level) for level in (0, 1, 2)] == [1, 2, 2]
    assert enlargement(inputs, 1, options=MappingOptions(enlarge_below_px=100)) == 1


@pytest.mark.slow
def test_mapping_asks_the_matches(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    views = []
    for k in range(6):
        cam = camera(0.16 * k, height=0.24 + 0.05 * (k % 3), name=f"v{k}.png", enlarged=2)
        views.append(ViewInput(cam.name, shot(cam, grain=0.4)[0], None, cam.K, cam.viewmat))
    given = Inputs(tuple(replace(v, viewmat=np.linalg.inv(v.viewmat)) for v in views))
    with pytest.raises(ReconstructError, match="Read as camera to world"):
        map_pictures(given, ViewsSettings(), tmp_path, lambda s, f: None, level=0)
