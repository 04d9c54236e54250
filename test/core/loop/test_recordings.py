"""A ROS recording as films of `pw refine`: topics matched to cameras, stamps of the headers, lenses straightened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs rosbags")

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import Camera
from pw_core.loop.films import read_films
from pw_core.reconstruct.inputs import Inputs
from support.cases.layouts import FOCAL, HEIGHT, WIDTH, recording, viewmat


def a_camera(name: str) -> Camera:
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    return Camera(name, K, viewmat(0), WIDTH, HEIGHT)


@pytest.mark.parametrize("mcap", [True, False])
def test_a_topic_is_the_film_of_the_scenes_camera_of_that_name(mcap: bool, tmp_path: Path) -> None:
    bag = recording(tmp_path, mcap=mcap).folder
    films, origin = read_films(bag, known=[a_camera("other"), a_camera("cam")])
    assert [f.name for f in films] == ["cam"] and origin == 100
    np.testing.assert_allclose(films[0].stamps, [100, 101, 102, 103])
    assert films[0].frames.shape == (4, HEIGHT, WIDTH, 3)
    assert "topic /cam/color/image_raw/compressed" in films[0].notes


def test_the_only_topic_is_of_the_only_camera(tmp_path: Path) -> None:
    films, _ = read_films(recording(tmp_path).folder, known=[a_camera("photo")])
    assert [f.name for f in films] == ["photo"]


def test_a_camera_that_moves_is_no_film(tmp_path: Path) -> None:
    with pytest.raises(RefineError, match="moves during the film") as raised:
        read_films(recording(tmp_path).folder, known=[a_camera("a"), a_camera("b")])
    assert raised.value.code == ErrorCode.INVALID_TARGET


@pytest.mark.parametrize("posed", ["tf", "odometry", "pose"])
def test_a_camera_that_stays_is_placed_by_the_recordings_poses(posed: str, tmp_path: Path) -> None:
    films, _ = read_films(recording(tmp_path, posed=posed, still=True).folder)
    camera = films[0].camera
    assert isinstance(camera, Camera) and camera.name == "cam_color"
    np.testing.assert_allclose(camera.viewmat, viewmat(0), atol=1e-9)
    np.testing.assert_allclose(camera.K, a_camera("cam").K)


def test_a_topic_of_no_camera_says_what_there_is(tmp_path: Path) -> None:
    bag = recording(tmp_path, posed="none").folder
    with pytest.raises(RefineError, match=r"cam/color.*\(a, b\)") as raised:
        read_films(bag, known=[a_camera("a"), replace(a_camera("b"))])
    assert raised.value.code == ErrorCode.TARGET_CAMERA_UNKNOWN


def test_an_imu_tells_what_is_up_in_the_first_picture(tmp_path: Path) -> None:
    found = Inputs.load(recording(tmp_path, posed="none").folder)
    assert found.views[0].viewmat is None and found.up is not None
    np.testing.assert_allclose(found.up, viewmat(0)[:3, 2], atol=1e-6)
