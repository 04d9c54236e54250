"""SAM 2 from a local checkpoint: masks in one view, and followed through many."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import EntityConfig, Sam2Settings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.torchvision_schemas import declare_operators
from pw_core.reconstruct.types import Mask, Rgb, View

_CONFIGS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
_WHERE = "see 'Download Checkpoints' in the README of facebookresearch/sam2"


@dataclass(frozen=True, kw_only=True)
class Sam2Options:
    """How pictures are handed to the video predictor, which reads files."""

    jpeg_quality: int = 97
    """0 to 100: edges are to stay where they are."""


def config_name(size: str) -> str:
    """Of the model of that size, as the sam2 package knows it."""
    return f"configs/sam2.1/sam2.1_hiera_{_CONFIGS[size]}.yaml"


def predictor(settings: Sam2Settings, *, video: bool, device: str = "cpu") -> Any:
    """SAM 2's image predictor, or its video predictor, with the checkpoint's weights.

    Raises:
        ReconstructError (MISSING_WEIGHTS): no checkpoint named, no such file, or one of another model.
    """
    import torch

    file = Path(settings.checkpoint)
    if not settings.checkpoint or not file.is_file():
        raise ReconstructError(
            f"views.sam2.checkpoint: {'none is named' if not settings.checkpoint else f'{file} does not exist'}; masks "
            f"by SAM 2 need the '{settings.size}' checkpoint as a local file: {_WHERE}", code=ErrorCode.MISSING_WEIGHTS,
        )  # fmt: skip
    declare_operators()
    from sam2.build_sam import build_sam2, build_sam2_video_predictor

    name = config_name(settings.size)
    build = build_sam2_video_predictor if video else build_sam2
    model = build(name, None, device=device)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights = load_file(str(file))
        else:
            weights = torch.load(file, map_location="cpu", weights_only=True)["model"]
        model.load_state_dict(weights)
    except Exception as error:  # torch and safetensors raise many kinds for a file that is not one
        raise ReconstructError(
            f"views.sam2.checkpoint: {file} does not hold the weights of SAM 2.1 '{settings.size}': "
            f"{str(error)[:300]}", code=ErrorCode.MISSING_WEIGHTS,
        ) from None  # fmt: skip
    if video:
        return model
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    return SAM2ImagePredictor(model)


def segment_with(found: Any, image: Rgb, entity: EntityConfig, *, scale: float) -> Mask:
    """The entity's pixels (H, W) by the image predictor, from the prompt's box and points."""
    import torch

    points, labels = _points(entity, scale)
    with torch.inference_mode():
        found.set_image(image)
        masks, scores, _ = found.predict(
            point_coords=points if len(points) else None, point_labels=labels if len(points) else None,
            box=np.array(entity.prompt.box) * scale, multimask_output=False,
        )  # fmt: skip
    return np.asarray(masks[int(np.argmax(scores))] > 0)


def segment_all(
    image: Rgb, entities: Sequence[EntityConfig], settings: Sam2Settings, *, scale: float, device: str = "cpu"
) -> list[Mask]:
    """Each entity's pixels (H, W) in one picture; prompts are in pixels of the original, `scale` times as many.

    Raises:
        ReconstructError: MISSING_WEIGHTS; INVALID_PROMPT where nothing is found.
    """
    found = predictor(settings, video=False, device=device)
    masks = [segment_with(found, image, e, scale=scale) for e in entities]
    for e, mask in zip(entities, masks):
        if not mask.any():
            raise ReconstructError(f"entity '{e.name}': SAM 2 finds nothing in box {list(e.prompt.box)}",
                                   code=ErrorCode.INVALID_PROMPT)  # fmt: skip
    return masks


def follow(
    views: Sequence[View], entity: EntityConfig, settings: Sam2Settings, *, prompt_view: str, original_width: int,
    device: str = "cpu", options: Sam2Options = Sam2Options(),
) -> dict[str, Mask]:  # fmt: skip
    """The entity in every view (by name) by the video predictor, prompted in `prompt_view`, followed both ways."""
    import cv2
    import torch

    model = predictor(settings, video=True, device=device)
    names = [v.name for v in views]
    scale = next(v.camera.width for v in views if v.name == prompt_view) / original_width
    points, labels = _points(entity, scale)
    out: dict[str, Mask] = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for i, v in enumerate(views):
            cv2.imwrite(f"{folder}/{i:05d}.jpg", v.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, options.jpeg_quality])
        state = model.init_state(video_path=folder)
        model.add_new_points_or_box(
            state, frame_idx=names.index(prompt_view), obj_id=1, box=np.array(entity.prompt.box) * scale,
            points=points if len(points) else None, labels=labels if len(points) else None,
        )  # fmt: skip
        for reverse in (False, True):
            for index, _, logits in model.propagate_in_video(state, reverse=reverse):
                out[names[index]] = (logits[0, 0] > 0).cpu().numpy()
    return out


def _points(entity: EntityConfig, scale: float) -> tuple[np.ndarray, np.ndarray]:
    p = entity.prompt
    points = np.array([*p.points, *p.negative_points], np.float32).reshape(-1, 2) * scale
    return points, np.array([1] * len(p.points) + [0] * len(p.negative_points), np.int32)
