"""CogVideoX image-to-video with a LoRA, loaded from local folders through diffusers; never from the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pw_core.errors import ErrorCode, RefineError

PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
WHERE_MODEL = "the diffusers folder of CogVideoX-5B image-to-video (published as CogVideoX-5b-I2V)"
WHERE_LORA = "a Go-with-the-Flow LoRA for it (published as I2V5B_final_i38800_nearest_lora_weights.safetensors)"
MEMORY = ("none", "model", "sequential")
DTYPES = ("auto", "bfloat16", "float16", "float32")


def check_model(model: Path | str) -> Path:
    """The folder, or RefineError (MISSING_MODEL) that says which part of it is not there."""
    path = Path(model)
    if not str(model) or not path.is_dir():
        raise RefineError(
            f"video_diffusion: setting 'model': there is no folder '{path}'; expected {WHERE_MODEL}, downloaded by you",
            code=ErrorCode.MISSING_MODEL,
        )
    if not (path / "model_index.json").is_file():
        raise RefineError(
            f"video_diffusion: setting 'model': {path} has no model_index.json; expected {WHERE_MODEL}",
            code=ErrorCode.MISSING_MODEL,
        )
    for part in PARTS:
        if not (path / part).is_dir():
            raise RefineError(
                f"video_diffusion: setting 'model': {path} has no folder '{part}'; expected {WHERE_MODEL}, whole",
                code=ErrorCode.MISSING_MODEL,
            )
        if part in PARTS[:3] and not list((path / part).glob("*.safetensors")):
            raise RefineError(
                f"video_diffusion: setting 'model': {path / part} has no *.safetensors; other kinds of weights are not "
                "read",
                code=ErrorCode.MISSING_MODEL,
            )
    return path


def check_lora(lora: Path | str | None) -> Path | None:
    """The LoRA's file, or RefineError (MISSING_MODEL)."""
    if lora is None:
        return None
    path = Path(lora)
    if path.suffix != ".safetensors" or not path.is_file():
        raise RefineError(
            f"video_diffusion: setting 'lora': there is no file '{path}'; expected a .safetensors file, {WHERE_LORA}",
            code=ErrorCode.MISSING_MODEL,
        )
    return path


@contextmanager
def usable_torchvision() -> Iterator[None]:
    """transformers imports torchvision wherever it finds it, and fails where that was built for another torch: then it
    is hidden from what is imported meanwhile. Nothing that a video needs uses it."""
    try:
        import torchvision  # noqa: F401

        broken = False
    except ImportError:
        broken = False
    except RuntimeError:  # "operator torchvision::nms does not exist"
        broken = True
    if not broken:
        yield
        return
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
    sys.modules["torchvision"] = None  # type: ignore[assignment]  # importlib's sign for: is not there
    try:
        yield
    finally:
        del sys.modules["torchvision"]


def load(
    model: Path | str, *, lora: Path | str | None, lora_scale: float, device: str, dtype: str, memory: str, tiling: bool
) -> Any:
    """A ready `CogVideoXImageToVideoPipeline`, the LoRA fused into its transformer.

    Raises:
        RefineError: MISSING_MODEL where folder, file or the libraries are not there, or cannot be read.
    """
    path, lora_path = check_model(model), check_lora(lora)
    import torch

    try:
        with usable_torchvision():
            from diffusers import CogVideoXImageToVideoPipeline
            from diffusers.utils import logging

            logging.disable_progress_bar()
    except (ImportError, RuntimeError) as error:
        raise RefineError(
            f"video_diffusion needs diffusers, transformers, peft and accelerate (pip install "
            f"'perpetual-wonder[video]'): {error}",
            code=ErrorCode.MISSING_MODEL,
        ) from error
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    try:
        with usable_torchvision():
            pipe = CogVideoXImageToVideoPipeline.from_pretrained(
                path, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True
            )
            if lora_path is not None:
                pipe.load_lora_weights(lora_path.parent, weight_name=lora_path.name, local_files_only=True)
                # Fused: a LoRA of rank 2048 beside its transformer would take gigabytes and time.
                pipe.fuse_lora(components=["transformer"], lora_scale=lora_scale)
                pipe.unload_lora_weights()
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, ImportError) as error:
        raise RefineError(
            f"video_diffusion: {path}{'' if lora_path is None else f' with {lora_path}'} cannot be loaded: {error}",
            code=ErrorCode.MISSING_MODEL,
        ) from error
    if pipe.transformer.config.patch_size_t is not None:
        raise RefineError(
            f"video_diffusion: {path} is of the CogVideoX 1.5 family, for which the LoRA was not made; expected "
            f"{WHERE_MODEL}",
            code=ErrorCode.MISSING_MODEL,
        )
    if tiling:
        pipe.vae.enable_tiling()
        pipe.vae.enable_slicing()
    if memory == "sequential" and not device.startswith("cpu"):
        pipe.enable_sequential_cpu_offload(device=device)
    elif memory == "model" and not device.startswith("cpu"):
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe
