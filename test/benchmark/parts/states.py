"""Rollouts through World on the disk: bit-identical again, from a restored state and in another process; the tree."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from parts.records import record
from pw_core.actions import parse_action
from pw_core.scene import PhysicsState, Scene, State
from pw_core.store import Store
from pw_core.tree import ROOT
from pw_core.world import World

WIND = {"type": "wind", "duration": 0.1, "direction": [0, 1, 0], "magnitude": 8}


def digest(physics: PhysicsState) -> str:
    """SHA-256 over every array of a physical state."""
    total = hashlib.sha256()
    for key, value in sorted(physics.particles.arrays().items()):
        total.update(key.encode() + np.ascontiguousarray(value).tobytes())
    for name, body in sorted(physics.bodies.items()):
        total.update(name.encode() + b"".join(np.ascontiguousarray(v).tobytes() for v in vars(body).values()))
    return total.hexdigest()


def end_of(world: World, start: str, *actions: dict[str, Any], duration: float = 0.1, commit: bool = False) -> State:
    """The state a rollout ends in."""
    rollout = world.rollout([parse_action(a) for a in actions], duration, start=start, commit=commit)
    for _ in rollout:
        pass
    return rollout.end


def states(scene: Scene) -> None:
    """All records; `scene` has a deformable entity, and best a rigid one too."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.save_scene(scene)
        store.save_state(scene.id, State(ROOT, "", 0.0, scene.initial_physics()))
        world = World.open(folder, scene=scene.id)
        middle = end_of(world, ROOT, WIND, commit=True)
        first = end_of(world, middle.id, WIND)
        end_of(world, ROOT)  # something else in between
        again = end_of(world, middle.id, WIND)
        same(scene, "the same rollout twice", digest(first.physics), digest(again.physics))
        reopened = World.open(folder, scene=scene.id)
        same(scene, "from a state loaded by a new World", digest(first.physics),
             digest(end_of(reopened, middle.id, WIND).physics))  # fmt: skip
        command = [sys.executable, __file__, folder, scene.id, middle.id]
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": path}
        other = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
        found = other.stdout.split()[-1] if other.returncode == 0 else other.stderr[-300:]
        same(scene, "from there in a second process", digest(first.physics), found)
        began = time.perf_counter()
        rollout = world.rollout([parse_action({**WIND, "magnitude": 3})], 0.1)
        next(rollout), world._build(None, {}).step()
        seconds = time.perf_counter() - began
        rollout.close()
        record(f"{scene.id}: second rollout, request to first step", seconds, "s", "<= 0.5", seconds <= 0.5)
        tree(scene, world)


def same(scene: Scene, what: str, wanted: str, found: str) -> None:
    """A record of two digests."""
    note = "positions, velocities, C, F, Jp, active, bodies" if wanted == found else found
    record(f"{scene.id}: bit-identical, {what}", float(wanted == found), "", "1", wanted == found, note)


def tree(scene: Scene, world: World) -> None:
    """Three rounds, each from the last one's end, and a what-if from the first's: what states are there after."""
    world.reset()
    folder = world.store.folder(scene.id) / "states"
    ends: list[State] = [world.state(ROOT)]
    kept: dict[str, bytes] = {}
    for k in range(3):
        ends.append(end_of(world, "", {**WIND, "magnitude": 2.0 * k}, duration=0.06, commit=True))
        kept |= {p.name: p.read_bytes() for p in folder.iterdir()}
    what_if = end_of(world, ends[1].id, WIND, duration=0.06)
    faults = [f"{p} changed" for p, data in kept.items() if (folder / p).read_bytes() != data]
    for parent, child in [*itertools.pairwise(ends), (ends[1], what_if)]:
        if child.parent != parent.id or abs(child.time_s - parent.time_s - 0.06) > 1e-9:
            faults.append(f"{child.id} comes from {child.parent} at {child.time_s}")
    if world.head != ends[-1].id or what_if.id in world.committed or len({s.id for s in [*ends, what_if]}) != 5:
        faults.append(f"head {world.head}, committed {sorted(world.committed)}")
    reopened = World.open(world.store.root, scene=scene.id)
    if reopened.head != ends[-1].id or {s.id for s in reopened.states()} != world.committed:
        faults.append("another World finds another tree")
    for end in ends:
        if digest(reopened.state(end.id).physics) != digest(end.physics):
            faults.append(f"{end.id} is not on the disk as it was made")
    record(f"{scene.id}: faults in the tree after three rounds and a what-if", len(faults), "", "0", not faults,
           json.dumps(faults) if faults else "")  # fmt: skip


if __name__ == "__main__":  # the second process
    opened = World.open(Path(sys.argv[1]), scene=sys.argv[2])
    print(digest(end_of(opened, sys.argv[3], WIND).physics))
