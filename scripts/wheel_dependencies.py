"""What a wheel declares, and nothing else, as a folder of links into the environment that runs this.

    python scripts/wheel_dependencies.py WHEEL FOLDER

A wheel tried "alone" needs gigabytes of torch and Genesis, which are here already. FOLDER gets a link for each module
of each distribution that the wheel requires, directly or not, without its extras: what it forgot to declare is not
found there, nor is ROS. Prints how many distributions that are, and names those that are required and not here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

STANDS_IN = {"opencv-python": "opencv-python-headless"}
"""Required by others, and replaced on purpose (see setup.sh)."""


def canonical(name: str) -> str:
    """As the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(lines: list[str], extras: frozenset[str]) -> Iterator[Requirement]:
    """The requirements that hold on this machine with these extras."""
    for line in lines:
        each = Requirement(line)
        if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in extras or {""}):
            yield each


def closure(lines: list[str]) -> tuple[dict[str, metadata.Distribution], set[str]]:
    """Distributions by name that the requirements lead to, and the names that are not installed."""
    here = {canonical(d.metadata["Name"]): d for d in metadata.distributions()}
    found: dict[str, metadata.Distribution] = {}
    absent: set[str] = set()
    waiting = list(required(lines, frozenset()))
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        each = waiting.pop()
        name, extras = canonical(each.name), frozenset(each.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        taken = here.get(name) or here.get(STANDS_IN.get(name, ""))
        if taken is None:
            absent.add(name)
            continue
        found[name] = taken
        waiting += required(taken.requires or [], extras | {""} if extras else extras)
    return found, absent


def main() -> None:
    """Link, and say what is missing."""
    wheel, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    with ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
    found, absent = closure(lines)
    for distribution in found.values():
        for file in distribution.files or ():
            top = file.parts[0]
            source = Path(str(distribution.locate_file(top)))
            if top not in ("..", "__pycache__") and not top.endswith(".pth") and source.exists():
                link = folder / top
                if not link.is_symlink():
                    link.symlink_to(source.resolve())
    print(f"{len(found)} distributions" + (f"; not here: {', '.join(sorted(absent))}" if absent else ""))


if __name__ == "__main__":
    main()
