"""Pictures that are kept are those that would be drawn, and never take more than they may."""

from __future__ import annotations

import numpy as np

from pw_core.gaussians import Camera
from pw_core.studio.kept import KeptOptions, KeptPictures

CAMERA = Camera.above_table(height_m=0.3, pitch_deg=40, hfov_deg=50, width=96, height=64)
SIZE = 96 * 64 * 3


def picture(grey: int) -> np.ndarray:
    return np.full((64, 96, 3), grey, np.uint8)


def test_what_was_asked_for_longest_ago_leaves_first() -> None:
    kept = KeptPictures(options=KeptOptions(most_bytes=2 * SIZE))
    for k in (1, 2):
        kept.put((f"s:{k}", "alone", "colours"), CAMERA, picture(k))
    assert kept.get(("s:1", "alone", "colours"), CAMERA).max() == 1
    kept.put(("s:3", "alone", "colours"), CAMERA, picture(3))
    assert kept.bytes == 2 * SIZE and len(kept) == 2
    assert not kept.has(("s:2", "alone", "colours"), CAMERA) and kept.has(("s:1", "alone", "colours"), CAMERA)
    assert kept.room_for(2, CAMERA) and not kept.room_for(3, CAMERA)


def test_another_camera_is_another_picture_and_what_comes_once_is_not_kept() -> None:
    kept = KeptPictures()
    kept.put((), CAMERA, picture(1))
    assert len(kept) == 0 == kept.bytes
    key = ("s:1", "alone", "colours")
    kept.put(key, CAMERA, picture(1))
    kept.put(key, CAMERA, picture(2))
    assert kept.bytes == SIZE and kept.get(key, CAMERA).max() == 2
    assert kept.get(key, CAMERA.resized(48, 32)) is None
