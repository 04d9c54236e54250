"""A writer that is killed at any moment: what it had acknowledged is there, what it had not leaves nothing behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pw_core.store import Store
from pw_core.world import World

KILLS = int(os.environ.get("PW_KILLS", "6"))
"""More of them, to look longer: PW_KILLS=200."""

WRITER = """
import sys, numpy as np
from pw_core.scene import State, Trajectory
from pw_core.world import World
world = World(sys.argv[1])
world.store.tidy()
world.select("ball")
scene = world.scene
print("ready", flush=True)
for number in range(100000):
    name = f"s{sys.argv[2]}-{number}"
    positions = np.stack([scene.rest] * 20)
    way = Trajectory("t" + name, world.head, name, np.arange(20.0), positions, positions, {})
    world.tree.add(State(name, world.head, 0.1, scene.initial_physics(), way.id, created=1e9 + number), way)
    world.commit(name)
    print("commit", name, flush=True)
    if number % 5 == 2:
        world.save(name, "label")
        print("save", name, flush=True)
    if number % 5 == 4:
        world.adopt(scene, replace=True)
        print("replace", flush=True)
"""


@pytest.mark.slow
def test_kills_in_commit_save_and_replace(scene, tmp_path: Path) -> None:
    root, chance = tmp_path / "store", random.Random(0)
    World(root).adopt(scene)
    for kill in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(root), str(kill)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.0, 0.3))
        writer.send_signal(signal.SIGKILL)
        told = [line.split() for line in writer.stdout.read().splitlines()]
        writer.wait()
        store = Store(root)
        store.tidy()
        left = [p for p in root.rglob("*") if p.name.startswith((".new-", ".old-", ".swap-", ".gone-"))]
        assert left == [] and store.check() == [], kill
        world = World.open(root, scene="ball")
        replaced = max((i for i, line in enumerate(told) if line[0] == "replace"), default=-1)
        acknowledged = [line[1] for line in told[replaced + 1 :] if line[0] == "commit"]
        if replaced < 0 and not acknowledged:
            continue  # nothing is known but what the run before left
        if set(acknowledged) <= world.committed:
            # The last that it told is the head, or one that it had no time to tell.
            known = {word for line in told for word in line}
            assert not acknowledged or world.head in acknowledged or world.head not in known
        else:  # the replacement took place and was not told: what it replaced is kept whole
            aside = store.replaced()[-1]
            kept = {p.stem for p in (root / ".replaced" / aside.id / "states").iterdir()}
            assert world.committed == {"root"} and set(acknowledged) <= kept
        world.store.close()
