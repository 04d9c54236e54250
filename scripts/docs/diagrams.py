"""The documentation's drawings: `python scripts/docs/diagrams.py` writes docs/images/states.svg and loop.svg."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
INK, HEAD, OFF = "#334155", "#3f51b5", "#94a3b8"
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1e293b;text-anchor:middle}"
    ".small{font-size:12px;fill:#475569}.light{fill:#ffffff}"
)


@dataclass(frozen=True)
class Box:
    """A rounded box about (x, y) [px] with a line of text and a smaller one below."""

    x: float
    y: float
    text: str
    below: str = ""
    fill: str = "#ffffff"
    stroke: str = INK
    dashed: bool = False
    wide: float = 150
    high: float = 50

    def drawn(self) -> str:
        """As SVG."""
        dash = ' stroke-dasharray="5 4"' if self.dashed else ""
        light = "light" if self.fill not in ("#ffffff", "none") else ""
        lift = 7 if self.below else -5
        out = (
            f'<rect x="{self.x - self.wide / 2:g}" y="{self.y - self.high / 2:g}" width="{self.wide:g}" '
            f'height="{self.high:g}" rx="8" fill="{self.fill}" stroke="{self.stroke}" stroke-width="1.5"{dash}/>'
            f'<text class="{light}" x="{self.x:g}" y="{self.y - lift + (4 if self.below else 0):g}">{self.text}</text>'
        )
        if self.below:
            out += f'<text class="small {light}" x="{self.x:g}" y="{self.y + 15:g}">{self.below}</text>'
        return out


def arrow(a: Box, b: Box, *, text: str = "", color: str = INK, dashed: bool = False, lift: float = -6) -> str:
    """From the side of one box that faces the other to that one's."""
    across = abs(b.x - a.x) > abs(b.y - a.y)
    if across:
        way = 1 if b.x > a.x else -1
        x1, y1, x2, y2 = a.x + way * a.wide / 2, a.y, b.x - way * (b.wide / 2 + 8), b.y
    else:
        way = 1 if b.y > a.y else -1
        x1, y1, x2, y2 = a.x, a.y + way * a.high / 2, b.x, b.y - way * (b.high / 2 + 8)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    bend = f"C {x:g} {y1:g}, {x:g} {y2:g}," if across else f"C {x1:g} {y:g}, {x2:g} {y:g},"
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    out = (
        f'<path d="M {x1:g} {y1:g} {bend} {x2:g} {y2:g}" fill="none" stroke="{color}" stroke-width="1.5" '
        f'marker-end="url(#tip)"{dash}/>'
    )
    if text:
        out += f'<text class="small" x="{x:g}" y="{y + lift:g}">{text}</text>'
    return out


def page(name: str, wide: int, high: int, parts: list[str], title: str) -> None:
    """Write the drawing, on white so that it is read on dark pages too."""
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{INK}"/></marker>'
    )
    (IMAGES / name).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}">'
        f"<title>{title}</title><style>{STYLE}</style><defs>{tip}</defs>"
        f'<rect width="{wide}" height="{high}" rx="10" fill="#f8fafc"/>{"".join(parts)}</svg>\n',
        encoding="utf-8",
    )


def states() -> None:
    """The tree of states."""
    root = Box(95, 120, "reconstruction", "t = 0")
    first = Box(300, 120, "round 1", "rollout, committed")
    fixed = Box(505, 120, "round 1, corrected", "refined, committed", wide=160)
    head = Box(720, 120, "round 2", "head: the world now", fill=HEAD, stroke=HEAD)
    what = [
        Box(300, 40, "what if: wind", "rollout", stroke=OFF, dashed=True),
        Box(505, 200, "what if: push left", "cost 3.1 cm", stroke=OFF, dashed=True, wide=160),
        Box(720, 200, "and then wait", "rollout", stroke=OFF, dashed=True),
        Box(720, 40, "what if: push right", "cost 4.7 cm", stroke=OFF, dashed=True, wide=160),
    ]
    lines = [arrow(root, first), arrow(first, fixed, text=""), arrow(fixed, head)]
    branches = ((root, what[0]), (first, what[1]), (what[1], what[2]), (fixed, what[3]))
    lines += [arrow(a, b, color=OFF, dashed=True) for a, b in branches]
    page("states.svg", 815, 240, lines + [b.drawn() for b in (root, first, fixed, head, *what)], "A tree of states")


def loop() -> None:
    """The closed loop."""
    predict = Box(120, 60, "predict", "rollout, committed")
    act = Box(390, 60, "act", "the robot, in reality")
    film = Box(660, 60, "film", "cameras, with stamps")
    track = Box(660, 200, "track", "where did things go?")
    fit = Box(390, 200, "fit", "constants, colours, detail", wide=180)
    write = Box(120, 200, "write back", "state, with errors", fill=HEAD, stroke=HEAD)
    lines = [
        arrow(predict, act, text="actions"), arrow(act, film, text="light"), arrow(film, track, text=""),
        arrow(track, fit, text="motion"), arrow(fit, write, text="correction"), arrow(write, predict),
        arrow(Box(165, 84, "", wide=10, high=2), Box(580, 180, "", wide=10, high=2), color=OFF, dashed=True),
        '<text class="small" x="470" y="125">predicted frames</text>',
    ]  # fmt: skip
    page("loop.svg", 780, 250, lines + [b.drawn() for b in (predict, act, film, track, fit, write)], "The closed loop")


if __name__ == "__main__":
    states()
    loop()
