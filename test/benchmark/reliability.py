"""What a week of real use would find: `make bench BENCH=reliability` writes out/bench/reliability.json.

    python test/benchmark/reliability.py [--requests 20000] [--kills 200] [--faults 100] [--cancels 60]
        [--stages 20] [--clients-s 300] [--soak-s 3600] [part]...

Parts: fuzz, kills, faults, cancel, stages, clients, soak. The node is a process of its own whose world has a stand-in
for the simulator: what is measured is everything round it. The stages alone, of reconstructions and refinements, are
the real ones. Shorter forms measure the same, and each record says how long.
"""

from __future__ import annotations

import argparse
import os
import sys

from parts import kills, reliability, stages
from parts.records import ROOT, write


def main() -> None:
    """All parts, or those named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--cancels", type=int, default=60)
    parser.add_argument("--stages", type=int, default=20, help="cancels and kills in each stage")
    parser.add_argument("--clients-s", type=float, default=300.0)
    parser.add_argument("--soak-s", type=float, default=3600.0)
    given = parser.parse_args()
    # Its node and its workers import the stand-in for the simulator from there.
    sys.path.insert(0, str(ROOT / "test"))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "test"), os.environ.get("PYTHONPATH", "")])
    work = {
        "fuzz": lambda: reliability.fuzz(given.requests),
        "kills": lambda: (kills.kills(given.kills), reliability.writers(given.kills // 2)),
        "faults": lambda: reliability.faults(given.faults), "cancel": lambda: reliability.cancels(given.cancels),
        "stages": lambda: (stages.cancels(given.stages), stages.kills(given.stages)),
        "clients": lambda: reliability.clients(given.clients_s), "soak": lambda: reliability.soak(given.soak_s),
    }  # fmt: skip
    if unknown := sorted(set(given.parts) - set(work)):
        parser.error(f"no part {', '.join(unknown)}: name some of {', '.join(work)}, or none for all")
    for name in given.parts or work:
        work[name]()
    write("reliability", keep=bool(given.parts))


if __name__ == "__main__":
    main()
