"""The wheel, alone in a fresh environment: scripts/check_wheel.sh, and what it took."""

from __future__ import annotations

import json
import os
import subprocess
from tempfile import TemporaryDirectory

from parts.records import ROOT, record


def alone() -> None:
    """Install and use it; a failure is a record too."""
    with TemporaryDirectory() as folder:
        figures = f"{folder}/figures.json"
        done = subprocess.run(
            ["bash", str(ROOT / "scripts/check_wheel.sh")], env={**os.environ, "PW_WHEEL_FIGURES": figures},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        note = (done.stdout or done.stderr).strip().splitlines()[-1]
        record("wheel_works_alone", float(done.returncode == 0), "1 or 0", "1", done.returncode == 0, note)
        if done.returncode:
            return
        with open(figures) as file:
            found = json.load(file)
    seconds = found["seconds"]
    busy = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    record("wheel_help", seconds["help"], "s", "<= 1", seconds["help"] <= 1, f"median of 5, after a first; {busy}")
    record("wheel_help_first", seconds["first_help"], "s", "told", None, "bytecode not compiled yet")
    for name in ("reconstruct", "rollout", "view", "export"):
        record(f"wheel_{name}", seconds[name], "s", "told", None, "a process of its own, kernels not compiled before")
    record("wheel_size", found["bytes"] / 1e6, "MB", "told", None, "without dependencies")
