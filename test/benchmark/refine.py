"""Figures of the closed loop: `make bench BENCH=refine` writes out/bench/refine.json.

The loop itself takes hours on a CPU, so it is run by `test/benchmark/closed_loop.py`, and what that has written to
out/bench/closed_loop*.json is read here; where there is nothing, the records are skipped and say so.
"""

from __future__ import annotations

import os
import sys

from parts.interrupts import interrupts
from parts.loops import loops
from parts.noise import run as noise
from parts.records import write
from parts.refine_speed import speed
from parts.rest import at_rest
from parts.sdedit import sdedit
from parts.targets import bad_targets

PARTS = {
    "targets": bad_targets, "interrupts": interrupts, "loops": loops, "rest": at_rest, "sdedit": sdedit, "noise": noise,
    "speed": speed,
}  # fmt: skip


def main() -> None:
    """Measure the parts named on the command line, or all; print, write."""
    parts = sys.argv[1:] or list(PARTS)
    if unknown := sorted(set(parts) - set(PARTS)):
        sys.exit(f"no part {', '.join(unknown)}: name some of {', '.join(PARTS)}, or none for all")
    for name in parts:
        PARTS[name]()
        if not os.environ.get("PW_BENCH_SMALL"):  # sizes that show that a part runs, and nothing else
            write("refine", keep=parts != list(PARTS))


if __name__ == "__main__":
    main()
