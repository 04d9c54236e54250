"""A commented scene file for a photo: what is known of its camera, what follows from a size, and what is a guess."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pw_core.cli.presets import PRESETS

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


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is told of a photo: its size and focal length [px] (0: not known), the camera's pitch [degrees] and height
    [m], the width [m] of the first entity across its box (0: not known), the row [px] where the table ends (0: none is
    seen), each entity's name, preset and box [px], and whether the focal length was given rather than read."""

    width: int
    height: int
    focal_px: float = 0.0
    pitch_deg: float | None = None
    height_m: float = 0.0
    size_m: float = 0.0
    edge_row: float = 0.0
    entities: tuple[tuple[str, str, Box | None], ...] = ()
    hfov_given: bool = False


@dataclass(frozen=True)
class Solved:
    """hfov and pitch [degrees], height of the camera, x of the first entity's foot and of the table's edge [m]; how
    each of them is known."""

    hfov_deg: float
    pitch_deg: float
    height_m: float
    foot_m: float
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
    told["pitch_deg"] = "as given" if known.pitch_deg is not None else "GUESS: give --pitch"
    left, _, right, bottom = box_of(known, 0, options)
    down, up = _slopes(known, focal, pitch, bottom)
    if down <= 0:
        raise ValueError(f"row {bottom:.0f} px, where the first entity stands, is above the horizon: is the pitch of "
                         f"{pitch:g} degrees too small?")  # fmt: skip
    height, told["height_m"] = known.height_m, "as given"
    if not height and known.size_m:
        away = focal * known.size_m / (right - left)  # along the optical axis
        whose = f"'{known.entities[0][0]}' across its box"
        height, told["height_m"] = away * down, f"from the {known.size_m:g} m of {whose}"
    elif not height:
        height, told["height_m"] = options.height_m, "GUESS: give --camera-height, or the first entity's --size"
    foot = height * up / down
    edge, told["edge_m"] = options.edge_distances * foot, "no edge is seen: far enough not to matter"
    if known.edge_row:
        edge_down, edge_up = _slopes(known, focal, pitch, known.edge_row)
        if edge_down <= 0:
            raise ValueError(f"the table's edge at row {known.edge_row:.0f} px is above the horizon")
        edge, told["edge_m"] = height * edge_up / edge_down, f"where row {known.edge_row:.0f} px meets the table"
    hfov = math.degrees(2 * math.atan(known.width / 2 / focal))
    return Solved(hfov, pitch, height, foot, edge, told)


def box_of(known: Known, i: int, options: NewSceneOptions = NewSceneOptions()) -> Box:
    """The i-th entity's box [px]; in the middle of the photo where none is given."""
    given = known.entities[i][2] if i < len(known.entities) else None
    if given is not None:
        return given
    margin = (1 - options.box_share) / 2
    return (round(known.width * margin), round(known.height * margin), round(known.width * (1 - margin)),
            round(known.height * (1 - margin)))  # fmt: skip


def _slopes(known: Known, focal: float, pitch_deg: float, row: float) -> tuple[float, float]:
    """How far down and ahead the ray of a row of the picture's middle goes, for a metre along the optical axis."""
    below, pitch = (row - known.height / 2) / focal, math.radians(pitch_deg)
    return math.sin(pitch) + below * math.cos(pitch), math.cos(pitch) - below * math.sin(pitch)


def scene_text(name: str, photo: Path, known: Known, solved: Solved) -> str:
    """The scene file, as YAML with comments."""
    lines = [
        f"# Made by `pw new {photo.name}`. What says GUESS is one: mend it, or give it to `pw new`.",
        f"name: {name}", f"title: {name.replace('_', ' ').replace('-', ' ')}", f"photo: {_quoted(photo.as_posix())}",
        "camera:",
        f"  height_m: {solved.height_m:.4g}  # [m] above the table; {solved.known['height_m']}",
        f"  pitch_deg: {solved.pitch_deg:.4g}  # [degrees] downwards from the horizontal; {solved.known['pitch_deg']}",
        f"  hfov_deg: {solved.hfov_deg:.4g}  # [degrees] across the photo's width; {solved.known['hfov_deg']}",
        "table:",
        f"  edge_m: {solved.edge_m:.4g}  # [m] from below the camera to where the table ends; {solved.known['edge_m']}",
        "  # backdrop_m: 1.0  # [m] from that edge to the wall behind",
        "entities:  # things that move; boxes and points in pixels of the full photo, from its left and top",
    ]
    for i, (entity, preset, box) in enumerate(known.entities):
        found = PRESETS[preset]
        values = {k: f"{v:g}" if isinstance(v, (int, float)) else v for k, v in found.material.items()}
        fields = ", ".join(f"{k}: {v}" for k, v in values.items())
        numbers = ", ".join(f"{x:g}" for x in box_of(known, i))
        lines += [
            f"  - name: {entity}", f"    material: {{{fields}}}  # {preset}: {found.source}", "    prompt:",
            f"      box: [{numbers}]  # left, top, right, bottom" + ("" if box else "; GUESS: the photo's middle"),
            "      # points: [[x, y]]           # on the thing, where the box alone finds too little",
            "      # negative_points: [[x, y]]  # on what is not of it, where the box alone finds too much",
            "    # depth_ratio: 1.0  # how deep it is, of how wide it looks",
            "    # shape: revolve    # a cup, a bottle: round about its axis",
        ]
    x, last = f"{solved.foot_m:.3g}", known.entities[0][0]
    lines += [
        "rounds:  # what happens to it, one after the other; see docs/engine.md for the kinds of actions",
        "  - name: pushed",
        "    duration: 0.5  # [s]",
        "    actions:",
        "      # center [m]: x away from the camera, y to its left, z up; magnitude of a push [N] in all",
        f"      - {{type: push, entity: {last}, duration: 0.15, center: [{x}, 0, 0.03], direction: [0, -1, 0], "
        "radius: 0.1, magnitude: 2}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


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
