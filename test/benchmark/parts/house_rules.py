"""What the type checker and the import linter say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from parts.records import ROOT, record


def rules() -> None:
    """Record item 4 of the house."""
    bin_ = Path(sys.executable).parent
    done = subprocess.run([bin_ / "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]
    errors = re.search(r"Found (\d+) error", last)
    wrong = int(errors[1]) if errors else 0 if done.returncode == 0 else -1
    record("errors of mypy --strict, pw_core and pw_ros", wrong, "", "0", done.returncode == 0, last)
    done = subprocess.run([bin_ / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    told = re.search(r"Contracts: (\d+) kept, (\d+) broken", done.stdout)
    broken = int(told[2]) if told else -1
    record("import contracts broken", broken, "", "0", done.returncode == 0 and broken == 0, told[0] if told else "")
    inside = [room for room in ("pw_core.reconstruct", "pw_core.refine", "pw_ros") if f'containers = ["{room}"]' in
              (ROOT / "pyproject.toml").read_text(encoding="utf-8")]  # fmt: skip
    record("rooms with a layers contract of their own", len(inside), "", "3", len(inside) == 3, ", ".join(inside))
