"""Depth of a single photo from an external program, in an environment of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from pw_core.config import Part
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32
from pw_core.progress import Progress
from pw_core.reconstruct.providers.program import run_program
from pw_core.reconstruct.providers.types import DepthGuess, Kind, settings_of
from pw_core.reconstruct.types import Rgb

KEY = "reconstruct.depth.settings"


class DepthProgramSettings(Part):
    """How the program is called."""

    command: tuple[str, ...] = Field(min_length=1, description="{image} and {output} in it become the two files' paths")
    output: str = Field(default="depth.npy", pattern=r"^[A-Za-z0-9_-]+\.(npy|png)$", description=".npy or 16 bit .png")
    kind: Kind = Field(default="auto", description="what it writes; auto: what fits the table better")
    folder: str = Field(default="", description="in which it runs")
    env: dict[str, str] = Field(default_factory=dict)
    timeout_s: float = Field(default=0.0, ge=0, description="0: none")

    @field_validator("command")
    @classmethod
    def _both_files(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        whole = " ".join(command)
        if "{image}" not in whole or "{output}" not in whole:
            raise ValueError("the command must hold {image} (the photo, a PNG) and {output} (the file to write)")
        return command


class DepthProgram:
    """The photo as a file in, a depth file out."""

    name = "program"

    def __init__(self, **settings: Any) -> None:
        self.settings = settings_of(DepthProgramSettings, settings, key=KEY)

    def depth(self, photo: Rgb, *, folder: Path, progress: Progress) -> DepthGuess:
        """What it wrote, at the photo's size.

        Raises:
            ReconstructError: MISSING_WEIGHTS (no program), RECONSTRUCT_FAILED (it failed, or wrote no depth).
        """
        import cv2

        s = self.settings
        place = Path(tempfile.mkdtemp(prefix="depth_", dir=folder))
        try:
            image, output = place / "photo.png", place / s.output
            cv2.imwrite(str(image), photo[..., ::-1])
            command = [c.replace("{image}", str(image)).replace("{output}", str(output)) for c in s.command]
            run_program(command, log=place / "log", what="depth", key=KEY, progress=progress, folder=s.folder,
                        env=s.env, timeout_s=s.timeout_s)  # fmt: skip
            values = self._read(output)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        size = photo.shape[1], photo.shape[0]
        # The nearest pixel: a mean across an outline is a point in the air.
        return DepthGuess(np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST), np.float32), s.kind)

    def _read(self, file: Path) -> F32:
        import cv2

        def wrong(what: str) -> ReconstructError:
            return ReconstructError(f"depth: '{self.settings.command[0]}' {what}", code=ErrorCode.RECONSTRUCT_FAILED)

        if not file.is_file():
            raise wrong(f"ended without writing {file.name}")
        try:
            found = np.load(file, allow_pickle=False) if file.suffix == ".npy" else cv2.imread(str(file), -1)
        except (OSError, ValueError, EOFError, cv2.error) as error:
            raise wrong(f"wrote a {file.name} that cannot be read: {error}") from None
        if found is None or found.ndim != 2 or found.dtype.kind not in "uif":
            what = "no picture" if found is None else f"{found.dtype} of shape {found.shape}"
            raise wrong(f"wrote {what} to {file.name}: one number a pixel is wanted, (H, W)")
        values = found.astype(np.float32)
        values = np.where(np.isfinite(values) & (values > 0), values, 0)
        if not values.any():
            raise wrong(f"wrote no value above 0 to {file.name}")
        return np.asarray(values, np.float32)
