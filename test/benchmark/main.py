"""Figures of the main job: `make bench BENCH=main` writes out/bench/main.json.

The node in a process of its own; photo to scene on our three example photos and the three
real ones of the shared data folder; physics of the scenes as reconstructed;
rollouts and states through World. Masks are held against the path tracer's own where
`examples/photos/make_photos.py --truth` has written them; without, those records are skipped and say so.
"""

from __future__ import annotations

import sys

from parts.node import node
from parts.photos import photos, shared_photos
from parts.physics import physics
from parts.records import write
from parts.states import states

PARTS = ("node", "photos", "real", "physics", "states")


def main() -> None:
    """Measure the parts named on the command line, or all; print, write."""
    parts = set(sys.argv[1:]) or set(PARTS)
    if unknown := sorted(parts - set(PARTS)):
        sys.exit(f"no part {', '.join(unknown)}: name some of {', '.join(PARTS)}, or none for all")
    if "node" in parts:  # first, while this process is small
        node()
    if "real" in parts:
        shared_photos()
    if parts - {"node", "real"}:
        scenes = {name: photos(name) for name in ("jam", "dumpling", "play_doh")}
        if "physics" in parts:
            physics(scenes)
        if "states" in parts:
            states(scenes["dumpling"])
    write("main", keep=parts != set(PARTS))


if __name__ == "__main__":
    main()
