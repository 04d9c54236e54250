"""The first frame of a rollout in a fresh process with warm caches, and after a change of state in one that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

from parts.plan_cuda_world import STORE, stored
from parts.records import ROOT, record

SCENE, TURNS = "play_doh", 5
CHILD = """
import json, os, sys, time
began = float(sys.argv[1])
from pw_core.world import World
world = World.open(sys.argv[2], scene=sys.argv[3])
def timed(rollout, began):
    times = []
    for frame in rollout:
        times.append(time.monotonic() - began)
        if len(times) == 2:
            break
    return times
rollout = world.rollout([], 0.1)
fresh = timed(rollout, began)
cpu = time.process_time()
heavy = sorted({"torch", "genesis", "ray"} & set(sys.modules))
changed = []
for _ in range(5):
    list(rollout)
    world.commit(rollout.end.id)
    rollout = world.rollout([], 0.1)
    changed.append(timed(rollout, time.monotonic()))
print(json.dumps({"fresh": fresh, "cpu": cpu, "heavy": heavy, "changed": changed}))
"""
"""Clocks that all processes share; two frames each: the one at t = 0, and the first that was simulated."""


def start() -> None:
    """Record both, the median of some processes; the first brings the caches up and does not count."""
    scene = stored(SCENE, "cpu").scene
    assert scene is not None
    runs = [_run() for _ in range(TURNS + 1)][1:]
    interval = f"{scene.config.frame_interval_s * 1e3:.0f} ms"
    fresh, cpu = np.array([r["fresh"] for r in runs]), np.median([r["cpu"] for r in runs])
    heavy = sorted({m for r in runs for m in r["heavy"]})
    at_rest, moved = np.median(fresh, axis=0)
    note = (f"{SCENE}, {len(scene.rest)} particles; from the start of Python on, scene opened and engine built; median "
            f"of {TURNS} processes, {fresh[:, 0].min():.2f} to {fresh[:, 0].max():.2f} s")  # fmt: skip
    record("first frame in a fresh process, warm caches", at_rest, "s", "<= 2", at_rest <= 2,
           f"{note}; loaded of torch, Genesis and Ray: {', '.join(heavy) or 'none'}")  # fmt: skip
    record("first simulated frame in a fresh process", moved, "s", "reported", None,
           f"that of {interval}; {cpu:.2f} s of CPU")  # fmt: skip
    at_rest, moved = 1e3 * np.median([r["changed"] for r in runs], axis=(0, 1))
    record("first frame after a change of state", at_rest, "ms", "<= 50", at_rest <= 50,
           f"{SCENE}; a rollout from a state committed just now, 5 in each of {TURNS} processes")  # fmt: skip
    record("first simulated frame after a change of state", moved, "ms", "reported", None, f"that of {interval}")


def _run() -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    given = [sys.executable, "-c", CHILD, str(time.monotonic()), str(STORE), SCENE]
    done = subprocess.run(given, env=environment, check=True, capture_output=True, text=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
