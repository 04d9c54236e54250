"""Without a table: up from what is known, things where they are, on the ways of one photo, RGB-D and many views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.appearance import Appearance
from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ReconstructError, SceneError
from pw_core.reconstruct import Inputs, ViewInput, reconstruct
from pw_core.reconstruct.ground.level import OWN_UP, camera_by_up, level_doubts, up_in_camera
from pw_core.scene import Scene
from pw_core.simulate import Simulation
from support.hanging_ball import RADIUS, camera, config, shot, shots

VOLUME = 4 / 3 * np.pi * RADIUS**3
BELOW = np.array([0.3, 0.1, -0.4])
"""Where the ball is in the robot's frame: beneath its z = 0."""


def given(config: SceneConfig, **changes: object) -> SceneConfig:
    return SceneConfig.parse(config.model_dump() | changes)


def swings(scene: Scene) -> None:
    """What is held stays, the rest is not dropped, and it can be drawn."""
    simulation = Simulation.build(scene)
    simulation.advance_to(0.1)
    simulation.check()
    now = simulation.read()
    moved = np.linalg.norm(now.particles.positions - scene.rest, axis=1)
    assert 0.01 < (moved == 0).mean() < 0.5
    assert moved.max() < 0.4 * RADIUS
    drawn = Appearance(scene).render(scene.cameras[0], now)
    assert np.isfinite(drawn.rgb).all() and (drawn.alpha > 0.5).mean() > 0.9


@pytest.mark.parametrize("roll", [0.0, 20.0])
def test_up_is_by_pitch_and_roll_or_as_given(roll: float) -> None:
    base = config(np.eye(60, 80) > 0)
    told = given(base, camera={"height_m": 2.0, "pitch_deg": -30, "hfov_deg": 50, "roll_deg": roll})
    cam = camera_by_up(told, width=80, height=60, name="photo")
    np.testing.assert_allclose(cam.centre, [0, 0, 2], atol=1e-9)
    ahead = cam.viewmat[2, :3]
    assert np.degrees(np.arcsin(ahead[2])) == pytest.approx(30) and ahead[1] == pytest.approx(0)
    assert np.degrees(np.arcsin(-cam.viewmat[0, 2])) == pytest.approx(np.degrees(np.arcsin(
        np.sin(np.radians(roll)) * np.cos(np.radians(30)))))  # fmt: skip
    again = given(base, up=up_in_camera(told).tolist(), camera={"height_m": 2.0, "pitch_deg": 0, "hfov_deg": 50})
    np.testing.assert_allclose(camera_by_up(again, width=80, height=60, name="photo").viewmat, cam.viewmat, atol=1e-9)


def test_a_photo_of_a_thing_that_hangs() -> None:
    centre = np.zeros(3)
    picture, _, mask = shot(camera(centre, 0.0), centre)
    scene = reconstruct(config(mask), Inputs((ViewInput("photo.png", picture),)))
    e = scene.entities[0]
    assert e.volume_m3 == pytest.approx(VOLUME, rel=0.1)
    assert np.linalg.norm(e.origin - [0.4, 0, 1.5 + 0.1]) < 0.1 * 0.4
    assert scene.light is None and scene.provenance["psnr_db"] > 25
    swings(scene)


def test_a_photo_alone_does_not_tell_how_far_away_it_is() -> None:
    centre = np.zeros(3)
    picture, _, mask = shot(camera(centre, 0.0), centre)
    inputs = Inputs((ViewInput("photo.png", picture),))
    with pytest.raises(ReconstructError, match=r"distance_m or\s+diameter_m"):
        reconstruct(config(mask, diameter_m=0.0), inputs)
    scene = reconstruct(config(mask, diameter_m=0.0, distance_m=0.4, fixed="no"), inputs)
    assert scene.entities[0].volume_m3 == pytest.approx(VOLUME, rel=0.1)
    assert any("falls" in d for d in scene.provenance["doubts"])


def test_gravity_that_is_only_how_cameras_were_held_is_a_doubt() -> None:
    base = config(np.eye(60, 80) > 0)
    assert not level_doubts(base) and not level_doubts(base, {"up_from": "cameras held level"})
    assert "gravity is guessed" in level_doubts(base, {"up_from": OWN_UP})[0]
    assert not level_doubts(given(base, ground="table", camera={"height_m": 1, "pitch_deg": 5, "hfov_deg": 40}))


def test_one_rgbd_picture_of_a_thing_that_hangs() -> None:
    centre = np.zeros(3)
    cam = camera(centre, 0.0)
    picture, depth, mask = shot(cam, centre)
    scene = reconstruct(config(mask), Inputs((ViewInput("photo.png", picture, depth, cam.K),)),
                        settings=ViewsSettings(width_px=240, bind_steps=10, voxels=48))  # fmt: skip
    assert scene.entities[0].volume_m3 == pytest.approx(VOLUME, rel=0.15)
    assert np.linalg.norm(scene.entities[0].origin - [0.4, 0, 1.6]) < 0.015
    assert scene.provenance["plane"]["up_from"] == "pitch and roll of the scene file"


def test_posed_views_keep_the_frame_they_were_given_in_though_the_thing_is_below_its_origin(tmp_path) -> None:
    inputs = shots(BELOW, 5)
    mask = shot(inputs.views[0].camera, BELOW)[2]
    scene = reconstruct(config(mask), inputs, settings=ViewsSettings(width_px=240, steps=30, bind_steps=15, voxels=48),
                        folder=tmp_path)  # fmt: skip
    e = scene.entities[0]
    assert e.volume_m3 == pytest.approx(VOLUME, rel=0.12)
    assert np.linalg.norm(e.origin - BELOW) < 0.15 * RADIUS
    np.testing.assert_allclose(scene.cameras[0].viewmat, inputs.views[0].viewmat, atol=1e-6)
    assert scene.provenance["plane"]["frame"] == "as given"
    np.testing.assert_allclose(scene.provenance["plane"]["world_from_given"], np.eye(4), atol=1e-6)
    swings(scene)


def test_an_imu_tells_what_is_up_where_poses_do_not(tmp_path) -> None:
    centre = np.zeros(3)
    inputs = shots(centre, 1, poses=False)
    lean = np.array([0.0, -np.cos(0.2), np.sin(0.2)])
    view = replace(inputs.views[0], K=camera(centre, 0.0).K)
    scene = reconstruct(config(shot(camera(centre, -0.7, height=-0.12), centre)[2]), Inputs((view,), up=lean),
                        settings=ViewsSettings(width_px=240, bind_steps=5, voxels=40))  # fmt: skip
    assert scene.provenance["plane"]["up_from"] == "the recording's IMU"
    np.testing.assert_allclose(scene.cameras[0].viewmat[:3, 2], lean, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ground": "table"}, "ground: none takes any"),
        ({"ground": "table", "camera": {"height_m": 1, "pitch_deg": 5, "hfov_deg": 40}, "up": [0, -1, 0]}, "up:"),
        ({"up": [0, 0, 0]}, "must have a length"),
    ],
)
def test_a_table_and_what_contradicts_it(changes: dict[str, object], says: str) -> None:
    with pytest.raises(SceneError, match=says):
        given(config(np.eye(60, 80) > 0), **changes)
