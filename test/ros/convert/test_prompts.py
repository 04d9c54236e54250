"""Entity prompts laid over a scene configuration."""

from pathlib import Path

import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")

from diagnostic_msgs.msg import KeyValue
from geometry_msgs.msg import Point

from pw_core.config import SceneConfig
from pw_core.errors import SceneError
from pw_msgs.msg import EntityPrompt, ErrorCodes
from pw_ros.convert import prompts
from pw_ros.convert.geometry import ConversionError

DUMPLING = Path(__file__).parents[3] / "config/scenes/dumpling.yaml"


@pytest.fixture
def config() -> SceneConfig:
    return SceneConfig.load(DUMPLING)


def test_no_prompts_leave_the_configuration_alone(config: SceneConfig) -> None:
    assert prompts.with_prompts(config, []) is config


def test_a_box_replaces_only_the_box(config: SceneConfig) -> None:
    names = [e.name for e in config.entities]
    asked = [EntityPrompt(name=name, box=[10.0, 20.0, 110.0, 90.0]) for name in names]
    got = prompts.with_prompts(config, asked)
    assert [e.name for e in got.entities] == names
    for before, after in zip(config.entities, got.entities, strict=True):
        assert after.prompt.box == (10, 20, 110, 90)
        assert after.material == before.material
        assert after.prompt.points == before.prompt.points
    assert got.rounds == config.rounds


def test_an_entity_that_is_not_named_is_left_out_with_its_rounds(config: SceneConfig) -> None:
    keep = config.entities[0]
    got = prompts.with_prompts(config, [EntityPrompt(name=keep.name)])
    assert [e.name for e in got.entities] == [keep.name]
    gone = {e.name for e in config.entities[1:]}
    assert any(a.entity in gone for r in config.rounds for a in r.actions), "the scene no longer tests this"
    assert got.rounds == ()


def test_a_new_entity_with_points_and_material(config: SceneConfig) -> None:
    prompt = EntityPrompt(
        name="lump", material="plastic", box=[0.0, 0.0, 50.0, 50.0],
        points=[Point(x=20.0, y=21.0, z=1.0), Point(x=1.0, y=2.0)],
        material_params=[KeyValue(key="youngs_modulus_pa", value="9000")], depth_ratio=0.5,
    )  # fmt: skip
    (entity,) = prompts.with_prompts(config, [prompt]).entities
    assert entity.prompt.points == ((20, 21),)
    assert entity.prompt.negative_points == ((1, 2),)
    assert (entity.material.model, entity.material.youngs_modulus_pa, entity.depth_ratio) == ("plastic", 9000, 0.5)


def test_another_material_forgets_the_parameters_of_the_one_before() -> None:
    base = {"name": "a", "material": {"model": "elastic", "youngs_modulus_pa": 1e6}, "prompt": {"box": [0, 0, 9, 9]}}
    fields = prompts.prompt_to_fields(EntityPrompt(name="a", material="liquid"), base=base)
    assert fields["material"] == {"model": "liquid"}
    assert base["material"]["youngs_modulus_pa"] == 1e6


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (EntityPrompt(name="a", box=[1.0, 2.0, 3.0]), "3 numbers"),
        (EntityPrompt(name="a", kind="cloud", material="liquid"), "cloud"),
        (EntityPrompt(name="a", kind="rigid", material="liquid"), "liquid"),
        (EntityPrompt(name="a", kind="deformable", material="rigid"), "rigid"),
        (EntityPrompt(name="a", material_params=[KeyValue(key="friction", value="much")]), "friction"),
    ],
)
def test_bad_prompts_are_refused(prompt: EntityPrompt, says: str) -> None:
    with pytest.raises(ConversionError, match=says) as caught:
        prompts.prompt_to_fields(prompt)
    assert caught.value.code == ErrorCodes.INVALID_PROMPT


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (EntityPrompt(name="lump", material="plastic"), "prompt"),
        (EntityPrompt(name="lump", box=[0.0, 0.0, 9.0, 9.0]), "material"),
        (EntityPrompt(name="lump", material="gas", box=[0.0, 0.0, 9.0, 9.0]), "material.model"),
    ],
)
def test_an_incomplete_new_entity_is_refused_by_its_field(config: SceneConfig, prompt: EntityPrompt, says: str) -> None:
    with pytest.raises(SceneError, match=says) as caught:
        prompts.with_prompts(config, [prompt])
    assert caught.value.code == ErrorCodes.INVALID_CONFIG
