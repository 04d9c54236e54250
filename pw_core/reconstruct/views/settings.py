"""What can be chosen about a reconstruction from many views."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pw_core.config import Part


class Sam2Settings(Part):
    """SAM 2 from a local checkpoint; nothing is downloaded."""

    checkpoint: str = Field(default="", description="path of the .pt or .safetensors file")
    size: Literal["tiny", "small", "base_plus", "large"] = "tiny"


class ViewsSettings(Part):
    """Reconstruction from photos, film, posed images and RGB-D; 0 or empty: chosen by the program and reported."""

    width_px: int = Field(default=640, ge=64, le=4096, description="working width; wider pictures are scaled down")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    model: Literal["3dgs", "2dgs"] = Field(default="3dgs", description="2dgs needs CUDA")
    steps: int = Field(default=2000, ge=10, le=100_000, description="of the photometric fit")
    bind_steps: int = Field(default=240, ge=0, le=20_000, description="of the fit after the move onto particles")
    max_gaussians: int = Field(default=60_000, ge=1000)
    sh_degree: int = Field(default=0, ge=0, le=3)
    holdout_every: int = Field(default=0, ge=0, description="every n-th view, from the first, is kept for measuring")
    checkpoint_every: int = Field(default=250, ge=1, description="steps between checkpoints")
    max_frames: int = Field(default=40, ge=2, description="frames taken from a film")
    matching: Literal["auto", "exhaustive", "sequential"] = "auto"
    mapper: Literal["incremental", "global"] = "incremental"
    shared_camera: bool = True
    frame: Literal["auto", "given", "table"] = Field(
        default="auto", description="world frame with given poses: as given, or with z = 0 on the plane that was found"
    )
    object_size_m: float = Field(default=0.0, ge=0, description="longest extent of the first entity")
    camera_height_m: float = Field(default=0.0, ge=0, description="of the first camera above the plane")
    prompt_view: str = Field(default="", description="file name of the view that the prompts belong to; empty: first")
    masks: Literal["grabcut", "sam2"] = "grabcut"
    sam2: Sam2Settings = Sam2Settings()
    voxels: int = Field(default=112, ge=32, le=512, description="along the longest side of an entity")
