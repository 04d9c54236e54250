"""Depth of a single photo from any depth-estimation model of `transformers`, in a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pw_core.config import Part
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.progress import Progress
from pw_core.reconstruct.providers.types import DepthGuess, Kind, settings_of
from pw_core.reconstruct.types import Rgb

KEY = "reconstruct.depth.settings"
METRIC = {"zoedepth", "depth_pro", "glpn", "prompt_depth_anything"}
"""Model types that predict distances; the others predict disparities, up to scale and offset."""


class DepthModelSettings(Part):
    """Which model, and where it runs."""

    model: str = Field(default="", description="folder with config.json, preprocessor_config.json and *.safetensors")
    kind: Kind = Field(default="auto", description="what it predicts; auto: as its configuration says")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class DepthModel:
    """One forward pass of the model."""

    name = "transformers"

    def __init__(self, **settings: Any) -> None:
        self.settings = settings_of(DepthModelSettings, settings, key=KEY)

    def depth(self, photo: Rgb, *, folder: Path, progress: Progress) -> DepthGuess:
        """Of the photo, at its size.

        Raises:
            ReconstructError (MISSING_WEIGHTS): no `transformers`, no folder, or none of a depth-estimation model.
        """
        import torch

        progress("depth: loading the model", 0.0)
        model, processor = self._load()
        device = self.settings.device
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        model = model.to(device).eval()
        progress("depth", 0.3)
        with torch.inference_mode():
            given = processor(images=photo, return_tensors="pt").to(device)
            found = model(**given).predicted_depth
            found = found.reshape(1, 1, *found.shape[-2:]).float()
            size = photo.shape[:2]
            found = torch.nn.functional.interpolate(found, size=size, mode="bicubic", align_corners=False)
        values = found[0, 0].cpu().numpy().astype(np.float32)
        progress("depth", 1.0)
        return DepthGuess(np.where(np.isfinite(values), values, 0), self._kind(model.config))

    def _load(self) -> tuple[Any, Any]:
        folder = Path(self.settings.model).expanduser()
        if not self.settings.model or not (folder / "config.json").is_file():
            what = "none is named" if not self.settings.model else f"{folder} holds no config.json"
            raise ReconstructError(
                f"{KEY}.model: {what}; give the folder of a depth-estimation model as transformers saves it (Depth "
                "Anything, DPT, ZoeDepth, Depth Pro ...)", code=ErrorCode.MISSING_WEIGHTS,
            )  # fmt: skip
        try:
            from pw_core.reconstruct.torchvision_schemas import declare_operators

            declare_operators()
            from transformers import AutoImageProcessor, AutoModelForDepthEstimation
        except ImportError as error:
            raise ReconstructError(f"depth by '{self.name}' needs `pip install 'perpetual-wonder[video]'`: {error}",
                                   code=ErrorCode.MISSING_WEIGHTS) from None  # fmt: skip
        try:
            model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            return model, AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # transformers, safetensors and json raise many kinds for a folder that is not one
            raise ReconstructError(f"{KEY}.model: {folder} holds no whole depth-estimation model: {str(error)[:300]}",
                                   code=ErrorCode.MISSING_WEIGHTS) from None  # fmt: skip

    def _kind(self, config: Any) -> Kind:
        if self.settings.kind != "auto":
            return self.settings.kind
        said = getattr(config, "depth_estimation_type", "")
        return "depth" if said == "metric" or config.model_type in METRIC else "disparity"
