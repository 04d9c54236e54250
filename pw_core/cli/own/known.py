"""A photo and what it tells of its camera by itself: EXIF's focal length, the picture's lines."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pw_core.cli.own.camera import Known, NewSceneOptions, Thing, box_of, solve
from pw_core.cli.own.check import Told, check_told
from pw_core.cli.own.hanging import hanging_text
from pw_core.cli.own.text import scene_text
from pw_core.errors import ErrorCode, ReconstructError, SceneError
from pw_core.media.errors import MediaError
from pw_core.media.pictures import Picture, decode_picture, read_bytes
from pw_core.reconstruct.ground.edge_lean import edge_lean_doubts
from pw_core.reconstruct.ground.pitch import PitchEstimate, estimate_pitch
from pw_core.reconstruct.image import check_photo
from pw_core.reconstruct.inputs import Inputs, ViewInput, check


@dataclass(frozen=True, eq=False)
class OwnPhoto:
    """A photo: its file, its bytes as they are in there, and what they show."""

    path: Path
    data: bytes = field(repr=False)
    picture: Picture = field(repr=False)

    @classmethod
    def read(cls, path: Path, data: bytes | None = None) -> OwnPhoto:
        """From its file, or from bytes that are going to be one.

        Raises:
            ReconstructError (INVALID_IMAGE): the sentence says what is wrong with it.
        """
        try:
            data = read_bytes(path) if data is None else data
            picture = decode_picture(data, what=str(path))
        except MediaError as error:
            raise ReconstructError(str(error), code=ErrorCode.INVALID_IMAGE) from None
        pixels = check_photo(picture.rgb, what=str(path))
        check(Inputs((ViewInput(str(path), pixels, valid=picture.valid),)))
        return cls(path, data, picture)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [px]."""
        height, width = self.picture.rgb.shape[:2]
        return width, height

    @property
    def name(self) -> str:
        """What a scene of it may be called."""
        return re.sub(r"[^A-Za-z0-9_-]+", "_", self.path.stem).strip("_-") or "scene"

    def focal_px(self, hfov_deg: float = 0.0, *, options: NewSceneOptions = NewSceneOptions()) -> float:
        """Of a given field of view [degrees]; 0: from EXIF, or else a telephone's."""
        if not 0 < hfov_deg < 180:
            if self.picture.focal_px:
                return self.picture.focal_px
            hfov_deg = options.hfov_deg
        return self.size[0] / 2 / math.tan(math.radians(hfov_deg) / 2)

    def estimate(self, things: tuple[Thing, ...], *, hfov_deg: float = 0.0) -> PitchEstimate:
        """The camera's pitch and the table's edge, as the picture has them."""
        known = Known(width=self.size[0], height=self.size[1], things=things)
        boxes = [box_of(known, i) for i in range(max(len(things), 1))]
        return estimate_pitch(self.picture.rgb, boxes, focal_px=self.focal_px(hfov_deg))


    def leaning(self, things: tuple[Thing, ...]) -> list[str]:
        """A sentence where the table's end leans, as the camera was held askew."""
        width, height = self.size
        masks = []
        for left, top, right, bottom in (t.box for t in things if t.box is not None):
            mask = np.zeros((height, width), bool)
            mask[max(int(top), 0) : int(bottom), max(int(left), 0) : int(right)] = True
            masks.append(mask)
        return edge_lean_doubts(self.picture.rgb, masks)


def told_of(estimate: PitchEstimate, *, options: NewSceneOptions = NewSceneOptions()) -> str:
    """How a pitch is known that the picture tells."""
    text = f"estimated, +- {estimate.sd_deg:.1f}, from {estimate.seen}"
    return text if estimate.sd_deg <= options.sure_sd_deg else f"GUESS: {text}; give --pitch"


def known_of(
    photo: OwnPhoto, things: tuple[Thing, ...], *, hfov_deg: float = 0.0, pitch_deg: float | None = None,
    pitch_told: str = "as given", height_m: float = 0.0, size_m: float = 0.0, edge_row: float = 0.0, table: bool = True,
) -> Known:  # fmt: skip
    """All that is known of a photo; what is not told is looked for in it. table: False where nothing bears the things,
    and the picture's lines, which are read with a table in mind, are not asked for the pitch.

    Raises:
        ValueError: what is told cannot be; the message says all of it.
    """
    width, height = photo.size
    check_told(Told(width=width, height=height, things=things, hfov_deg=hfov_deg, pitch_deg=pitch_deg,
                    height_m=height_m, size_m=size_m, edge_row=edge_row, table=table))  # fmt: skip
    edge_told = ""
    if pitch_deg is None and table:
        found = photo.estimate(things, hfov_deg=hfov_deg)
        pitch_deg, pitch_told = found.pitch_deg, told_of(found)
        if found.edge_row and not edge_row:
            edge_row, edge_told = found.edge_row, ", as it seems to end there"
    given = 0 < hfov_deg < 180
    focal = photo.focal_px(hfov_deg) if given or photo.picture.focal_px else 0.0
    return Known(
        width=width, height=height, focal_px=focal, pitch_deg=pitch_deg, height_m=height_m, size_m=size_m,
        edge_row=edge_row, things=things, hfov_given=given, pitch_told=pitch_told, edge_told=edge_told,
        table=table,
    )  # fmt: skip


def written(photo: OwnPhoto, known: Known, target: Path, *, name: str = "", particles: int = 0) -> str:
    """The scene file's text, for a file that is going to be at `target`.

    Raises:
        SceneError (INVALID_CONFIG): what is known does not go together.
    """
    shown = Path(os.path.relpath(photo.path.resolve(), target.resolve().parent))
    try:
        if not known.table:
            return hanging_text(name or photo.name, shown, known)
        return scene_text(name or photo.name, shown, known, solve(known), particles=particles)
    except ValueError as error:
        raise SceneError(str(error), code=ErrorCode.INVALID_CONFIG) from None


def write(text: str, target: Path, *, replace: bool = False) -> None:
    """Put a scene file where it belongs.

    Raises:
        SceneError: SCENE_EXISTS; INVALID_CONFIG, and nothing is there, where it could not be read again.
    """
    from pw_core.config import SceneConfig
    from pw_core.documents.reading import parse_yaml
    from pw_core.files import replace_file

    if target.exists() and not replace:
        raise SceneError(f"{target} is there already: name another with --out", code=ErrorCode.SCENE_EXISTS)
    SceneConfig.parse(parse_yaml(text), source=str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, text.encode())
