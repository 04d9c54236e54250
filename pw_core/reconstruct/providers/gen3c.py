"""Views of a single photo from GEN3C (Ren et al. 2025, arXiv 2503.03751), run as the program that its authors publish.

For each trajectory `gen3c_single_image.py` writes a film that begins with the photo. It runs in an environment of its
own; docs/reconstruct.md says how to set that up.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pw_core.config import Part
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.progress import Progress
from pw_core.reconstruct.providers.program import last_lines, run_program
from pw_core.reconstruct.providers.types import settings_of
from pw_core.reconstruct.types import Rgb

KEY = "reconstruct.more_views.settings"
SCRIPT = "cosmos_predict1/diffusion/inference/gen3c_single_image.py"
WEIGHTS = "Gen3C-Cosmos-7B"
ORDER = {"movement_distance", "video_frames", "width", "height", "guidance", "steps", "seed", "arguments"}
"""The settings that change a film."""
WHERE = "see 'Download checkpoints' in the README of nv-tlabs/GEN3C"
Trajectory = Literal["left", "right", "up", "down", "zoom_in", "zoom_out", "clockwise", "counterclockwise"]


class Gen3cSettings(Part):
    """Where GEN3C is, and what it is asked for."""

    command: tuple[str, ...] = Field(default=("python", SCRIPT), min_length=1, description="Python of its environment")
    folder: str = Field(default="", description="GEN3C's checkout, in which the command runs")
    checkpoints: str = Field(default="", description=f"folder that holds {WEIGHTS}/")
    env: dict[str, str] = Field(default_factory=dict, description="more environment variables, e.g. CUDA_HOME")
    trajectories: tuple[Trajectory, ...] = Field(default=("left", "right"), min_length=1)
    movement_distance: float = Field(default=0.3, gt=0, le=2, description="way of the camera over the centre's depth")
    video_frames: int = Field(default=121, description="of each film: 121, 241, 361 ...")
    used_frames: int = Field(default=8, ge=1, description="of each film that go into the reconstruction")
    width: int = Field(default=1280, ge=64)
    height: int = Field(default=704, ge=64)
    guidance: float = Field(default=1.0, ge=0)
    steps: int = Field(default=35, ge=1)
    seed: int = 1
    arguments: tuple[str, ...] = Field(default=("--foreground_masking",), description="more of them, as they are")
    timeout_s: float = Field(default=0.0, ge=0, description="of one film; 0: none")

    @field_validator("video_frames")
    @classmethod
    def _whole_chunks(cls, count: int) -> int:
        if count < 121 or (count - 1) % 120:
            raise ValueError(f"GEN3C makes 121, 241, 361 ... frames, not {count}")
        return count


class Gen3c:
    """Films along each trajectory, checked; frames evenly spaced of each."""

    name = "gen3c"

    def __init__(self, **settings: Any) -> None:
        self.settings = settings_of(Gen3cSettings, settings, key=KEY)

    def views(self, photo: Rgb, *, folder: Path, progress: Progress) -> dict[str, Rgb]:
        """Frames by name, scaled to the photo's size; films that are in `folder` already are not made again.

        Raises:
            ReconstructError: MISSING_WEIGHTS (no checkpoints, no program), RECONSTRUCT_FAILED (the program failed, or
                made no film, or one of other length or size), with the program's last lines.
        """
        import cv2

        s = self.settings
        place = folder / self._key(photo)
        place.mkdir(parents=True, exist_ok=True)
        height, width = photo.shape[:2]
        out: dict[str, Rgb] = {}
        for i, trajectory in enumerate(s.trajectories):
            film = place / f"{trajectory}.mp4"

            def part(stage: str, fraction: float, i: int = i) -> None:
                progress(stage, (i + fraction) / len(s.trajectories))

            if not film.is_file():
                self._make(photo, trajectory, place, part)
            # The first frame is the photo.
            wanted = np.linspace(0, s.video_frames - 1, s.used_frames + 1).round().astype(int)[1:]
            for k, frame in enumerate(read_film(film)):
                if k in wanted:  # GEN3C stretches the photo to its own format: undone here
                    scaled = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
                    out[f"{trajectory}_{k:03d}.png"] = np.asarray(scaled, np.uint8)
            part(f"film {trajectory}", 1.0)
        return out

    def _key(self, photo: Rgb) -> str:
        """Another photo or another order is another folder."""
        fields = self.settings.model_dump(mode="json", include=ORDER)
        asked = json.dumps([photo.shape, fields], sort_keys=True).encode()
        return hashlib.sha256(asked + photo.tobytes()).hexdigest()[:16]

    def _make(self, photo: Rgb, trajectory: str, place: Path, progress: Progress) -> None:
        import cv2

        s = self.settings
        weights = Path(s.checkpoints).expanduser()
        if not s.checkpoints or not (weights / WEIGHTS).is_dir():
            what = "none is named" if not s.checkpoints else f"{weights} holds no folder {WEIGHTS}"
            raise ReconstructError(f"{KEY}.checkpoints: {what}; GEN3C needs its weights in a local folder: {WHERE}",
                                   code=ErrorCode.MISSING_WEIGHTS)  # fmt: skip
        part = place / f"{trajectory}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            cv2.imwrite(str(part / "photo.png"), photo[..., ::-1])
            command = [
                *s.command, "--checkpoint_dir", str(weights.resolve()), "--input_image_path",
                str((part / "photo.png").resolve()), "--video_save_folder", f"{part.resolve()}/", "--video_save_name",
                trajectory, "--trajectory", trajectory, "--camera_rotation", "center_facing", "--movement_distance",
                str(s.movement_distance), "--num_video_frames", str(s.video_frames), "--guidance", str(s.guidance),
                "--num_steps", str(s.steps), "--height", str(s.height), "--width", str(s.width), "--seed", str(s.seed),
                *s.arguments,
            ]  # fmt: skip
            log = place / f"{trajectory}.log"
            run_program(command, log=log, what=f"film {trajectory}", key=KEY, progress=progress,
                        folder=s.folder, env=s.env, timeout_s=s.timeout_s)  # fmt: skip
            made = part / f"{trajectory}.mp4"
            fault = self._fault(made)
            if fault:
                # GEN3C ends with success where it skips a picture: only the film tells.
                raise ReconstructError(f"film {trajectory}: GEN3C {fault}; its last lines:\n  {last_lines(log)}",
                                       code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
            made.rename(place / f"{trajectory}.mp4")
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _fault(self, film: Path) -> str:
        s = self.settings
        if not film.is_file():
            return "ended without a film"
        count, size = 0, (0, 0)
        for frame in read_film(film):
            count, size = count + 1, (frame.shape[1], frame.shape[0])
        if not count:
            return f"wrote a film of {film.stat().st_size} bytes that cannot be read"
        if count != s.video_frames:
            return f"wrote {count} frames in place of {s.video_frames}"
        if size != (s.width, s.height):
            return f"wrote frames of {size[0]} x {size[1]} px in place of {s.width} x {s.height}"
        return ""


def read_film(path: Path) -> Iterator[NDArray[np.uint8]]:
    """All frames, RGB (H, W, 3), that can be read."""
    import cv2

    film = cv2.VideoCapture(str(path))
    try:
        while True:
            ok, frame = film.read()
            if not ok:
                return
            yield np.asarray(frame[..., ::-1], np.uint8)
    finally:
        film.release()
