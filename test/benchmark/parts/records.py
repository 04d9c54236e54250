"""Figures as they are measured, and the file they end up in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
RECORDS: list[dict[str, Any]] = []


def record(name: str, value: float | None, unit: str, goal: str, ok: bool | None, note: str = "") -> None:
    """One figure; ok is None where it was not measured."""
    ok = None if ok is None else bool(ok)  # NumPy's own types are not JSON
    value = value.item() if isinstance(value, np.generic) else value
    RECORDS.append({"name": name, "value": value, "unit": unit, "goal": goal, "ok": ok, "note": note})
    shown = "skipped" if value is None else f"{value:.4g} {unit}"
    print(f"{name:<44} {shown:<16} goal {goal:<12} {'' if ok is None else 'ok' if ok else 'MISSED'} {note}")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """[dB] of two uint8 pictures."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def write(name: str, *, keep: bool = False) -> None:
    """All records to out/bench/<name>.json. With `keep` those of earlier runs stay that this one did not measure."""
    path = Path("out/bench") / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = {r["name"]: r for r in json.loads(path.read_text())} if keep and path.exists() else {}
    mine = {r["name"]: r for r in RECORDS if r["value"] is not None or r["name"] not in earlier}
    path.write_text(json.dumps(list((earlier | mine).values()), indent=1))
    missed = [r["name"] for r in RECORDS if r["ok"] is False]
    print(f"{path}: {len(earlier | mine)} figures, {len(mine)} of now, missed: {', '.join(missed) or 'none'}")
