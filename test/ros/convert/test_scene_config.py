"""What a configuration in a message may say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pw_core.errors import ErrorCode, PWError
from pw_ros.convert.scene_config import NOT_BY_MESSAGE, yaml_to_config
from support.ball_scene import ball_config

SETTINGS: dict[str, Any] = {
    "reconstruct.depth": {"provider": "program", "settings": {"command": ["sh"]}},
    "reconstruct.more_views": {"provider": "gen3c"},
    "reconstruct.views.sam2.checkpoint": "/etc/passwd",
    "refine.provider": "video_diffusion",
    "refine.settings": {"model": "/etc"},
}


def text(path: str, value: Any) -> str:
    fields: dict[str, Any] = ball_config().model_dump(mode="json", exclude_unset=True)
    part = fields
    *parents, name = path.split(".")
    for parent in parents:
        part = part.setdefault(parent, {})
    part[name] = value
    return yaml.safe_dump(fields)


@pytest.mark.parametrize("path", NOT_BY_MESSAGE)
def test_programs_and_files_are_those_of_the_nodes_own_configurations(path: str) -> None:
    with pytest.raises(PWError, match=rf"config_yaml: {path} would run a program or read a file") as caught:
        yaml_to_config(text(path, SETTINGS[path]))
    assert caught.value.code == ErrorCode.INVALID_CONFIG


def test_what_names_neither_is_taken_and_a_photo_is_passed_over() -> None:
    assert yaml_to_config(text("refine.iterations", 7)).refine.iterations == 7
    assert yaml_to_config(text("refine.provider", "observed")).refine.provider == "observed"
    assert yaml_to_config(text("photo", "/etc/passwd")).photo == ""


@pytest.mark.parametrize("bad", ["name: [", "{name: x, colour: red}", "!!python/object/apply:os.system [ls]", "7"])
def test_what_is_no_configuration_is_refused(bad: str) -> None:
    with pytest.raises(PWError) as caught:
        yaml_to_config(bad)
    assert caught.value.code == ErrorCode.INVALID_CONFIG
