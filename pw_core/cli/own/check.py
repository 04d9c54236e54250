"""Whether what somebody tells of a photo can be, before a scene file is made of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pw_core.cli.own.camera import Box, Thing
from pw_core.cli.own.presets import PRESETS
from pw_core.config import NAME


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What cannot be."""

    least_box_px: float = 4.0
    """Width and height of a box, as in a scene file."""
    beyond_px: float = 1.0
    """By which a box may reach over the photo's border: its right and bottom are next to the last pixel."""
    least_m: float = 1e-3
    """Of a thing's size or a camera's height ..."""
    most_m: float = 20.0
    """... and at the most: more is millimetres or centimetres."""
    hfov_deg: tuple[float, float] = (1.0, 150.0)
    """Across the photo, as in a scene file."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was told: the photo's width and height [px], the things, field of view and pitch [degrees], the camera's
    height and the first thing's size [m], the row [px] of the table's edge, whether there is a table; 0, of the pitch
    None: was not told."""

    width: int
    height: int
    things: Sequence[Thing]
    hfov_deg: float = 0.0
    pitch_deg: float | None = None
    height_m: float = 0.0
    size_m: float = 0.0
    edge_row: float = 0.0
    table: bool = True


def check_told(told: Told, *, options: CheckOptions = CheckOptions()) -> None:
    """Raises ValueError with a sentence for each of what cannot be."""
    wrong = [*_things(told.things), *_boxes(told, options), *_lengths(told, options), *_angles(told, options),
             *_edge(told)]  # fmt: skip
    if wrong:
        raise ValueError("; ".join(wrong))


def _things(things: Sequence[Thing]) -> Iterator[str]:
    names = [t.name for t in things]
    for name in dict.fromkeys(names):
        if not re.match(NAME, name):
            yield f"a name has letters, digits, _ and - alone and begins with one of the first two, not '{name}'"
        if names.count(name) > 1:
            yield f"'{name}' names {names.count(name)} things: names must differ"
    for t in things:
        if not t.material:
            yield f"'{t.name}' has no material: {t.name}=MATERIAL, which is one of {', '.join(PRESETS)}"
        elif t.material not in PRESETS:
            yield f"material '{t.material}' is none of {', '.join(PRESETS)}"


def _boxes(told: Told, o: CheckOptions) -> Iterator[str]:
    for t in told.things:
        if t.box is None:
            continue
        left, top, right, bottom = t.box
        what = f"box {_numbers(t.box)} of '{t.name}'"
        if not all(map(math.isfinite, t.box)):
            yield f"{what}: expected numbers"
        elif right - left < o.least_box_px or bottom - top < o.least_box_px:
            size = f"{right - left:g} x {bottom - top:g} px"
            yield f"{what} is {size}: left,top,right,bottom, {o.least_box_px:g} px or more each way"
        elif right <= 0 or bottom <= 0 or left >= told.width or top >= told.height:
            yield f"{what} is outside the photo, which is {told.width} x {told.height} px"
        elif min(left, top, told.width - right, told.height - bottom) < -o.beyond_px:
            within = (max(left, 0), max(top, 0), min(right, told.width), min(bottom, told.height))
            yield (
                f"{what} reaches outside the photo, which is {told.width} x {told.height} px: what of it is inside is "
                f"{_numbers(within)}"
            )


def _lengths(told: Told, o: CheckOptions) -> Iterator[str]:
    for what, value in (("size", told.size_m), ("camera height", told.height_m)):
        if value == 0:
            continue
        if not o.least_m <= value <= o.most_m:
            unit = f"; {value:g} mm are {value / 1000:g}" if o.least_m <= value / 1000 <= o.most_m else ""
            yield f"the {what} {value:g} is no length in metres from {o.least_m:g} to {o.most_m:g}{unit}"
    if told.table and told.size_m and told.height_m:
        yield "the first thing's size and the camera's height both give the metre: give one of them"


def _angles(told: Told, o: CheckOptions) -> Iterator[str]:
    low, high = o.hfov_deg
    if told.hfov_deg != 0 and not low < told.hfov_deg < high:
        yield f"a field of view of {told.hfov_deg:g} degrees is none of a photo: more than {low:g}, less than {high:g}"
    if told.pitch_deg is None:
        return
    if told.table and not 0 <= told.pitch_deg < 90:
        yield (
            f"a pitch of {told.pitch_deg:g} degrees: over a table a camera looks down by 0 (level) to less than 90; "
            "where nothing bears the things (--ground none) it may look up"
        )
    elif not -90 < told.pitch_deg < 90:
        yield f"a pitch of {told.pitch_deg:g} degrees: more than -90, less than 90"


def _edge(told: Told) -> Iterator[str]:
    row = told.edge_row
    if row == 0:
        return
    if not 0 < row < told.height:
        yield f"row {row:g} px is none of the photo's {told.height}, and the table's edge is to be in it"
        return
    first = told.things[0].box if told.things else None
    if told.table and first is not None and row >= first[3]:
        yield (
            f"the table's far edge at row {row:g} px is below '{told.things[0].name}', whose box ends at row "
            f"{first[3]:g} px: it is behind what stands on the table, higher up in the photo"
        )


def _numbers(box: Box) -> str:
    return ",".join(f"{v:g}" for v in box)
