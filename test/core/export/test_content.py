"""Frames of what is exported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.appearance import Appearance, total_deformations
from pw_core.export.content import Content, gaussians_of
from pw_core.gaussians import Camera, Gaussians
from pw_core.reconstruct.splatting.draw import draw_gaussians
from pw_core.skinning import follow
from support.lit import lit_scene


def picture(gaussians: Gaussians, camera: Camera) -> np.ndarray:
    return draw_gaussians(gaussians, camera).rgb[0].clamp(0, 1).numpy() * 255


def test_gaussians_of_covariances_have_those_covariances() -> None:
    rng = np.random.default_rng(0)
    made = Gaussians(
        *(rng.normal(size=(50, n)).astype(np.float32) for n in (3, 4, 3)),
        np.zeros(50, np.float32),
        np.zeros((50, 1, 3)),
    )
    again = gaussians_of(made.means, made.covariances(), made.opacities, made.sh)
    scale = np.abs(made.covariances()).max((1, 2), keepdims=True)
    assert np.abs((again.covariances() - made.covariances()) / scale).max() < 1e-5


def test_frames_hold_what_is_drawn(scene, moving) -> None:
    for frame in moving.frames():
        means, covariances = Appearance(scene).foreground(frame.physics)
        assert np.allclose(frame.things.means, means, atol=1e-6)
        assert np.allclose(frame.things.covariances(), covariances, atol=1e-9)
        assert frame.background.sh is moving.scene.initial_appearance().background_sh


def test_meshes_follow_their_particles(scene, moving) -> None:
    first, *_, last = moving.frames()
    mesh = scene.entities[0].mesh.vertices
    assert np.abs(first.meshes["ball"] - mesh).max() < 1e-6
    centre = scene.rest.mean(0)
    c, s = np.cos(0.6), np.sin(0.6)
    wanted = (mesh - centre) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 0.8]]).T + centre + [0.02, 0, 0]
    drop = (last.things.means - unlowered(scene, last))[:, 2].mean()  # drawn on the table
    wanted[:, 2] += drop
    assert np.abs(last.meshes["ball"] - wanted).max() < 1e-4


def test_shadows_that_move_are_on_the_background_of_every_frame() -> None:
    scene = lit_scene()
    up = replace(scene.particles, positions=scene.rest + np.float32([0, 0, 0.1]))
    states = [scene.initial_physics(), replace(scene.initial_physics(), particles=up)]
    drawn = Appearance(scene)
    for frame in Content(scene, [0.0, 1.0], lambda k: states[k]).frames():
        wanted = drawn.render(scene.cameras[0], frame.physics).rgb.astype(int)
        shown = picture(frame.all, scene.cameras[0])
        unshaded = picture(Gaussians.concatenate([frame.things, scene.background]), scene.cameras[0])
        assert np.abs(shown - wanted).mean() < 0.4 * np.abs(unshaded - wanted).mean()


def test_particles_are_where_the_physics_has_them(trajectory, moving) -> None:
    for frame, positions in zip(moving.frames(), trajectory.positions):
        assert np.array_equal(frame.positions, positions)


def unlowered(scene, frame) -> np.ndarray:
    A = total_deformations(scene, frame.positions, frame.physics, scene.neighbours())
    return follow(scene.binding, scene.rest, frame.positions, A, scene.foreground.covariances())[0]
