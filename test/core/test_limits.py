"""What is above a limit is refused before any work, and no error repeats what it was given without end."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.appearance import check_view
from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, PWError, ReconstructError
from pw_core.gaussians import Camera
from pw_core.limits import LIMITS, shortened
from pw_core.reconstruct.image import check_photo
from pw_core.reconstruct.inputs import Inputs
from pw_core.store.names import check_name

SCENE = {
    "name": "clay", "camera": {"height_m": 0.5, "pitch_deg": 30, "hfov_deg": 50}, "table": {"edge_m": 1},
    "entities": [{"name": "ball", "material": {"model": "elastic"}, "prompt": {"box": [10, 10, 90, 90]}}],
}  # fmt: skip


@pytest.mark.parametrize("text", ["x" * 33_000_000, "é" * 2000, "短" * 1000, "\ud800" * 3000])
def test_errors_are_cut_to_a_kilobyte(text: str) -> None:
    said = str(ReconstructError(f"no such scene: {text}"))
    assert len(said.encode("utf-8", "replace")) <= LIMITS.error_bytes
    assert said.startswith("no such scene: ") and said.endswith(f"({len(text) + 15} characters)")
    assert len(str(PWError(f"images[0]: {said}")).encode("utf-8", "replace")) <= LIMITS.error_bytes


def test_what_is_short_stays_as_it_is() -> None:
    assert shortened("é" * 500) == "é" * 500 and shortened("") == ""


def refusal(call) -> tuple[int, str]:
    began = time.process_time()
    with pytest.raises(PWError) as caught:
        call()
    assert time.process_time() - began < 10  # minutes, where work comes before the check
    assert len(str(caught.value)) <= LIMITS.error_bytes
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "x" * 1_000_000}, "name"),
        ({"title": "x" * 5000}, "title"),
        ({"entities": SCENE["entities"] * 101}, "entities"),
        ({"entities": [{**SCENE["entities"][0], "name": "x" * 101}]}, "entities.0.name"),
        ({"entities": [SCENE["entities"][0] | {"prompt": {"box": [0, 0, 9, 9], "points": [[1, 1]] * 1001}}]}, "points"),
        ({"camera": {**SCENE["camera"], "height_m": 1e9}}, "height_m"),
        ({"frame_interval_s": 5e-324}, "frame_interval_s"),
        ({"simulation": {"margin_m": 1e300}}, "margin_m"),
        ({"simulation": {"substep_s": 5e-324}}, "substep_s"),
        ({"simulation": {"gravity_m_s2": 10**400}}, "gravity_m_s2"),
        ({"refine": {"seed": 2**64}}, "seed"),
        ({"rounds": [{"duration": 1e9}]}, "duration"),
    ],
)
def test_scenes_beyond_the_limits(change: dict, word: str) -> None:
    SceneConfig.parse(SCENE)
    code, text = refusal(lambda: SceneConfig.parse({**SCENE, **change}))
    assert code == ErrorCode.INVALID_CONFIG and word in text


POSE = {"position": [0, 0, 0]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "tool", "entity": "pin", "poses": [POSE] * 200_000, "times": list(range(200_000))}, "poses"),
        ({"type": "tool", "entity": "pin", "poses": [POSE] * 3, "times": [0, 2, 1]}, r"times[2] is 1 after 2"),
        ({"type": "push", "magnitude": 1, "direction": [1e300, 0, 0], "center": [0, 0, 0], "radius": 1}, "direction"),
        ({"type": "push", "magnitude": 1e300, "direction": [1, 0, 0], "center": [0, 0, 0], "radius": 1}, "magnitude"),
        ({"type": "poke", "magnitude": 1, "direction": [1, 0, 0], "center": [0, 0, 0], "radius": 1, "duration": 5e-324},
         "duration"),
        ({"type": "wind", "magnitude": 1, "direction": [1, 0, 0], "name": "x" * 1_000_000}, "name"),
    ],
)  # fmt: skip
def test_actions_beyond_the_limits(change: dict, word: str) -> None:
    code, text = refusal(lambda: parse_action({"duration": 1, **change}))
    assert code == ErrorCode.INVALID_ACTION and word in text


def test_names_beyond_the_limits() -> None:
    code, text = refusal(lambda: check_name("x" * 1_000_000, what="scene"))
    assert code == ErrorCode.INVALID_NAME and "100 letters" in text


def test_pictures_beyond_the_limits(tmp_path: Path, monkeypatch) -> None:
    huge = np.broadcast_to(np.uint8(0), (16_000, 16_000))
    code, text = refusal(lambda: check_photo(huge))
    assert code == ErrorCode.INVALID_IMAGE and "pixels in all" in text
    import cv2

    for k in range(2):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.zeros((64, 64), np.uint8))
    few = type(LIMITS)(request_pixels=5000)
    monkeypatch.setattr("pw_core.reconstruct.inputs._views.__kwdefaults__", {"limits": few})
    code, text = refusal(lambda: Inputs.load(tmp_path))
    assert code == ErrorCode.INVALID_IMAGE and "5000 pixels" in text


@pytest.mark.parametrize("change", ["size", "empty", "nan", "focal", "pose"])
def test_views_that_cannot_be_drawn(change: str) -> None:
    K, viewmat, size = np.diag([50.0, 50.0, 1.0]), np.eye(4), (64, 48)
    if change == "size":
        size = (8000, 8000)
    elif change == "empty":
        size = (0, 48)
    elif change == "nan":
        K[0, 2] = np.nan
    elif change == "focal":
        K[1, 1] = -1
    else:
        viewmat[0, 0] = 2
    check_view(Camera("c", np.diag([50.0, 50.0, 1.0]), np.eye(4), 64, 48))
    code, text = refusal(lambda: check_view(Camera("c", K, viewmat, *size)))
    assert code == ErrorCode.INVALID_VIEW and "'c'" in text
