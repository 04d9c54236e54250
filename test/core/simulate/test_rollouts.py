"""World's rollouts with real physics: rounds, what-ifs, and the same to the bit in a new World and a new process."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.scene import State
from pw_core.store import Store
from pw_core.tree import ROOT
from pw_core.world import World

WIND = parse_action({"type": "wind", "duration": 0.04, "direction": [0, 1, 0], "magnitude": 9})
PRESS = parse_action({
    "type": "tool", "entity": "pin", "duration": 0.04, "times": [0.03], "relative": True,
    "poses": [{"position": [0.02, 0, -0.02]}],
})  # fmt: skip


@pytest.fixture
def world(rolling_pin, tmp_path: Path) -> World:
    scene, simulation = rolling_pin
    store = Store(tmp_path / "store")
    store.save_scene(scene)
    store.save_state(scene.id, State(ROOT, "", 0.0, scene.initial_physics()))
    world = World.open(store.root, scene=scene.id)
    world._simulation = simulation
    return world


def end_of(world: World, start: str, *actions, commit: bool = False) -> State:
    rollout = world.rollout(actions, 0.04, start=start, commit=commit)
    assert len(list(rollout)) == 3
    return rollout.end


def digest(state: State) -> str:
    total = hashlib.sha256()
    for value in state.physics.particles.arrays().values():
        total.update(np.ascontiguousarray(value).tobytes())
    for body in state.physics.bodies.values():
        total.update(b"".join(np.asarray(v, np.float64).tobytes() for v in vars(body).values()))
    return total.hexdigest()


def test_three_rounds_and_a_what_if_leave_the_states_they_should(world) -> None:
    folder = world.store.folder(world.scene.id) / "states"
    ends, files = [world.state(ROOT)], {}
    for actions in ([WIND], [PRESS], []):
        ends.append(end_of(world, "", *actions, commit=True))
        assert world.head == ends[-1].id and {p.stem for p in folder.iterdir()} == {s.id for s in ends}
        files |= {p: p.read_bytes() for p in folder.iterdir() if p not in files}
    what_if = end_of(world, ends[1].id, WIND)
    assert [s.parent for s in ends] == ["", ROOT, ends[1].id, ends[2].id] and what_if.parent == ends[1].id
    assert [s.time_s for s in ends] == pytest.approx([0, 0.04, 0.08, 0.12]) and what_if.time_s == pytest.approx(0.08)
    assert world.head == ends[3].id and world.committed == {s.id for s in ends}
    assert {p: p.read_bytes() for p in folder.iterdir()} == files
    again = World.open(world.store.root, scene=world.scene.id)
    assert again.head == world.head and [digest(again.state(s.id)) for s in ends] == [digest(s) for s in ends]
    moved = what_if.physics.particles.positions - ends[2].physics.particles.positions
    assert np.abs(moved).max() > 1e-4  # it went another way


def test_a_rollout_is_the_same_to_the_bit_here_and_in_another_process(world) -> None:
    middle = end_of(world, ROOT, WIND, commit=True)
    wanted = digest(end_of(world, middle.id, WIND, PRESS))
    end_of(world, ROOT, PRESS)
    assert digest(end_of(world, middle.id, WIND, PRESS)) == wanted
    loaded = World.open(world.store.root, scene=world.scene.id)
    loaded._simulation = world._simulation
    assert digest(end_of(loaded, middle.id, WIND, PRESS)) == wanted
    command = [sys.executable, __file__, str(world.store.root), world.scene.id, middle.id]
    other = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert other.returncode == 0, other.stderr
    assert other.stdout.split()[-1] == wanted


if __name__ == "__main__":  # the other process builds its own simulation
    opened = World.open(sys.argv[1], scene=sys.argv[2])
    print(digest(end_of(opened, sys.argv[3], WIND, PRESS)))
