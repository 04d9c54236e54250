"""A scene file for a photo of what hangs or is mounted: no table bears it (`ground: none`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pw_core.cli.own.camera import Known, NewSceneOptions, box_of, slopes
from pw_core.cli.own.presets import PRESETS
from pw_core.cli.own.text import SceneTextOptions, head, thing_lines


@dataclass(frozen=True, kw_only=True)
class HangingOptions:
    """What is taken where nothing tells it; each is marked as a guess in the file."""

    new: NewSceneOptions = NewSceneOptions()
    """The lens."""
    pitch_deg: float = 0.0
    """Of somebody who looks at what hangs before him."""
    height_m: float = 1.5
    """Of a camera in somebody's hands; it is only where the origin is."""
    distance_m: float = 1.0
    """Of the first thing from the camera."""
    text: SceneTextOptions = SceneTextOptions()
    """The push."""


def hanging_text(
    name: str, photo: Path, known: Known, *, options: HangingOptions = HangingOptions()
) -> str:  # fmt: skip
    """The scene file, as YAML with comments: how far away the first thing is follows from its width in the photo.

    Raises:
        ValueError: the table's edge was given, which is not there.
    """
    if known.edge_row:
        raise ValueError("--edge-row is the table's, and with --ground none there is none")
    focal = known.focal_px or known.width / 2 / math.tan(math.radians(options.new.hfov_deg) / 2)
    lens = "from EXIF" if known.focal_px else "GUESS: a telephone's; EXIF does not tell: give --hfov"
    pitch = options.pitch_deg if known.pitch_deg is None else known.pitch_deg
    height = known.height_m or options.height_m
    left, top, right, bottom = box_of(known, 0, options.new)
    down, ahead = slopes(known, focal, pitch, (top + bottom) / 2)
    if ahead <= 0:
        raise ValueError(f"'{known.things[0].name}' is not ahead of a camera that looks down by {pitch:g} degrees")
    along = focal * known.size_m / (right - left) if known.size_m else options.distance_m / ahead
    far = f"from the {known.size_m:g} m of its width across its box" if known.size_m else "GUESS: give its --size"
    distances = [f"distance_m: {along * ahead:.4g}  # [m] ahead of the camera, horizontally; {far}"]
    distances += [f"distance_m: {along * ahead:.4g}  # GUESS: as far away as the first"] * (len(known.things) - 1)
    lines = [
        *head(name, photo),
        "ground: none  # nothing bears the things: what is not fixed falls",
        "camera:",
        f"  height_m: {height:.4g}  # [m] above the origin; "
        + ("as given" if known.height_m else "of no weight: it says where z = 0 is, and nothing is there"),
        f"  pitch_deg: {pitch:.4g}  # [degrees] downwards from the horizontal, below 0 it looks up; "
        + ("GUESS: level; give --pitch" if known.pitch_deg is None else known.pitch_told),
        f"  hfov_deg: {math.degrees(2 * math.atan(known.width / 2 / focal)):.4g}  # [degrees] across the photo's "
        f"width; {'as given' if known.hfov_given else lens}",
        "table:",
        "  backdrop_m: 0  # [m] from the things to the wall behind; 0: as far as they are large",
        "entities:  # things that move; boxes and points in pixels of the full photo, from its left and top",
    ]
    for i in range(len(known.things)):
        held = "    fixed: top  # GUESS: where it is held: top, bottom, left, right, back, all, or no"
        lines += [*thing_lines(known, i), f"    {distances[i]}", held]
    wide, high = (right - left) * along / focal, (bottom - top) * along / focal
    centre = (along * ahead, (known.width - left - right) / 2 * along / focal, height - along * down)
    where = ", ".join(f"{v:.3g}" for v in centre)
    density, text = float(PRESETS[known.things[0].material].material["density_kg_m3"]), options.text
    newtons = text.push_weights * 9.81 * density * 0.5 * wide * wide * high
    margin = max(text.room_m, text.room_ratio * max(wide, high))
    return "\n".join([
        *lines,
        f"simulation: {{margin_m: {margin:.2g}}}  # margin_m [m]: free room round the things",
        "rounds:  # what happens to it, one after the other; see docs/engine.md for the kinds of actions",
        "  - name: pushed",
        f"    duration: {text.round_s:g}  # [s]",
        "    actions:",
        "      # center [m]: x away from the camera, y to its left, z up; magnitude of a push [N] in all, here about "
        f"{text.push_weights:g} times its weight",
        f"      - {{type: push, entity: {known.things[0].name}, duration: {text.push_s:g}, center: [{where}], "
        f"direction: [0, -1, 0], radius: {max(wide, high):.3g}, magnitude: {newtons:.3g}}}",
    ]) + "\n"  # fmt: skip
