"""Depth of a single photo by a model of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pw_core.config import ProviderConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.providers.types import DEPTH, DepthGuess, load_provider
from support.ball_photo import (
    HEIGHT,
    WIDTH,
    ball_config,
    ball_photo,
)  # fmt: skip


def provider(name: str, **settings: Any) -> Any:
    return load_provider(ProviderConfig(provider=name, settings=settings), DEPTH)


def run(made: Any, tmp_path: Path) -> DepthGuess:
    guess: DepthGuess = made.depth(ball_photo(), folder=tmp_path, progress=lambda s, f: None)
    return guess


def failed(made: Any, tmp_path: Path, match: str, code: ErrorCode = ErrorCode.RECONSTRUCT_FAILED) -> None:
    with pytest.raises(ReconstructError, match=match) as caught:
        run(made, tmp_path)
    assert caught.value.code == code and not list(tmp_path.glob("depth_*"))


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from pw_core.reconstruct.torchvision_schemas import declare_operators

    declare_operators()
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=8,
    ))  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_model_of_transformers_is_read_from_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    made = provider("transformers", model=str(tiny_model), device="cpu")
    guess, again = run(made, tmp_path), run(made, tmp_path)
    assert guess.values.shape == (HEIGHT, WIDTH) and guess.kind == "disparity"
    assert np.ptp(guess.values) > 0 and np.array_equal(guess.values, again.values)
    assert run(provider("transformers", model=str(tiny_model), kind="depth"), tmp_path).kind == "depth"
    fields = ball_config().model_dump(mode="json")
    fields["reconstruct"]["depth"] = {"provider": "transformers", "settings": {"model": str(tiny_model)}}
    with pytest.raises(ReconstructError, match="puts it on the table"):  # its weights are noise, and that is said
        reconstruct(type(ball_config()).parse(fields), Inputs.of_photo(ball_config(), ball_photo()))


@pytest.mark.slow
def test_folders_that_hold_no_model(tiny_model: Path, tmp_path: Path) -> None:
    missing = ErrorCode.MISSING_WEIGHTS
    failed(provider("transformers"), tmp_path, r"reconstruct\.depth\.settings\.model: none is named", missing)
    failed(provider("transformers", model=str(tmp_path)), tmp_path, "holds no config.json", missing)
    (tmp_path / "config.json").write_text((tiny_model / "config.json").read_text())
    failed(provider("transformers", model=str(tmp_path)), tmp_path, "holds no whole depth-estimation model", missing)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    failed(provider("transformers", model=str(tmp_path)), tmp_path, "holds no whole depth-estimation model", missing)
