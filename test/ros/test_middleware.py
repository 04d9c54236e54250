"""When the node configures Fast DDS for pictures, and when it leaves it alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pw_ros import middleware

PROFILE = Path(__file__).parents[2] / "config/fastdds.xml"


@pytest.mark.parametrize(("distro", "name"), [("kilted", "FASTDDS"), ("rolling", "FASTDDS"), ("jazzy", "FASTRTPS")])
def test_the_profile_is_named_to_fast_dds(distro: str, name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(middleware, "SHARED_MEMORY", tmp_path)
    environment = {"ROS_DISTRO": distro}
    assert str(PROFILE) in middleware.use_large_pictures(PROFILE, environment=environment)
    assert environment[f"{name}_DEFAULT_PROFILES_FILE"] == str(PROFILE) and len(environment) == 2


@pytest.mark.parametrize("name", middleware.CHOSEN_BY_USER)
def test_what_the_user_chose_stays(name: str) -> None:
    environment = {name: "mine"}
    assert name in middleware.use_large_pictures(PROFILE, environment=environment)
    assert environment == {name: "mine"}


def test_small_or_missing_shared_memory_keeps_the_defaults(tmp_path: Path, monkeypatch) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(middleware, "SHARED_MEMORY", tmp_path / "none")
    assert "defaults" in middleware.use_large_pictures(PROFILE, environment=environment)
    small = os.statvfs_result((4096, 4096, 100, 100, 100, 0, 0, 0, 0, 255))
    monkeypatch.setattr(middleware.os, "statvfs", lambda _: small)
    assert "--shm-size" in middleware.use_large_pictures(PROFILE, environment=environment)
    assert not environment
