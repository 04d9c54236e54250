"""Configurations: three scenes load, and a typo is named by its path."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pw_core.actions import parse_action
from pw_core.config import RefineConfig, SceneConfig
from pw_core.errors import ErrorCode, RolloutError, SceneError

SCENES = sorted((Path(__file__).parents[2] / "config" / "scenes").glob("*.yaml"))


def fields() -> dict:
    return yaml.safe_load(next(p for p in SCENES if p.stem == "jam").read_text())


@pytest.mark.parametrize("path", SCENES, ids=lambda p: p.stem)
def test_scenes_load_and_find_their_photo(path: Path) -> None:
    config = SceneConfig.load(path)
    assert config.name == path.stem and Path(config.photo).is_file() and len(config.rounds) == 3
    assert all(r.duration >= 0.5 for r in config.rounds)


def test_three_scenes_of_three_materials() -> None:
    models = {e.material.model for p in SCENES for e in SceneConfig.load(p).entities}
    assert models == {"liquid", "elastic", "plastic", "rigid"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda f: f["camera"].update(heigth_m=1), "camera.heigth_m"),
        (lambda f: f["entities"][0]["material"].update(model="jelly"), "entities.0.material.model"),
        (lambda f: f["entities"][0]["prompt"].update(box=[5, 5, 1, 1]), "entities.0.prompt.box"),
        (lambda f: f["rounds"][1]["actions"][0].update(direction=[0, 0, 0]), "rounds.1.actions.0.wind"),
        (lambda f: f["simulation"].update(particles=float("nan")), "simulation.particles"),
    ],
)
def test_faults_are_named_by_their_path(change, path: str) -> None:
    f = fields()
    change(f)
    with pytest.raises(SceneError) as error:
        SceneConfig.parse(f)
    assert path in str(error.value) and error.value.code == ErrorCode.INVALID_CONFIG


def test_a_key_that_is_none_is_told_with_the_one_that_was_meant_and_no_fault_hides_in_another() -> None:
    f = fields()
    f["camera"]["heigth_m"] = 1
    f["light"] = {"direction": [0, 0, -1]}
    f["entities"] = [f["entities"][0] | {"name": "my jam"}]
    f["rounds"][0]["actions"] = [{"type": "push", "magnitud": 1}]
    with pytest.raises(SceneError) as error:
        SceneConfig.parse(f)
    said = str(error.value)
    assert "camera.heigth_m: there is no such key; did you mean 'height_m'?" in said
    assert "light: there is no such key; there are camera, entities," in said
    assert "magnitud: there is no such key; did you mean 'magnitude'?" in said
    assert "entities.0.name" in said and "at least 1 item" not in said
    with pytest.raises(SceneError, match=r"entities: .* at least 1 item"):
        SceneConfig.parse(fields() | {"entities": [], "rounds": []})


def test_unknown_entity_of_an_action() -> None:
    f = fields()
    f["rounds"][1]["actions"][0]["entity"] = "toast"
    with pytest.raises(SceneError, match="'toast', which is none of"):
        SceneConfig.parse(f)


def test_broken_yaml_and_missing_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: [")
    for name in ("x.yaml", "nowhere.yaml"):
        with pytest.raises(SceneError, match=name):
            SceneConfig.load(tmp_path / name)


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "blow", "duration": 1},
        {"type": "wind", "duration": -1, "direction": [1, 0, 0], "magnitude": 1},
        {"type": "wind", "duration": float("nan"), "direction": [1, 0, 0], "magnitude": 1},
        {"type": "push", "duration": 1, "direction": [1, 0, 0], "magnitude": 1, "center": [0, 0, 0], "radius": 0},
        {"type": "tool", "duration": 1, "entity": "pin", "poses": [{"position": [0, 0, 0]}], "times": [0, 1]},
    ],
)
def test_bad_actions(bad: dict) -> None:
    with pytest.raises(RolloutError) as error:
        parse_action(bad)
    assert error.value.code == ErrorCode.INVALID_ACTION


def test_nouns_load_without_heavy_modules() -> None:
    code = (
        "import sys, pw_core.scene, pw_core.store, pw_core.errors;"
        "heavy = {'torch', 'genesis', 'gsplat', 'cv2', 'rclpy'} & set(sys.modules); assert not heavy, heavy"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.perf_counter() - began < 30  # a hang, not a benchmark


def test_strengths_are_each_view_s_own_or_follow_the_first() -> None:
    config = RefineConfig(strength=0.6, strengths=(0.9, None))
    assert [config.strength_of(v) for v in range(3)] == [0.9, 0.3, 0.3]
    assert [RefineConfig(strength=0.6).strength_of(v) for v in range(2)] == [0.6, 0.3]
    with pytest.raises(ValueError, match=r"strengths\.1"):
        RefineConfig(strengths=(0.5, 1.5))
