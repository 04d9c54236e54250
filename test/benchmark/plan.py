"""Figures of planning: `make bench BENCH=plan` writes out/bench/plan.json.

The two engines beside each other on the example scenes, in this process and in turn; what one candidate and twenty cost
through `World.evaluate` on the fast engine; a batch against each alone; searches for one place by every sampler on the
same budget; the engine for CUDA alone and Ray on two GPUs, skipped without them. Parts may be named as
arguments.
"""

from __future__ import annotations

import sys

from parts.plan_batch import batch
from parts.plan_cuda import plan_cuda
from parts.plan_farm import farm
from parts.plan_mpc import mpc
from parts.plan_pace import pace
from parts.plan_start import start
from parts.plan_tasks import tasks
from parts.records import write

PARTS = {"pace": pace, "start": start, "tasks": tasks, "mpc": mpc, "batch": batch, "cuda": plan_cuda, "farm": farm}


def main() -> None:
    """Measure the parts named on the command line, or all; print, write."""
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := sorted(set(chosen) - set(PARTS)):
        sys.exit(f"no part {', '.join(unknown)}: name some of {', '.join(PARTS)}, or none for all")
    for name in chosen:
        PARTS[name]()
    write("plan", keep=True)


if __name__ == "__main__":
    main()
