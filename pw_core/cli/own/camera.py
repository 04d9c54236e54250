"""What is known of a photo's camera and table, what follows from a size, and what is a guess."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class NewSceneOptions:
    """What is taken where nothing tells it; each is marked as a guess in the file."""

    hfov_deg: float = 65.0
    """Of a telephone's main camera held upright or lying: 26 mm on film, 62 to 69 degrees across the long side."""
    pitch_deg: float = 25.0
    """Of somebody who looks at a table."""
    height_m: float = 0.35
    """Of the camera above the table."""
    box_share: float = 0.6
    """Of the photo, in its middle, that a box takes where none is given."""
    edge_distances: float = 3.0
    """Where no edge of the table is seen, it is put so many times as far away as the first entity."""
    least_below_deg: float = 2.0
    """How far below the horizon a thing's foot and the table's edge are at the least, where the pitch is not given."""
    sure_sd_deg: float = 6.0
    """An estimate of the pitch that may be off by more is a guess."""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """An entity to be: its name, material (one of `PRESETS`), box [px of the photo; None: not drawn], and points on it
    and beside it [px]."""

    name: str
    material: str
    box: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    negative_points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is told of a photo: its size and focal length [px] (0: not known), the camera's pitch [degrees] and height
    [m], the width [m] of the first entity across its box (0: not known), the row [px] where the table ends (0: none is
    seen), the things; whether the focal length was given rather than read; in words, how pitch and row are known where
    nobody gave them; whether a table bears the things."""

    width: int
    height: int
    focal_px: float = 0.0
    pitch_deg: float | None = None
    height_m: float = 0.0
    size_m: float = 0.0
    edge_row: float = 0.0
    things: tuple[Thing, ...] = ()
    hfov_given: bool = False
    pitch_told: str = "as given"
    edge_told: str = ""
    table: bool = True


@dataclass(frozen=True)
class Solved:
    """hfov and pitch [degrees], height of the camera, x and y of the first thing's foot, width and height of its box
    there, x of the table's edge [m]; how each of them is known."""

    hfov_deg: float
    pitch_deg: float
    height_m: float
    foot_m: float
    aside_m: float
    size_m: tuple[float, float]
    edge_m: float
    known: dict[str, str]


def solve(known: Known, *, options: NewSceneOptions = NewSceneOptions()) -> Solved:
    """The camera over the table: a thing of known width stands where its box ends below, and is as far away as its
    width in pixels says.

    Raises:
        ValueError: the thing stands above the horizon, or the table ends there.
    """
    told: dict[str, str] = {}
    focal = known.focal_px
    from_photo = "from EXIF" if focal > 0 else "GUESS: a telephone's; EXIF does not tell: give --hfov"
    told["hfov_deg"] = "as given" if known.hfov_given else from_photo
    focal = focal or known.width / 2 / math.tan(math.radians(options.hfov_deg) / 2)
    pitch = options.pitch_deg if known.pitch_deg is None else known.pitch_deg
    told["pitch_deg"] = known.pitch_told if known.pitch_deg is not None else "GUESS: give --pitch"
    left, top, right, bottom = box_of(known, 0, options)
    if told["pitch_deg"] != "as given":
        for row in (bottom, known.edge_row or bottom):
            pitch = max(pitch, options.least_below_deg - math.degrees(math.atan((row - known.height / 2) / focal)))
    down, up = slopes(known, focal, pitch, bottom)
    if down <= 0:
        raise ValueError(f"row {bottom:.0f} px, where the first entity stands, is above the horizon: is the pitch of "
                         f"{pitch:g} degrees too small?")  # fmt: skip
    height, told["height_m"] = known.height_m, "as given"
    if not height and known.size_m:
        away = focal * known.size_m / (right - left)  # along the optical axis
        whose = f"'{known.things[0].name}' across its box"
        height, told["height_m"] = away * down, f"from the {known.size_m:g} m of {whose}"
    elif not height:
        height, told["height_m"] = options.height_m, "GUESS: give --camera-height, or the first entity's --size"
    foot = height * up / down
    edge, told["edge_m"] = options.edge_distances * foot, "no edge is seen: far enough not to matter"
    if known.edge_row:
        edge_down, edge_up = slopes(known, focal, pitch, known.edge_row)
        if edge_down <= 0:
            raise ValueError(f"the table's edge at row {known.edge_row:.0f} px is above the horizon")
        edge, told["edge_m"] = (
            height * edge_up / edge_down,
            f"where row {known.edge_row:.0f} px meets the table{known.edge_told}",
        )
    hfov = math.degrees(2 * math.atan(known.width / 2 / focal))
    pixel = height / down / focal  # [m] where the thing stands
    aside = (known.width - left - right) / 2 * pixel
    return Solved(hfov, pitch, height, foot, aside, ((right - left) * pixel, (bottom - top) * pixel), edge, told)


def box_of(known: Known, i: int, options: NewSceneOptions = NewSceneOptions()) -> Box:
    """The i-th entity's box [px]; in the middle of the photo where none is given."""
    given = known.things[i].box if i < len(known.things) else None
    if given is not None:
        return given
    margin = (1 - options.box_share) / 2
    return (round(known.width * margin), round(known.height * margin), round(known.width * (1 - margin)),
            round(known.height * (1 - margin)))  # fmt: skip


def slopes(known: Known, focal: float, pitch_deg: float, row: float) -> tuple[float, float]:
    """How far down and ahead the ray of a row of the picture's middle goes, for a metre along the optical axis."""
    below, pitch = (row - known.height / 2) / focal, math.radians(pitch_deg)
    return math.sin(pitch) + below * math.cos(pitch), math.cos(pitch) - below * math.sin(pitch)


def boxes(texts: Sequence[str]) -> list[Box]:
    """`left,top,right,bottom` [px] as numbers.

    Raises:
        ValueError: other than four numbers.
    """
    out: list[Box] = []
    for text in texts:
        parts = text.replace(" ", "").split(",")
        try:
            left, top, right, bottom = (float(p) for p in parts)
        except ValueError:
            raise ValueError(f"--box {text}: expected left,top,right,bottom in pixels of the photo") from None
        out.append((left, top, right, bottom))
    return out
