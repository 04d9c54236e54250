"""What a lifted photo leaves in its folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import trimesh

from pw_core.reconstruct import Inputs, keep_reports, reconstruct
from support.ball_photo import HEIGHT, WIDTH, ball_config, ball_mask, ball_photo


def test_a_photo_leaves_its_mask_meshes_figures_and_a_page_of_every_stage(tmp_path: Path) -> None:
    work, kept = tmp_path / "work", tmp_path / "kept"
    old = work / "masks" / "of_an_earlier_run"
    old.mkdir(parents=True)
    scene = reconstruct(ball_config(), Inputs.of_photo(ball_config(), ball_photo()), folder=work)
    keep_reports(work, kept)
    assert json.loads((kept / "report.json").read_text()) == scene.provenance
    (mask,) = (kept / "masks").glob("*/*.png")
    assert mask.parent.name == "ball"
    own = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 127
    assert (own & ball_mask()).sum() / (own | ball_mask()).sum() > 0.9
    assert trimesh.load(kept / "meshes" / "ball.ply").is_watertight
    page = (kept / "index.html").read_text()
    shown = re.findall(r'<img src="([^"]+)"', page)
    assert len(shown) == len(set(shown)) >= 10
    for file in shown:
        picture = cv2.imread(str(kept / file))
        assert picture.shape == (HEIGHT, WIDTH, 3) and np.ptp(picture) > 50, file
    assert f"{scene.provenance['psnr_db']:.1f} dB; good from 30" in page
    good = "good" if round(scene.provenance["psnr_db"], 1) >= 30 else "doubtful"
    assert f'<tr class="{good}"><th>looks like its photo' in page
    assert "cm³" in page and "turned by +20°" in page
