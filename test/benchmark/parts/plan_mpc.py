"""Model predictive control against a hidden world: where the clay is after five rounds, with refinement, without, and
told the truth. `examples/mpc.py` runs each arm and says what its figures are; its pages stay in out/bench/mpc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

from parts.records import ROOT, record

SEEDS = int(os.environ.get("PW_PLAN_SEEDS", "1"))
ARMS = ("refined", "blind", "told")
ROUNDS, PARTICLES, BUDGET = 5, 800, 24
"""Half of what the example takes, so that the three arms take some minutes."""


def mpc() -> None:
    """Record the final errors, and how far the models were off that planned the last round."""
    found = {arm: [_run(arm, seed) for seed in range(SEEDS)] for arm in ARMS}
    final = {arm: 1e3 * np.array([f["final_error_m"] for f in found[arm]]) for arm in ARMS}
    off = {arm: 1e3 * np.array([f["final_prediction_error_m"] for f in found[arm]]) for arm in ARMS}
    began = 1e3 * found["told"][0]["start_to_goal_m"]
    how = f"{ROUNDS} rounds, {PARTICLES} particles, {BUDGET} candidates a round, {began:.0f} mm to go at first"
    blind = float(np.median(final["blind"]))
    for arm in ARMS:
        middle = float(np.median(final[arm]))
        ways = [[round(1e3 * r["to_goal_m"], 1) for r in f["rounds"]] for f in found[arm]]
        each = "; ".join(f"seed {k}: {', '.join(map(str, way))}" for k, way in enumerate(ways))
        refined = arm == "refined"
        record(
            f"MPC, {arm}: final error", middle, "mm", f"< {blind:.3g} (blind)" if refined else "reported",
            middle < blind if refined else None, f"clay's centroid to its goal, median of {SEEDS} seeds; {how}; {each}",
        )  # fmt: skip
        if arm != "told":  # whose model is the truth
            middle, each = float(np.median(off[arm])), ", ".join(f"{v:.1f}" for v in off[arm])
            record(f"MPC, {arm}: prediction error in the last round", middle, "mm", "reported", None,
                   f"mean distance of all particles; seeds: {each}")  # fmt: skip


def _run(arm: str, seed: int) -> dict[str, Any]:
    out = ROOT / "out" / "bench" / "mpc" / f"{arm}_{seed}"
    given = ["--arm", arm, "--seed", seed, "--rounds", ROUNDS, "--particles", PARTICLES, "--budget", BUDGET, "--out"]
    subprocess.run([sys.executable, ROOT / "examples" / "mpc.py", *map(str, given), out], check=True, cwd=ROOT)
    figures: dict[str, Any] = json.loads((out / "figures.json").read_text())
    return figures
