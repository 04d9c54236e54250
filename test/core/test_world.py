"""The state tree, its files, and rollouts, with a stand-in for the simulator; the real one has its own tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_core.scene import PhysicsState, State
from pw_core.store import Store
from pw_core.tree import ROOT, WHOLE
from pw_core.world import World

WIND = parse_action({"type": "wind", "duration": 1, "direction": [0, 1, 0], "magnitude": 1})


class Drift:
    """Carries every particle along y at 1 m/s while there are actions."""

    constants: dict[str, float] = {}  # noqa: RUF012  (never written to)

    def reset(self, physics: PhysicsState, *, time_s: float = 0.0) -> None:
        self.physics, self.time = physics, time_s

    def set_actions(self, actions) -> None:
        self.speed = float(len(actions))

    def advance_to(self, t: float) -> None:
        p = self.physics.particles
        step = np.array([0, self.speed * (t - self.time), 0], np.float32)
        moved = type(p)(**{**p.arrays(), "positions": p.positions + step})
        self.physics, self.time = PhysicsState(moved, self.physics.bodies), t

    def check(self) -> None:
        pass

    def read(self) -> PhysicsState:
        return self.physics


@pytest.fixture
def world(scene, tmp_path: Path) -> World:
    store = Store(tmp_path / "store")
    store.save_scene(scene)
    store.save_state(scene.id, State(ROOT, "", 0.0, scene.initial_physics()))
    world = World.open(store.root, scene=scene.id)
    world._simulation = Drift()
    return world


def y(state: State) -> float:
    return float(state.physics.particles.positions[:, 1].mean())


def test_scene_survives_the_disk(world, scene) -> None:
    for name in ("foreground", "background"):
        for key, value in getattr(scene, name).arrays().items():
            assert np.array_equal(getattr(world.scene, name).arrays()[key], value), key
    assert np.array_equal(world.scene.binding.raw, scene.binding.raw)
    assert world.scene.entities[0].volume_m3 == scene.entities[0].volume_m3
    assert world.scene.config == scene.config and world.scene.cameras[0].name == "photo"


def test_three_rounds_and_a_what_if_leave_exactly_their_states(world) -> None:
    for _ in range(3):
        list(world.rollout([WIND], 0.2, frame_interval=0.05, commit=True))
    first = world.states()[1]
    what_if = world.rollout([], 0.1, start=first.id, frame_interval=0.05)
    frames = list(what_if)
    assert [round(f.time_s, 6) for f in frames] == [0, 0.05, 0.1]
    assert len(world.states()) == 5 and len(world.committed) == 4
    assert world.head != what_if.end.id and world.state().time_s == pytest.approx(0.6)
    assert y(world.state()) - y(world.state(ROOT)) == pytest.approx(0.6, abs=1e-4)
    assert y(what_if.end) == pytest.approx(y(first), abs=1e-6) and what_if.end.parent == first.id
    again = World.open(world.store.root, scene="ball")
    assert again.head == world.head and {s.id for s in again.states()} == world.committed
    assert np.array_equal(again.state().physics.particles.positions, world.state().physics.particles.positions)
    t = again.trajectory()
    assert len(t) == 5 and t.actions == (WIND,)


def test_cancel_keeps_a_part_and_the_head(world) -> None:
    rollout = world.rollout([WIND], 1.0, frame_interval=0.1, commit=True)
    next(rollout), next(rollout)
    rollout.close()
    assert len(rollout.trajectory) == 2 and world.head == ROOT and rollout.end.id not in world.committed


def test_old_what_ifs_leave_first(world) -> None:
    world.tree.max_uncommitted = 2
    ends = []
    for _ in range(4):
        rollout = world.rollout([WIND], 0.1, frame_interval=0.1)
        list(rollout)
        ends.append(rollout.end.id)
    assert [s.id for s in world.states()] == [ROOT, *ends[2:]]


def test_of_many_committed_states_those_used_last_stay_in_memory_and_the_others_are_read_again(world) -> None:
    ends = []
    for _ in range(WHOLE + 4):
        rollout = world.rollout([WIND], 0.005, frame_interval=0.005, commit=True)
        list(rollout)
        ends.append(rollout.end.id)
    outlines = [s.id for s in world.states() if s.is_outline]
    assert outlines == ends[: len(outlines)] and len(outlines) == 3  # beside the last: the head, and the root
    assert y(world.state(ends[0])) == pytest.approx(y(world.state(ROOT)) + 0.005)
    assert [s.id for s in world.states() if s.is_outline] == ends[1:4]
    path = world.store.folder("ball") / "states" / f"{ends[1]}.safetensors"
    path.rename(path.with_suffix(".away"))
    with pytest.raises(PWError) as error:
        world.state(ends[1])
    assert error.value.code == ErrorCode.UNKNOWN_STATE and world.state().id == ends[-1]
    path.with_suffix(".away").rename(path)
    again = World.open(world.store.root, scene="ball")
    assert sum(s.is_outline for s in again.states()) == 3 and not again.states()[-1].is_outline
    again._simulation = Drift()
    what_if = again.rollout([], 0.1, start=ends[1], frame_interval=0.1)
    list(what_if)
    assert y(what_if.end) == pytest.approx(y(world.state(ends[1])))
    again.commit(ends[1])
    assert again.head == ends[1] and not again.state().is_outline


def test_states_can_be_saved_deleted_restored(world) -> None:
    rollout = world.rollout([WIND], 0.1)
    list(rollout)
    world.save(rollout.end.id, "before lunch")
    again = World.open(world.store.root, scene="ball")
    assert again.restore(rollout.end.id).label == "before lunch" and again.head == rollout.end.id
    with pytest.raises(PWError) as error:
        again.delete(again.head)
    assert error.value.code == ErrorCode.STATE_IN_USE
    again.reset()
    again.delete(rollout.end.id)
    assert [s.id for s in again.states()] == [ROOT]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda w: w.rollout([], float("nan")), ErrorCode.INVALID_DURATION),
        (lambda w: w.rollout([], 0), ErrorCode.INVALID_DURATION),
        (lambda w: w.rollout([], 1, frame_interval=-1), ErrorCode.INVALID_DURATION),
        (lambda w: w.rollout([], 10, frame_interval=1e-4), ErrorCode.INVALID_DURATION),
        (lambda w: w.rollout([], 1, start="nowhere"), ErrorCode.UNKNOWN_STATE),
        (lambda w: w.rollout([WIND.model_copy(update={"entity": "toast"})], 1), ErrorCode.UNKNOWN_ENTITY),
        (lambda w: w.render("door"), ErrorCode.UNKNOWN_CAMERA),
        (lambda w: w.select("nowhere"), ErrorCode.UNKNOWN_SCENE),
        (lambda w: w.select("../etc"), ErrorCode.INVALID_NAME),
        (lambda w: w.trajectory(), ErrorCode.UNKNOWN_TRAJECTORY),
        (lambda w: w.config("nothing"), ErrorCode.UNKNOWN_SCENE),
        (lambda w: World(w.store.root).rollout([], 1), ErrorCode.NO_SCENE),
    ],
)
def test_bad_requests_change_nothing(world, call, code) -> None:
    before = [s.id for s in world.states()]
    with pytest.raises(PWError) as error:
        call(world)
    assert error.value.code == code and [s.id for s in world.states()] == before and world.head == ROOT


def test_a_store_that_cannot_be_written(world, scene, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(PWError) as error:
        Store(blocked).save_scene(scene)
    assert error.value.code == ErrorCode.STORE_FAILED


def test_a_broken_file_is_named(world) -> None:
    (world.store.folder("ball") / "background.safetensors").write_bytes(b"half")
    with pytest.raises(PWError) as error:
        World.open(world.store.root, scene="ball")
    assert error.value.code == ErrorCode.STORE_FAILED and "ball" in str(error.value)


def test_pictures_follow_the_state(world) -> None:
    rest = world.render()
    list(world.rollout([WIND], 0.1, frame_interval=0.1, commit=True))
    moved = world.render()
    assert rest.rgb.shape == (64, 96, 3) and np.isfinite(rest.depth).all()
    red = [v.rgb[..., 0].astype(float) - v.rgb[..., 1] for v in (rest, moved)]
    column = [(np.clip(r, 0, None) * np.arange(96)).sum() / np.clip(r, 0, None).sum() for r in red]
    assert column[1] < column[0] - 3  # +y is left
    assert world.particle_colors().shape == (300, 3)
    pose = world.entity_poses(world.state().physics)[0]
    assert pose.position[1] == pytest.approx(y(world.state()), abs=1e-5)
    assert np.allclose(pose.orientation, [1, 0, 0, 0], atol=1e-4)
