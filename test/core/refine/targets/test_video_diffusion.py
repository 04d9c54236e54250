"""The video model's path with random weights: built, saved, loaded by the same code, run on the CPU (item 5)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pw_core.errors import ErrorCode, RefineError
from pw_core.refine.targets.registry import load_provider, provide
from pw_core.refine.targets.video_diffusion import VideoDiffusion, resized
from support.target_request import H, W, make_request
from support.tiny_video import save_lora, save_pipeline

pytestmark = pytest.mark.slow
SIZE: dict[str, Any] = {"height": 32, "width": 64, "steps": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def provider(model: Path) -> VideoDiffusion:
    loaded = load_provider("video_diffusion", model=model, **SIZE)
    assert isinstance(loaded, VideoDiffusion)
    return loaded


def made(provider: VideoDiffusion, **changes: Any) -> np.ndarray:
    return provide(provider, make_request(**{"strengths": (0.5,), **changes})).frames


def later_frames_changed() -> np.ndarray:
    frames = make_request().frames.copy()
    frames[:, 1:] = frames[:, 1:, ::-1]
    return frames


def test_strength_0_gives_the_input_back_through_the_vae(provider: VideoDiffusion) -> None:
    import torch

    request = make_request(count=9, strengths=(0.0,))
    out = provide(provider, request)
    pipe = provider._pipe
    small = resized(request.frames[0], (32, 64))
    pixels = torch.from_numpy(small).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        there = pipe.vae.encode(pixels).latent_dist.mode()
        back = pipe.vae.decode(there).sample[0].permute(1, 2, 3, 0).numpy()
    expected = resized(np.rint(np.clip(back / 2 + 0.5, 0, 1) * 255).astype(np.uint8), (H, W))
    assert np.abs(out.frames[0].astype(int) - expected).max() <= 1  # scaled and unscaled by the VAE's factor
    assert out.valid.all() and out.masks is None


def test_strength_1_does_not_depend_on_the_input(provider: VideoDiffusion) -> None:
    other = later_frames_changed()
    assert np.array_equal(made(provider, strengths=(1.0,)), made(provider, strengths=(1.0,), frames=other))
    assert not np.array_equal(made(provider, strengths=(0.5,)), made(provider, strengths=(0.5,), frames=other))


def test_the_same_seed_gives_the_same_video(provider: VideoDiffusion, model: Path) -> None:
    once = made(provider, seed=3)
    assert np.array_equal(once, made(provider, seed=3))
    assert np.array_equal(once, made(VideoDiffusion(model=model, **SIZE), seed=3))  # loaded anew
    assert not np.array_equal(once, made(provider, seed=4))


def test_motion_prompt_first_frame_and_degradation_count(provider: VideoDiffusion, model: Path) -> None:
    once = made(provider, strengths=(1.0,))
    still = np.zeros_like(make_request().flow)
    first = np.full((1, H, W, 3), 200, np.uint8)
    for change in ({"flow": still}, {"prompt": "jam spreads over the table"}, {"first_frames": first}):
        assert not np.array_equal(once, made(provider, strengths=(1.0,), **change)), change
    forgets = VideoDiffusion(model=model, degradation=1.0, **SIZE)
    assert np.array_equal(made(forgets, strengths=(1.0,)).shape, once.shape)
    assert not np.array_equal(made(forgets, strengths=(1.0,)), once)


def test_strengths_are_per_view_and_progress_rises(provider: VideoDiffusion) -> None:
    seen: list[float] = []
    request = make_request(views=2, strengths=(0.0, 0.75))
    out = provide(provider, request, progress=lambda what, fraction: seen.append(fraction)).frames
    assert np.array_equal(out[0], made(provider, strengths=(0.0,))[0])
    assert not np.array_equal(out[0], out[1])
    assert seen == sorted(seen) and len(seen) == 2 + 3  # three of four steps are run at strength 0.75

    class Stop(Exception):
        pass

    def stop(what: str, fraction: float) -> None:
        if fraction > 0.5:
            raise Stop

    with pytest.raises(Stop):
        provide(provider, request, progress=stop)
    assert np.array_equal(out, provide(provider, request).frames)  # a cancel leaves the model usable


def test_a_lora_changes_the_video_by_its_scale(model: Path, tmp_path: Path) -> None:
    lora = save_lora(tmp_path / "lora.safetensors")
    bare, with_lora, none = (
        made(VideoDiffusion(model=model, **SIZE, **s))
        for s in ({}, {"lora": lora}, {"lora": lora, "lora_scale": 0.0})
    )
    assert not np.array_equal(bare, with_lora)
    assert np.array_equal(bare, none)


def test_the_vae_in_tiles(model: Path) -> None:
    large: dict[str, Any] = {"model": model, "height": 96, "width": 160, "steps": 2}
    tiles, whole = (made(VideoDiffusion(tiling=t, **large), strengths=(0.0,)) for t in (True, False))
    assert not np.array_equal(tiles, whole)  # tiles do overlap here
    # Random weights, and group norms that see one tile: near, not equal.
    assert np.abs(tiles.astype(int) - whole).mean() < 12


def test_any_count_of_frames_up_to_49(model: Path) -> None:
    small = VideoDiffusion(model=model, tiling=False, **SIZE)
    for count in (1, 2, 7):
        assert made(small, count=count).shape == (1, count, H, W, 3)
    with pytest.raises(RefineError, match="found 50 frames, expected at most 49"):
        made(small, count=50)


def test_49_frames(provider: VideoDiffusion) -> None:
    assert made(provider, count=49, strengths=(0.25,)).shape == (1, 49, H, W, 3)


def test_missing_models(model: Path, tmp_path: Path) -> None:
    broken = {}
    for name in ("transformer", "model_index.json"):
        broken[name] = tmp_path / name
        shutil.copytree(model, broken[name])
        part = broken[name] / name
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    pickled = tmp_path / "pickled"
    shutil.copytree(model, pickled)
    next((pickled / "vae").glob("*.safetensors")).rename(pickled / "vae" / "weights.bin")
    for settings, words in (
        ({"model": tmp_path / "none"}, "setting 'model': there is no folder .*none'; expected the diffusers folder"),
        ({"model": ""}, "there is no folder"),
        ({"model": broken["transformer"]}, "has no folder 'transformer'"),
        ({"model": broken["model_index.json"]}, "has no model_index.json"),
        ({"model": pickled}, "vae has no .*safetensors; other kinds"),
        ({"model": model, "lora": tmp_path / "none.safetensors"}, "setting 'lora': there is no file"),
        ({"model": model, "lora": model / "model_index.json"}, "setting 'lora': there is no file"),
    ):
        with pytest.raises(RefineError, match=words) as caught:
            load_provider("video_diffusion", **settings)
        assert caught.value.code == ErrorCode.MISSING_MODEL
    garbled = tmp_path / "garbled.safetensors"
    garbled.write_bytes(b"nothing")
    with pytest.raises(RefineError, match=r"with .*garbled.safetensors cannot be loaded") as caught:
        made(VideoDiffusion(model=model, lora=garbled, **SIZE))
    assert caught.value.code == ErrorCode.MISSING_MODEL


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"degradation": 1.5}, "degradation: found 1.5"), ({"steps": 0}, "steps: found 0"),
        ({"height": 100}, "expected multiples of 16"), ({"memory": "huge"}, "memory: found 'huge'"),
        ({"dtype": "int8"}, "dtype: found 'int8'"),
    ],
)  # fmt: skip
def test_bad_settings(model: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RefineError, match=words):
        VideoDiffusion(model=model, **settings)
