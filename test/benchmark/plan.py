"""Figures of planning: `make bench BENCH=plan` writes out/bench/plan.json.

pace: the two engines beside each other on the example scenes, in this process and in turn, how far their answers are
apart, and what one candidate and twenty cost through `World.evaluate`. start: first frames. tasks: searches by every
sampler on the same budget. mpc: five rounds against a hidden world. batch: one of 64 against each alone. claims: what
tests hold, counted. cuda and farm: the engine for CUDA, and Ray on two GPUs, not run without them. Parts may be named
as arguments.
"""

from __future__ import annotations

import sys

from parts.plan_batch import batch
from parts.plan_claims import claims
from parts.plan_cuda import plan_cuda
from parts.plan_farm import farm
from parts.plan_mpc import mpc
from parts.plan_pace import pace
from parts.plan_start import start
from parts.plan_tasks import tasks
from parts.records import write

PARTS = {"pace": pace, "start": start, "tasks": tasks, "mpc": mpc, "batch": batch, "claims": claims, "cuda": plan_cuda,
         "farm": farm}  # fmt: skip


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
