"""What the page of `pw new` asks for: masks, an estimate of the camera, a scene made and pushed. It knows no HTTP.

Browsers keep what they draw; here are the photos, by what is in them, and the one job that runs. A browser that goes
away takes nothing with it, and one that comes back sees how far the job is.
"""

from __future__ import annotations

import hashlib
import io
import math
import shlex
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.cli.common import DEFAULT_STORE
from pw_core.cli.own.asked import MakeAsked, ThingAsked
from pw_core.cli.own.camera import Thing
from pw_core.cli.own.known import OwnPhoto, known_of, told_of, write, written
from pw_core.cli.own.presets import PRESETS
from pw_core.config import EntityConfig, SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, PWError, ReconstructError, SceneError
from pw_core.progress import subrange


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """What is kept and shown."""

    most_photos: int = 8
    """Of uploads: the one that was looked at longest ago leaves first."""
    mask_width_px: int = 640
    """Masks are found at this width, as reconstruction does."""
    outline_px: float = 0.6
    """How far a mask's outline may be off what is drawn, at that width."""
    film_pictures: int = 14
    """Of the first rollout, at the most."""
    reconstruct_share: float = 0.6
    """Of the bar, for the scene; the rest is the rollout's."""


class Canceled(Exception):
    """Somebody pressed stop."""


@dataclass
class Job:
    """How far the making of a scene is. state: running, done, failed, stopped."""

    state: str
    stage: str = ""
    fraction: float = 0.0
    text: str = ""
    name: str = ""
    commands: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Session:
    """Photos, and one job at a time.

    Args:
        photo: to begin with; None: one is going to be uploaded.
        out: scene file of the first photo; None: beside the photo, or in the working folder for uploads.
        store: folder of scenes.

    Raises:
        ReconstructError (INVALID_IMAGE): of the photo.
    """

    def __init__(
        self, photo: Path | None = None, *, out: Path | None = None, store: Path = DEFAULT_STORE, device: str = "cpu",
        options: SessionOptions = SessionOptions(),
    ) -> None:  # fmt: skip
        self.options, self.store, self.device, self._out = options, store, device, out
        self._photos: OrderedDict[str, OwnPhoto] = OrderedDict()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._job = Job("none")
        self._pictures: list[bytes] = []
        self._working: threading.Thread | None = None
        self.first = "" if photo is None else self._keep(OwnPhoto.read(photo))

    def upload(self, data: bytes, name: str) -> dict[str, Any]:
        """Take a photo; it becomes a file beside the scene file when that is written.

        Raises:
            ReconstructError (INVALID_IMAGE): it is none.
        """
        base = Path(name.replace("\\", "/")).name or "photo"
        if not data:
            raise ReconstructError(f"{base} is empty", code=ErrorCode.INVALID_IMAGE)
        folder = self._out.parent if self._out is not None else Path.cwd()
        path = folder / base
        if path.exists() and (not path.is_file() or path.read_bytes() != data):  # another photo of that name
            path = path.with_name(f"{path.stem}_{hashlib.sha256(data).hexdigest()[:6]}{path.suffix}")
        return self.describe(self._keep(OwnPhoto.read(path, data)))

    def describe(self, photo: str) -> dict[str, Any]:
        """What the page begins with."""
        found = self._photo(photo)
        width, height = found.size
        focal = found.focal_px()
        target = self._target(photo)
        return {
            "photo": photo, "file": found.path.name, "name": found.name, "width": width, "height": height,
            "hfov_deg": math.degrees(2 * math.atan(width / 2 / focal)), "hfov_known": found.picture.focal_px > 0,
            "target": str(target), "exists": target.exists(), "notes": list(found.picture.notes),
        }  # fmt: skip

    def materials(self) -> list[dict[str, str]]:
        """Names, laws and sources."""
        return [{"name": n, "model": str(p.material["model"]), "source": p.source} for n, p in PRESETS.items()]

    def estimate(self, photo: str, things: Sequence[ThingAsked], hfov_deg: float) -> dict[str, Any]:
        """Pitch, its spread, and the row of the table's edge, of the picture itself."""
        found = self._photo(photo).estimate(_things(things), hfov_deg=hfov_deg)
        return {"pitch_deg": found.pitch_deg, "sd_deg": found.sd_deg, "edge_row": found.edge_row, "seen": found.seen,
                "told": told_of(found)}  # fmt: skip

    def masks(self, photo: str, things: Sequence[ThingAsked]) -> list[dict[str, Any]]:
        """For each thing the outlines of its mask [px of the photo], or what is wrong with its prompts."""
        from pw_core.reconstruct.image import working_size
        from pw_core.reconstruct.segmentation.checks.doubts import mask_doubts
        from pw_core.reconstruct.segmentation.second_look import photo_masks

        found = self._photo(photo)
        small = working_size(found.picture.rgb, self.options.mask_width_px)
        scale = small.shape[1] / found.size[0]
        out: list[dict[str, Any]] = []
        for each in things:
            if each.box is None:
                continue
            try:
                entity = EntityConfig.model_validate({
                    "name": each.name, "material": {"model": "elastic"},
                    "prompt": {"box": each.box, "points": each.points, "negative_points": each.negative_points},
                })  # fmt: skip
                (mask,) = photo_masks(small, [entity], ViewsSettings(), scale=scale)
            except (PWError, ValueError) as error:
                out.append({"name": each.name, "outlines": [], "text": _short(error)})
                continue
            doubts = mask_doubts(small, mask, entity, scale=scale)
            out.append({"name": each.name, "outlines": self._outlines(mask, scale), "text": "; ".join(doubts)})
        return out

    def photo_bytes(self, photo: str) -> bytes:
        """As a browser shows it: the right way up, JPEG."""
        return _jpeg(self._photo(photo).picture.rgb, quality=92)

    # --- the job ------------------------------------------------------------------------------------------------------

    def make(self, asked: MakeAsked) -> None:
        """Write the scene file, and begin to reconstruct and to roll out.

        Raises:
            SceneError: NOT_READY while another job runs; SCENE_EXISTS; INVALID_CONFIG.
        """
        with self._lock:
            if self._working is not None and self._working.is_alive():
                raise SceneError("a scene is being made: wait, or stop it", code=ErrorCode.BUSY)
            photo, target = self._photo(asked.photo), self._target(asked.photo, asked.name)
            if not photo.path.exists():
                _put(photo)
            try:
                known = known_of(
                    photo, _things(asked.things), hfov_deg=asked.hfov_deg, pitch_deg=asked.pitch_deg,
                    pitch_told=asked.pitch_told, height_m=0.0 if asked.size_m else asked.height_m, size_m=asked.size_m,
                    edge_row=asked.edge_row,
                )  # fmt: skip
            except ValueError as error:
                raise SceneError(str(error), code=ErrorCode.INVALID_CONFIG) from None
            text = written(photo, known, target, name=asked.name, particles=asked.particles)
            write(text, target, replace=asked.replace)
            self._stop.clear()
            self._pictures = []
            self._job = Job("running", "reading", name=asked.name)
            self._working = threading.Thread(target=self._work, args=(target, asked.replace), daemon=True)
            self._working.start()

    def job(self) -> dict[str, Any]:
        """How far it is."""
        job = self._job
        return asdict(job) | {"pictures": len(self._pictures)}

    def picture(self, index: int) -> bytes:
        """JPEG of the scene (0) or of a moment of its rollout.

        Raises:
            SceneError (NOT_FOUND): there is none such.
        """
        if not 0 <= index < len(self._pictures):
            raise SceneError(f"no picture {index}", code=ErrorCode.UNKNOWN_STATE)
        return self._pictures[index]

    def stop(self) -> None:
        """Call the job off; it ends soon."""
        self._stop.set()

    def close(self, *, wait_s: float = 10.0) -> None:
        """Call the job off and wait for it."""
        self.stop()
        if self._working is not None:
            self._working.join(wait_s)

    def _work(self, target: Path, replace: bool) -> None:
        try:
            self._made(target, replace)
        except Canceled:
            self._job = Job("stopped", text="stopped", name=self._job.name)
        except PWError as error:
            self._job = Job("failed", text=str(error), name=self._job.name)
        except Exception as error:  # the page is told, whatever it is
            self._job = Job("failed", text=f"{type(error).__name__}: {error}", name=self._job.name)

    def _made(self, target: Path, replace: bool) -> None:
        from pw_core.cli.common import open_world
        from pw_core.reconstruct.report.outcome import Outcome

        config = SceneConfig.load(target)
        world = open_world(self.store, self.device, writes=True)
        share = self.options.reconstruct_share
        scene = world.reconstruct(config, replace=replace, progress=subrange(self._told, 0.0, share))
        outcome = Outcome.of(scene)
        self._pictures = [_jpeg(world.render().rgb)]
        frames = config.rounds[0].duration / config.frame_interval_s
        every = max(1, math.ceil(frames / self.options.film_pictures))
        ready, onward = subrange(self._told, share, share + 0.1), subrange(self._told, share + 0.1, 1.0)
        for i, frame in enumerate(world.rollout(config.rounds[0].actions, config.rounds[0].duration, progress=ready)):
            onward("rolling out", frame.fraction)
            if i % every == 0 and i:
                self._pictures.append(_jpeg(world.render(physics=frame.physics).rgb))
        stored = "" if self.store == DEFAULT_STORE else f" --store {shlex.quote(str(self.store))}"
        commands = (f"pw rollout {scene.id} --film {scene.id}.mp4{stored}", f"pw studio {scene.id}{stored}")
        self._job = Job("done", "done", 1.0, str(target), scene.id, commands, outcome.doubts)

    def _told(self, stage: str, fraction: float) -> None:
        if self._stop.is_set():
            raise Canceled
        self._job.stage, self._job.fraction = stage, max(self._job.fraction, fraction)

    # --- photos -------------------------------------------------------------------------------------------------------

    def _keep(self, photo: OwnPhoto) -> str:
        key = hashlib.sha256(photo.data).hexdigest()[:16]
        with self._lock:
            self._photos[key] = photo
            self._photos.move_to_end(key)
            while len(self._photos) > self.options.most_photos:
                self._photos.popitem(last=False)
        return key

    def _photo(self, key: str) -> OwnPhoto:
        found = self._photos.get(key)
        if found is None:
            raise SceneError("this photo is no longer here: upload it again", code=ErrorCode.INVALID_IMAGE)
        return found

    def _target(self, key: str, name: str = "") -> Path:
        photo = self._photo(key)
        if self._out is not None and key == self.first:
            return self._out
        return photo.path.with_name(f"{name or photo.name}.yaml")

    def _outlines(self, mask: NDArray[np.bool_], scale: float) -> list[list[list[float]]]:
        import cv2

        large = cv2.resize(mask.astype(np.uint8) * 255, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        found, _ = cv2.findContours((large > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        fine = [cv2.approxPolyDP(each, 2 * self.options.outline_px, True).reshape(-1, 2) for each in found]
        return [np.round((each + 0.5) / 2 / scale, 1).tolist() for each in fine if len(each) > 2]


def _things(asked: Sequence[ThingAsked]) -> tuple[Thing, ...]:
    return tuple(
        Thing(name=t.name, material=t.material, box=t.box, points=t.points, negative_points=t.negative_points)
        for t in asked
    )  # fmt: skip


def _put(photo: OwnPhoto) -> None:
    from pw_core.files import replace_file

    replace_file(photo.path, photo.data)


def _jpeg(rgb: NDArray[np.uint8], *, quality: int = 88) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _short(error: Exception) -> str:
    """The sentence that a person needs of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "Value error" in line), lines[0] if lines else "wrong")
