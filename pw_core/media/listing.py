"""The files of an input, each used for something or left out for a reason that is told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LEFT_BY_OTHERS = "left by an archive or a file manager"
"""The reason for leaving litter out, of which nobody needs to hear."""
LITTER = ("__MACOSX", "Thumbs.db", "thumbs.db", "desktop.ini", "@eaDir", "ehthumbs.db")
"""What archives and file managers leave; with it, all whose name begins with a dot."""


@dataclass(frozen=True)
class FileUse:
    """name: of the file, from the input's folder; use: what it was taken for, empty where it was not; reason: why it
    was not, or what was done with it that its pixels do not tell."""

    name: str
    use: str = ""
    reason: str = ""


def is_litter(path: Path) -> bool:
    """Whether it is nobody's data: a dot file, or what archives and file managers leave."""
    return path.name.startswith(".") or path.name in LITTER


def natural(path: Path | str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts names by the numbers in them: 2 before 10, and what is no more than the beginning of another
    before it: `cam` before `cam2`."""
    name = path.name if isinstance(path, Path) else path
    parts = re.split(r"(\d{1,4000})", name)
    return (*((0, int(p), "") if p.isdigit() and p.isascii() else (1, 0, p) for p in parts), (-1, 0, name))


def listed(folder: Path, endings: Iterable[str] = ()) -> list[Path]:
    """Files of a folder in the order of their numbers, without litter; of some endings, whose case does not count."""
    wanted = tuple(endings)
    found = [p for p in folder.iterdir() if not is_litter(p) and p.is_file()]
    return sorted((p for p in found if not wanted or p.suffix.lower() in wanted), key=natural)


def everything(folder: Path, *, depth: int = 4, most: int = 20_000) -> list[Path]:
    """All files of a folder and of those in it, litter too, by name."""
    out: list[Path] = []
    for path in sorted(folder.iterdir(), key=natural):
        if path.is_dir() and depth > 1:
            out += everything(path, depth=depth - 1, most=most - len(out))
        elif path.is_file():
            out.append(path)
        if len(out) >= most:
            break
    return out


def left_out(files: Iterable[FileUse]) -> tuple[str, ...]:
    """A line for each file that was not used: its name, and why; many of one reason in one line. Litter is not told."""
    reasons: dict[str, list[str]] = {}
    for each in files:
        if not each.use and each.reason != LEFT_BY_OTHERS:
            reasons.setdefault(each.reason, []).append(each.name)
    return tuple(f"{_some(names)}: {reason}" for reason, names in reasons.items())


def _some(names: list[str], most: int = 6) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
