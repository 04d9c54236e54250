"""A model that is not whole is refused with what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pw_core.errors import ErrorCode, RefineError
from pw_core.refine.targets.cogvideo import PARTS, check_lora, check_model


def test_the_missing_part_of_a_model_is_named(tmp_path: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(RefineError, match=words) as caught:
            check_model(tmp_path / "model")
        assert caught.value.code == ErrorCode.MISSING_MODEL

    refused("there is no folder")
    (tmp_path / "model").mkdir()
    refused("no model_index.json")
    (tmp_path / "model/model_index.json").write_text("{}")
    for part in PARTS:
        refused(f"no folder '{part}'" if part == PARTS[0] else rf"no folder '{part}'|no \*.safetensors")
        (tmp_path / "model" / part).mkdir()
        (tmp_path / "model" / part / "weights.safetensors").touch()
    assert check_model(tmp_path / "model") == tmp_path / "model"


def test_a_lora_is_a_safetensors_file(tmp_path: Path) -> None:
    assert check_lora(None) is None
    (tmp_path / "a.bin").touch()
    for name in ("a.bin", "b.safetensors"):
        with pytest.raises(RefineError, match=r"expected a \.safetensors file"):
            check_lora(tmp_path / name)
    (tmp_path / "b.safetensors").touch()
    assert check_lora(tmp_path / "b.safetensors") == tmp_path / "b.safetensors"
