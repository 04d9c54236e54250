"""A scene file with comments, from what is known of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pw_core.cli.own.camera import Known, Solved, box_of
from pw_core.cli.own.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class SceneTextOptions:
    """The push that a new scene begins with: seen, and not out of the picture."""

    push_weights: float = 0.8
    """Its force over the thing's weight: more than friction holds, by a little."""
    push_s: float = 0.1
    """How long it lasts."""
    round_s: float = 0.4
    """How long is looked at."""
    room_m: float = 0.3
    """Free room round the things: what rolls without friction goes so far."""
    room_ratio: float = 1.5
    """The same over the first thing's size, for large ones."""


def scene_text(
    name: str, photo: Path, known: Known, solved: Solved, *, particles: int = 0,
    options: SceneTextOptions = SceneTextOptions(),
) -> str:  # fmt: skip
    """The scene file, as YAML with comments; particles: 0 as many as is usual."""
    lines = [
        *head(name, photo),
        "camera:",
        f"  height_m: {solved.height_m:.4g}  # [m] above the table; {solved.known['height_m']}",
        f"  pitch_deg: {solved.pitch_deg:.4g}  # [degrees] downwards from the horizontal; {solved.known['pitch_deg']}",
        f"  hfov_deg: {solved.hfov_deg:.4g}  # [degrees] across the photo's width; {solved.known['hfov_deg']}",
        "table:",
        f"  edge_m: {solved.edge_m:.4g}  # [m] from below the camera to where the table ends; {solved.known['edge_m']}",
        "  # backdrop_m: 1.0  # [m] from that edge to the wall behind",
        "entities:  # things that move; boxes and points in pixels of the full photo, from its left and top",
    ]
    for i in range(len(known.things)):
        lines += [
            *thing_lines(known, i),
            "    # depth_ratio: 1.0  # how deep it is, of how wide it looks",
            "    # shape: revolve    # a cup, a bottle: round about its axis",
        ]
    room = f"margin_m: {max(options.room_m, options.room_ratio * max(solved.size_m)):.2g}"  # a round thing rolls
    some = f"particles: {particles}, " if particles else ""
    lines.append(f"simulation: {{{some}{room}}}  # margin_m [m]: free room round the things")
    return "\n".join([*lines, *_round(known, solved, options)]) + "\n"


def head(name: str, photo: Path) -> list[str]:
    """The first lines: by what it was made, what it is called, and its photo."""
    return [
        f"# Made by `pw new {photo.name}`. What says GUESS is one: mend it, or give it to `pw new`.",
        f"name: {name}",
        f"title: {name.replace('_', ' ').replace('-', ' ')}",
        f"photo: {_quoted(photo.as_posix())}",
    ]


def thing_lines(known: Known, i: int) -> list[str]:
    """The i-th entity: its name, material and prompts."""
    thing = known.things[i]
    found = PRESETS[thing.material]
    values = {k: f"{v:g}" if isinstance(v, (int, float)) else v for k, v in found.material.items()}
    fields = ", ".join(f"{k}: {v}" for k, v in values.items())
    numbers = ", ".join(f"{x:g}" for x in box_of(known, i))
    return [
        f"  - name: {thing.name}",
        f"    material: {{{fields}}}  # {thing.material}: {found.source}",
        "    prompt:",
        f"      box: [{numbers}]  # left, top, right, bottom" + ("" if thing.box else "; GUESS: the photo's middle"),
        _points("points", thing.points, "on the thing, where the box alone finds too little"),
        _points("negative_points", thing.negative_points, "on what is not of it, where the box finds too much"),
    ]


def _round(known: Known, solved: Solved, options: SceneTextOptions) -> list[str]:
    """A push of the first thing, as wide as its box."""
    first, (wide, high) = known.things[0], solved.size_m
    density = float(PRESETS[first.material].material["density_kg_m3"])
    newtons = options.push_weights * 9.81 * density * 0.5 * wide * wide * high  # half of a block of its box
    centre = f"[{solved.foot_m + wide / 3:.3g}, {solved.aside_m:.3g}, {high / 2:.3g}]"
    return [
        "rounds:  # what happens to it, one after the other; see docs/engine.md for the kinds of actions",
        "  - name: pushed",
        f"    duration: {options.round_s:g}  # [s]",
        "    actions:",
        "      # center [m]: x away from the camera, y to its left, z up; magnitude of a push [N] in all, here about "
        f"{options.push_weights:g} times its weight",
        f"      - {{type: push, entity: {first.name}, duration: {options.push_s:g}, center: {centre}, "
        f"direction: [0, -1, 0], radius: {max(wide, high):.3g}, magnitude: {newtons:.3g}}}",
    ]


def _points(key: str, points: tuple[tuple[float, float], ...], why: str) -> str:
    if not points:
        return f"      # {key}: [[x, y]]  # {why}"
    return f"      {key}: [{', '.join(f'[{x:g}, {y:g}]' for x, y in points)}]  # {why}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
