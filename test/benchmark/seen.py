"""Figures of what others see: `make bench BENCH=seen` writes out/bench/seen.json.

exports: a 0.6 s trajectory in every format, each read back by a library that did not write it. studio: in a headless
Chromium, with screenshots in out/bench/seen/studio. alone: the wheel in a fresh environment. pages: the documentation
built strictly, its code run, its links followed. simulation: the calls of simulation_interfaces from a client of that
package. Parts may be named.
"""

from __future__ import annotations

import sys

from parts.alone import alone
from parts.exports import exports
from parts.pages import pages
from parts.records import write
from parts.simulation import simulation
from parts.studio import studio

PARTS = {"exports": exports, "studio": studio, "alone": alone, "pages": pages, "simulation": simulation}


def main() -> None:
    """Measure the parts named on the command line, or all; print, write."""
    parts = set(sys.argv[1:]) or set(PARTS)
    if unknown := sorted(parts - set(PARTS)):
        sys.exit(f"no part {', '.join(unknown)}: name some of {', '.join(PARTS)}, or none for all")
    for name, measure in PARTS.items():
        if name in parts:
            measure()
    write("seen", keep=True)


if __name__ == "__main__":
    main()
