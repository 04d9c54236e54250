"""`pw doctor`: what this machine has of what the program can use, and the command for what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import typer

from pw_core.cli.common import DEFAULT_STORE, StoreOption
from pw_core.cli.output import report

Verdict = Literal["ok", "optional", "missing"]


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """From when something is called too little."""

    shared_memory_mb: float = 64
    """Free in /dev/shm: the worker's ring and DDS want as much; containers often have no more."""
    disk_gb: float = 1
    """Free where the store is: a scene is tens of megabytes, each committed trajectory a few."""
    memory_gb: float = 4
    """In all: a reconstruction of one photo takes two."""
    studio_port: int = 8080
    """That `pw studio` takes unless it is told another."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, what was found, and the command that mends it."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


EXTRAS = {
    "gsplat": ("cuda", "rasteriser on CUDA"),
    "pycolmap": ("views", "camera poses from several photos"),
    "viser": ("views", "the studio in a browser"),
    "sam2": ("sam", "masks by SAM 2"),
    "diffusers": ("video", "target frames by a video model"),
    "rosbags": ("exports", "ROS 2 recordings"),
    "pxr": ("exports", "USD"),
    "rerun": ("exports", "Rerun recordings"),
    "gaussforge": ("exports", "packed splats of other tools"),
    "ray": ("ray", "candidates over a cluster"),
}
"""Modules that are optional: the extra that brings each, and what for."""
OPTIONAL_ROS = {
    "tf2_ros": "goals in other frames, cameras on TF",
    "simulation_interfaces": "the standard calls of simulators",
    "launch_ros": "`ros2 launch`",
    "ros2cli": "`ros2` on the command line",
}
"""ROS packages that are used where they are, and what for."""
_PACKAGES = {"pxr": "usd-core", "rerun": "rerun-sdk"}
_NEEDED = ("numpy", "scipy", "torch", "genesis-world", "numba", "opencv-python-headless", "pydantic")


def doctor(store: StoreOption = DEFAULT_STORE) -> None:
    """Look at the environment, GPU, ROS, ports, shared memory and kernels; name what is missing and its remedy."""
    findings = list(examine(store))
    colors: dict[Verdict, str] = {"ok": "green", "optional": "yellow", "missing": "red"}
    for each in findings:
        typer.secho(f"{each.verdict:<9}", fg=colors[each.verdict], nl=False)
        typer.echo(f"{each.what:<22} {each.found}" + (f"; {each.remedy}" if each.remedy else ""))
    missing = sum(f.verdict == "missing" for f in findings)
    report(findings=[asdict(f) for f in findings], missing=missing)
    if missing:
        raise typer.Exit(1)


def examine(store: Path, *, options: DoctorOptions = DoctorOptions()) -> Iterator[Finding]:
    """All findings; a look that fails is one too."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: _python(), lambda: _machine(store, options), lambda: _ports(options), lambda: _gpu(),
        lambda: _kernels(), lambda: _ros(), lambda: _extras(),
    )  # fmt: skip
    for look in looks:
        try:
            yield from look()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            yield Finding("look", "missing", f"{type(error).__name__}: {error}")


def _python() -> Iterator[Finding]:
    import pw_core

    own = f"perpetual-wonder {_version('perpetual-wonder') or 'not installed'}, from {Path(pw_core.__file__).parent}"
    kind = "virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    yield Finding("environment", "ok", f"{kind} {sys.prefix}; {own}")
    version = platform.python_version()
    good = sys.version_info >= (3, 10)
    yield Finding("Python", "ok" if good else "missing", version, "" if good else "install Python 3.10 or newer")
    for name in _NEEDED:
        there = _version(name)
        remedy = "" if there else f"pip install '{name}'"
        yield Finding(name, "ok" if there else "missing", there or "not installed", remedy)
    if _version("opencv-python") and _version("opencv-python-headless"):
        remedy = "pip uninstall -y opencv-python && pip install --no-deps --force-reinstall opencv-python-headless"
        yield Finding("OpenCV", "missing", "two packages overwrite each other's files", remedy)


def _machine(store: Path, options: DoctorOptions) -> Iterator[Finding]:
    import psutil

    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 1e9
    enough = memory >= options.memory_gb
    yield Finding("cores and memory", "ok" if enough else "missing", f"{cores} cores, {memory:.1f} GB",
                  "" if enough else f"give it {options.memory_gb:g} GB or more")  # fmt: skip
    there = next(p for p in (store.absolute(), *store.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free / 1e9
    good = free >= options.disk_gb and os.access(there, os.W_OK)
    yield Finding("store", "ok" if good else "missing", f"{store}: {free:.1f} GB free",
                  "" if good else "name another with --store, or PW_STORE")  # fmt: skip
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / 1e6
        good = free >= options.shared_memory_mb
        yield Finding("shared memory", "ok" if good else "missing", f"{free:.0f} MB free in {shared}",
                      "" if good else "docker run --shm-size=256m, or mount -o remount,size=256m /dev/shm")  # fmt: skip


def _ports(options: DoctorOptions) -> Iterator[Finding]:
    port = options.studio_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            yield Finding("studio's port", "optional", f"TCP {port}: {error}", "pw studio SCENE --port N")
        else:
            yield Finding("studio's port", "ok", f"TCP {port} is free")


def _gpu() -> Iterator[Finding]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield Finding("GPU", "optional", "no NVIDIA driver: everything runs on the CPU")
        return
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    if told.returncode:
        yield Finding("GPU", "missing", (told.stderr or told.stdout).strip(), "nvidia-smi must work; mend the driver")
        return
    yield Finding("GPU", "ok", told.stdout.strip().replace("\n", "; "))
    torch = _version("torch")
    if "+cpu" in torch:
        remedy = "pip install --force-reinstall torch"
        yield Finding("torch on CUDA", "missing", f"torch {torch} is a CPU build", remedy)
    if shutil.which("nvcc") is None:
        yield Finding("nvcc", "optional", "not found: gsplat compiles its kernels with it", "install the CUDA toolkit")


def _kernels() -> Iterator[Finding]:
    import pw_core

    kept = list(Path(pw_core.__file__).parent.rglob("*.nbi"))
    warm = f"{sys.executable} -m pw_core.simulate.fast.warm"
    yield Finding("compiled kernels", "ok" if kept else "optional", f"{len(kept)} kept beside the sources",
                  "" if kept else f"the first rollout compiles for a minute, or: {warm}")  # fmt: skip
    flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[-1].split("\n", 1)[0] if _linux() else ""
    if flags and " avx2" not in flags:
        yield Finding("vector units", "optional", "no AVX2: kernels run slower")


def _ros() -> Iterator[Finding]:
    if find_spec("rclpy") is None:
        yield Finding("ROS 2", "optional", "rclpy is not here: the library and `pw` work without",
                      "source /opt/ros/<distro>/setup.bash, or make setup")  # fmt: skip
        return
    named = os.environ.get("ROS_DISTRO") or f"rclpy {_version('rclpy') or _version('ros-rclpy')}"
    yield Finding("ROS 2", "ok", f"{named}, {os.environ.get('RMW_IMPLEMENTATION') or 'default middleware'}")
    messages = find_spec("pw_msgs") is not None
    yield Finding("pw_msgs", "ok" if messages else "missing", "built" if messages else "not found",
                  "" if messages else "make setup && . scripts/env.sh, or source install/setup.bash")  # fmt: skip
    domain = int(os.environ.get("ROS_DOMAIN_ID", "0") or 0)
    port = 7400 + 250 * domain
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            yield Finding("DDS port", "missing", f"UDP {port} of domain {domain}: {error}", "set another ROS_DOMAIN_ID")
        else:
            yield Finding("DDS port", "ok", f"UDP {port} of domain {domain} is free to share")
    distro = os.environ.get("ROS_DISTRO") or "<distro>"
    for name, what in OPTIONAL_ROS.items():
        if find_spec(name) is None:
            package = "tf2-ros-py" if name == "tf2_ros" else name.replace("_", "-")
            yield Finding(name, "optional", f"not installed: {what}", f"apt install ros-{distro}-{package}")


def _extras() -> Iterator[Finding]:
    for module, (extra, what) in EXTRAS.items():
        there = find_spec(module) is not None
        remedy = "" if there else f"pip install 'perpetual-wonder[{extra}]'"
        found = f"{_version(_PACKAGES.get(module, module))}: {what}" if there else f"not installed: {what}"
        yield Finding(module, "ok" if there else "optional", found, remedy)


def _version(package: str) -> str:
    """Empty where it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _linux() -> bool:
    return Path("/proc/cpuinfo").is_file()
