"""What planning claims beyond speed, as its tests hold it: agreement of the engines, textbook checks, Ray that loses
nothing, bad input. A record is the number of tests that fail; the note says where they are."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from parts.records import ROOT, record

CLAIMS = {
    "engines agree, each material and a body": ["test/core/simulate/fast/test_engine.py"],
    "textbook checks of the fast engine": [
        "test/core/simulate/fast/test_textbook.py", "test/core/simulate/fast/test_particles.py",
    ],
    "rest, dent, recovery, friction, pin: on both engines": [
        "test/core/simulate/test_simulation.py", "test/core/simulate/test_bodies.py",
        "test/core/simulate/test_rollouts.py",
    ],
    "Ray: two nodes, the same bits, an actor and a raylet killed": ["test/core/plan/test_ray.py"],
    "bad input: a clear error, the world unchanged": [
        "test/core/plan/test_world.py", "test/core/plan/test_candidates.py", "test/core/plan/test_search.py",
        "test/core/plan/test_template.py", "test/core/plan/test_terms.py", "test/core/plan/test_processes.py",
    ],
}  # fmt: skip


def claims() -> None:
    """Run each one's tests in a process of their own; none of them may be skipped."""
    for name, files in CLAIMS.items():
        counts = _counts(files)
        bad = counts["failures"] + counts["errors"]
        note = f"{counts['tests']} tests, {counts['skipped']} skipped: {', '.join(Path(f).name for f in files)}"
        ok = bad == 0 and counts["skipped"] == 0 and counts["tests"] > 0
        record(f"{name}: tests that fail", bad, "", "0", ok, note)


def _counts(files: list[str]) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "--junitxml", report.name, *files], cwd=ROOT)
        suites = ElementTree.parse(report.name).getroot().iter("testsuite")
        totals = [{k: int(s.get(k, "0")) for k in ("tests", "failures", "errors", "skipped")} for s in suites]
    return {k: sum(t[k] for t in totals) for k in ("tests", "failures", "errors", "skipped")}
