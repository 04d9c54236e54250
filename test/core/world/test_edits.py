"""Things put elsewhere by hand: pose and twist read back as they were set, shape and stress carried along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pw_core.appearance import entity_poses
from pw_core.errors import ErrorCode, PWError
from pw_core.scene import Body, PhysicsState
from pw_core.store import Store
from pw_core.world import World
from pw_core.world.edits import with_entity
from support.ball_scene import ball_scene

TURN = Rotation.from_euler("xyz", [20, -30, 70], degrees=True)
WXYZ = TURN.as_quat()[[3, 0, 1, 2]]


def deformed(scene) -> PhysicsState:
    """The ball, stretched, stressed and in motion within."""
    rng = np.random.default_rng(1)
    p = scene.particles
    positions = p.positions * np.float32([1, 1, 1.1])
    F = np.tile(np.diag([1, 1, 1.1]).astype(np.float32), (len(positions), 1, 1))
    return PhysicsState(replace(p, positions=positions, velocities=rng.normal(size=p.velocities.shape), F=F))


@pytest.mark.parametrize("model", ["elastic", "liquid"])
def test_a_deformable_is_where_it_was_put_with_its_shape_and_motion_turned_along(model: str) -> None:
    scene = ball_scene(model)
    before = deformed(scene)
    (was,) = entity_poses(scene, before)
    target = Rotation.from_quat(was.orientation[[1, 2, 3, 0]])
    wanted = (TURN * target).as_quat()[[3, 0, 1, 2]]
    after = with_entity(scene, before, "ball", position=[0.62, 0.03, 0.09], orientation=wanted)
    (pose,) = entity_poses(scene, after)
    assert np.allclose(pose.position, [0.62, 0.03, 0.09], atol=1e-6)
    assert abs(pose.orientation @ wanted) == pytest.approx(1, abs=1e-9)
    assert np.allclose(pose.linear, TURN.apply(was.linear), atol=1e-5)
    assert np.allclose(pose.angular, TURN.apply(was.angular), atol=1e-4)
    p, q, turn = before.particles, after.particles, TURN.as_matrix()
    assert np.allclose(q.positions - pose.position, (p.positions - was.position) @ turn.T, atol=1e-6)
    assert np.allclose(q.F, p.F if model == "liquid" else turn @ p.F, atol=1e-6)
    assert np.array_equal(q.Jp, p.Jp) and np.array_equal(scene.initial_physics().particles.positions, scene.rest)


def test_a_twist_that_is_set_is_read_back_and_nothing_else_moves_inside() -> None:
    scene = ball_scene()
    after = with_entity(scene, deformed(scene), "ball", linear=[0.1, 0.2, 0], angular=[0, 0, 3])
    (pose,) = entity_poses(scene, after)
    assert np.allclose(pose.linear, [0.1, 0.2, 0], atol=1e-6) and np.allclose(pose.angular, [0, 0, 3], atol=1e-5)
    arm = after.particles.positions - pose.position
    spin = np.cross([0, 0, 3], arm)
    assert np.allclose(after.particles.velocities - spin, [0.1, 0.2, 0], atol=1e-6)
    assert np.allclose(after.particles.C[0], [[0, -3, 0], [3, 0, 0], [0, 0, 0]])
    assert np.array_equal(after.particles.positions, deformed(scene).particles.positions)


def rigid_scene(*, tool: bool = False):
    scene = ball_scene("rigid")
    return replace(scene, entities=(replace(scene.entities[0], kind="tool" if tool else "rigid"),))


def test_a_rigid_body_has_the_pose_and_twist_that_were_set() -> None:
    scene = rigid_scene()
    before = scene.initial_physics()
    after = with_entity(scene, before, "ball", position=[0.5, 0, 0.06], orientation=WXYZ, angular=[1, 2, 3])
    (pose,) = entity_poses(scene, after)
    assert np.allclose(pose.position, [0.5, 0, 0.06]) and np.allclose(pose.orientation, WXYZ)
    assert np.allclose(pose.angular, [1, 2, 3]) and not pose.linear.any()
    assert isinstance(before.bodies["ball"], Body) and np.allclose(before.bodies["ball"].position, [0.6, 0, 0.05])


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"position": [np.nan, 0, 0]}, ErrorCode.INVALID_ACTION),
        ({"orientation": [0, 0, 0, 0]}, ErrorCode.INVALID_ACTION),
        ({"angular": [0, np.inf, 0]}, ErrorCode.INVALID_ACTION),
        ({"position": [9, 0, 0.06]}, ErrorCode.OUT_OF_BOUNDS),
        ({"position": [0.6, 0, -0.2]}, ErrorCode.OUT_OF_BOUNDS),
    ],
)
def test_what_cannot_be_is_refused(asked, code: ErrorCode) -> None:
    scene = ball_scene()
    with pytest.raises(PWError) as caught:
        with_entity(scene, scene.initial_physics(), "ball", **asked)
    assert caught.value.code == code


def test_unknown_things_and_a_tools_twist_are_refused() -> None:
    scene = rigid_scene(tool=True)
    for name, code in (("cat", ErrorCode.UNKNOWN_ENTITY), ("ball", ErrorCode.INVALID_ACTION)):
        with pytest.raises(PWError) as caught:
            with_entity(scene, scene.initial_physics(), name, linear=[1, 0, 0])
        assert caught.value.code == code
    assert with_entity(scene, scene.initial_physics(), "ball", linear=[0, 0, 0]).bodies["ball"].linear.sum() == 0


def test_an_edit_is_a_state_of_its_own_and_a_world_without_a_scene_has_none(tmp_path) -> None:
    store = Store(tmp_path / "store")
    store.save_scene(ball_scene())
    world = World.open(store.root, scene="ball")
    physics = with_entity(world.scene, world.state().physics, "ball", position=[0.6, 0.1, 0.05])
    kept = world.edit(physics, commit=True)
    assert (world.head, kept.parent, kept.trajectory_id, kept.time_s) == (kept.id, "root", "", 0.0)
    loose = world.edit(world.state("root").physics, time_s=2.0)
    assert world.head == kept.id and (loose.parent, loose.time_s) == (kept.id, 2.0)
    world.unselect()
    assert world.scene is None and world.head == "" and world.states() == []
    again = World.open(store.root, scene="ball")
    assert np.allclose(again.state().physics.particles.positions, physics.particles.positions)
