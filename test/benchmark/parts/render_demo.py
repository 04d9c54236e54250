"""The whole demo of each scene, as its page reports it: seconds in all, and what pictures take of them.

Pictures are everything from simulated states to what one looks at: drawing, JPEG, sending, the first pictures of the
scene, and the films, though those are encoded beside the next round. The first run of a scene after a change of
Genesis or of the scene compiles physics kernels for a minute or two: for warm figures run this part twice.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from parts.records import ROOT, record

WIDTH = 1280
SCENES = ("play_doh", "dumpling", "jam")
DRAWN, ENCODED, ALL = "rendering and sending pictures", "encoding films, beside the next round", "wall time"


def demo() -> None:
    """Each scene in a node and a client of its own, one after the other; pages in out/bench/demo/<scene>."""
    for scene in SCENES:
        page = Path("out/bench/demo") / scene / "index.html"
        command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--scene", scene, "--width", str(WIDTH),
                   "--out", str(page.parent)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        html = page.read_text(encoding="utf-8")
        total, drawn, encoded = (seconds(html, row) for row in (ALL, DRAWN, ENCODED))
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end"
        record(f"demo, {scene}, in all", total, "s", "<= 180", total <= 180, f"1280x704; {load}")
        share = 100 * (drawn + encoded) / total
        record(f"demo, {scene}, pictures and films", share, "%", "<= 25", share <= 25,
               f"rendering and sending {drawn:.1f} s, encoding {encoded:.1f} s (beside the next round)")  # fmt: skip


def seconds(html: str, row: str) -> float:
    """The seconds that begin a row of the page."""
    found = re.search(rf"<th>{row}</th><td>([0-9.]+) s", html)
    if found is None:
        sys.exit(f"the demo's page has no row {row!r} in seconds")
    return float(found[1])
