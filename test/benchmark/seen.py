"""Figures of what others see: `make bench BENCH=seen` writes out/bench/seen.json.

Exports of a 0.6 s trajectory of the example scenes, each read back by a library that did not write it; the studio in a
headless Chromium, with screenshots in out/bench/seen/studio.
"""

from __future__ import annotations

import sys

from parts.exports import exports
from parts.records import write
from parts.studio import studio

PARTS = ("exports", "studio")


def main() -> None:
    """Measure the parts named on the command line, or all; print, write."""
    parts = set(sys.argv[1:]) or set(PARTS)
    if unknown := sorted(parts - set(PARTS)):
        sys.exit(f"no part {', '.join(unknown)}: name some of {', '.join(PARTS)}, or none for all")
    if "exports" in parts:
        exports()
    if "studio" in parts:
        studio()
    write("seen", keep=True)


if __name__ == "__main__":
    main()
