"""A scene file with comments, from what is known of a photo."""

from __future__ import annotations

from pathlib import Path

from pw_core.cli.own.camera import Known, Solved, box_of
from pw_core.cli.own.presets import PRESETS


def scene_text(name: str, photo: Path, known: Known, solved: Solved, *, particles: int = 0) -> str:
    """The scene file, as YAML with comments; particles: 0 as many as is usual."""
    lines = [
        f"# Made by `pw new {photo.name}`. What says GUESS is one: mend it, or give it to `pw new`.",
        f"name: {name}",
        f"title: {name.replace('_', ' ').replace('-', ' ')}",
        f"photo: {_quoted(photo.as_posix())}",
        "camera:",
        f"  height_m: {solved.height_m:.4g}  # [m] above the table; {solved.known['height_m']}",
        f"  pitch_deg: {solved.pitch_deg:.4g}  # [degrees] downwards from the horizontal; {solved.known['pitch_deg']}",
        f"  hfov_deg: {solved.hfov_deg:.4g}  # [degrees] across the photo's width; {solved.known['hfov_deg']}",
        "table:",
        f"  edge_m: {solved.edge_m:.4g}  # [m] from below the camera to where the table ends; {solved.known['edge_m']}",
        "  # backdrop_m: 1.0  # [m] from that edge to the wall behind",
        "entities:  # things that move; boxes and points in pixels of the full photo, from its left and top",
    ]
    for i, thing in enumerate(known.things):
        found = PRESETS[thing.material]
        values = {k: f"{v:g}" if isinstance(v, (int, float)) else v for k, v in found.material.items()}
        fields = ", ".join(f"{k}: {v}" for k, v in values.items())
        numbers = ", ".join(f"{x:g}" for x in box_of(known, i))
        lines += [
            f"  - name: {thing.name}",
            f"    material: {{{fields}}}  # {thing.material}: {found.source}",
            "    prompt:",
            f"      box: [{numbers}]  # left, top, right, bottom"
            + ("" if thing.box else "; GUESS: the photo's middle"),
            _points("points", thing.points, "on the thing, where the box alone finds too little"),
            _points("negative_points", thing.negative_points, "on what is not of it, where the box finds too much"),
            "    # depth_ratio: 1.0  # how deep it is, of how wide it looks",
            "    # shape: revolve    # a cup, a bottle: round about its axis",
        ]
    if particles:
        lines.append(f"simulation: {{particles: {particles}}}  # in all that is not rigid")
    return "\n".join([*lines, *_round(known, solved)]) + "\n"


def _round(known: Known, solved: Solved, *, share: float = 1.5) -> list[str]:
    """A push of the first thing with `share` times what it weighs about, as wide as its box."""
    first, (wide, high) = known.things[0], solved.size_m
    density = float(PRESETS[first.material].material["density_kg_m3"])
    newtons = share * 9.81 * density * 0.5 * wide * wide * high  # half of a block of its box
    centre = f"[{solved.foot_m + wide / 3:.3g}, {solved.aside_m:.3g}, {high / 2:.3g}]"
    return [
        "rounds:  # what happens to it, one after the other; see docs/engine.md for the kinds of actions",
        "  - name: pushed",
        "    duration: 0.5  # [s]",
        "    actions:",
        "      # center [m]: x away from the camera, y to its left, z up; magnitude of a push [N] in all, here about "
        f"{share:g} times its weight",
        f"      - {{type: push, entity: {first.name}, duration: 0.15, center: {centre}, direction: [0, -1, 0], "
        f"radius: {max(wide, high):.3g}, magnitude: {newtons:.3g}}}",
    ]


def _points(key: str, points: tuple[tuple[float, float], ...], why: str) -> str:
    if not points:
        return f"      # {key}: [[x, y]]  # {why}"
    return f"      {key}: [{', '.join(f'[{x:g}, {y:g}]' for x, y in points)}]  # {why}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
