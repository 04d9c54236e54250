"""Fast DDS as pictures need it: its default shared memory of 0.5 MB loses most pictures of 1280 x 704 (2.7 MB each)."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from importlib import metadata
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
NEEDED_BYTES = 48 * 1024 * 1024
"""The profile's 24 MB, the worker's 16 MB (pw_ros.worker.shared_memory) and some for other participants."""
CHOSEN_BY_USER = (
    "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS",
)  # fmt: skip


def use_large_pictures(profile: Path, *, environment: MutableMapping[str, str] = os.environ) -> str:
    """Name `profile` to Fast DDS, before ROS starts in this process; other middlewares do not look.

    Nothing is done where the user has named a profile or transports, or where shared memory is small. Returns what was
    done or why not, for the log.
    """
    chosen = [name for name in CHOSEN_BY_USER if environment.get(name)]
    if chosen or Path("DEFAULT_FASTDDS_PROFILES.xml").is_file() or Path("DEFAULT_FASTRTPS_PROFILES.xml").is_file():
        return f"Fast DDS is configured by {', '.join(chosen) or 'a profile in this folder'}"
    if not profile.is_file():
        return f"no Fast DDS profile at {profile}"
    try:
        room = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        return f"Fast DDS keeps its defaults: {error}"
    free = room.f_bavail * room.f_frsize
    if free < NEEDED_BYTES:
        return (
            f"Fast DDS keeps its defaults: {free / 2**20:.0f} MB free in {SHARED_MEMORY}, {NEEDED_BYTES / 2**20:.0f} "
            "needed. Pictures over 0.5 MB may get lost; give a container more with --shm-size"
        )
    environment["FASTRTPS_DEFAULT_PROFILES_FILE" if _is_version_2(environment) else CHOSEN_BY_USER[0]] = str(profile)
    return f"Fast DDS takes {profile}"


def _is_version_2(environment: MutableMapping[str, str]) -> bool:
    """Up to Jazzy, where the variable has the older name."""
    if environment.get("ROS_DISTRO"):
        return environment["ROS_DISTRO"] in ("humble", "iron", "jazzy")
    try:
        return metadata.version("ros-fastrtps").startswith("2.")  # the wheels' name for it until then
    except metadata.PackageNotFoundError:
        return False
