"""Figures of the main job: `make bench BENCH=main` writes out/bench/main.json.

Photo to scene on our three example photos, and physics of the scenes as reconstructed. Masks are held against the path
tracer's own where `examples/photos/make_photos.py --truth` has written them; without, those records are skipped and say
so.
"""

from __future__ import annotations

from parts.photos import photos
from parts.physics import physics
from parts.records import write
from parts.states import states


def main() -> None:
    """Measure, print, write."""
    scenes = {name: photos(name) for name in ("jam", "dumpling", "play_doh")}
    physics(scenes)
    states(scenes["dumpling"])
    write("main")


if __name__ == "__main__":
    main()
