"""How a scene looks, and where its entities are, in a physical state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.appearance import Appearance, entity_poses, particle_colors, placed_positions
from pw_core.scene import Body
from support.lit import lit_scene


def test_a_picture_follows_the_particles_and_the_appearance_asked_for(scene) -> None:
    drawer, physics, camera = Appearance(scene), scene.initial_physics(), scene.cameras[0]
    first = drawer.render(camera, physics)
    up = replace(physics.particles, positions=physics.particles.positions + np.float32([0, 0, 0.03]))
    assert not np.array_equal(drawer.render(camera, replace(physics, particles=up)).rgb, first.rgb)
    initial = scene.initial_appearance()
    other = drawer.render(camera, physics, appearance=replace(initial, sh=-initial.sh))
    assert not np.array_equal(other.rgb, first.rgb) and np.array_equal(other.depth, first.depth)
    again = drawer.render(camera, physics)
    assert np.array_equal(again.rgb, first.rgb) and np.array_equal(again.alpha, first.alpha)


def test_backgrounds_of_the_latest_cameras_are_kept(scene) -> None:
    drawer = Appearance(scene, prepared_cameras=2)
    for width in (48, 64, 80):
        drawer.render(scene.cameras[0].resized(width, 64), scene.initial_physics())
    assert len(drawer._prepared) == 2


def test_shadows_move_with_the_things_and_without_a_light_there_are_none() -> None:
    scene, plain = lit_scene(), replace(lit_scene(), light=None)
    camera, start = scene.cameras[0], scene.initial_physics()
    right = replace(start.particles, positions=start.particles.positions + np.float32([0, -0.03, 0]))
    for physics in (start, replace(start, particles=right)):
        lit, dull = (Appearance(s).render(camera, physics) for s in (scene, plain))
        darker = dull.rgb.astype(int).sum(-1) - lit.rgb.astype(int).sum(-1)
        assert darker.min() >= -3 and darker.max() > 40
        assert np.array_equal(lit.depth, dull.depth) and np.array_equal(lit.alpha, dull.alpha)
        dark = np.argwhere(darker > 20).mean(0)
        middle = camera.project(physics.particles.positions.mean(0))[0]
        assert abs(dark[1] - middle[0]) < 0.25 * camera.width


def test_a_deformables_pose_is_its_centroid_and_mean_rotation(scene) -> None:
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    centre = scene.rest.mean(0)
    p = scene.initial_physics().particles
    spin = np.cross([0, 0, 2.0], (scene.rest - centre) @ turn.T)
    moved = replace(
        p, positions=((scene.rest - centre) @ turn.T + centre + [0.1, 0, 0]).astype(np.float32),
        velocities=(spin + np.array([0, 0.5, 0])).astype(np.float32),
    )  # fmt: skip
    (pose,) = entity_poses(scene, replace(scene.initial_physics(), particles=moved))
    assert pose.position == pytest.approx(centre + np.array([0.1, 0, 0]), abs=1e-5)
    assert abs(pose.orientation @ [0.5**0.5, 0, 0, 0.5**0.5]) == pytest.approx(1, abs=1e-5)
    assert pose.linear == pytest.approx([0, 0.5, 0], abs=1e-4) and pose.angular == pytest.approx([0, 0, 2], abs=1e-3)


def test_a_rigid_entity_is_where_its_body_is(scene) -> None:
    body = Body.at_rest(np.array([0.5, 0.1, 0.2]))
    physics = replace(scene.initial_physics(), bodies={"ball": body})
    e = scene.entities[0]
    assert np.allclose(placed_positions(scene, physics), scene.rest - e.origin + body.position, atol=1e-6)
    (pose,) = entity_poses(scene, physics)
    assert np.array_equal(pose.position, body.position)


def test_a_particle_has_the_colour_of_what_hangs_on_it(scene) -> None:
    colours = particle_colors(scene)
    assert colours.shape == (len(scene.rest), 3) and np.abs(colours.astype(int) - [204, 51, 51]).max() <= 1
