"""GEN3C as a provider of views, by a stand-in program that keeps its contract."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import support
from pw_core.config import ProviderConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.providers.types import VIEWS, ViewsProvider, load_provider

STAND_IN = Path(support.__file__).with_name("stand_in_gen3c.py")
SIZE = (96, 64)


def ignore(stage: str, fraction: float) -> None:
    pass


@pytest.fixture
def job(tmp_path: Path) -> Any:
    """`job(mode, **settings)` gives a provider; `job.photo`, `job.folder`, `job.calls()`."""
    frames = tmp_path / "frames"
    frames.mkdir()
    ramp = np.linspace(0, 255, SIZE[0]).astype(np.uint8)
    for name, shift in (("left", -1), ("right", 1)):
        film = [np.stack([np.roll(ramp, k * shift) * np.ones((SIZE[1], 1), np.uint8)] * 3, -1) for k in range(121)]
        np.save(frames / f"{name}.npy", np.stack(film).astype(np.uint8))
    (tmp_path / "weights" / "Gen3C-Cosmos-7B").mkdir(parents=True)

    def make(mode: str = "", **settings: Any) -> ViewsProvider:
        env = {"STAND_IN_FRAMES": str(frames), "STAND_IN_MODE": mode, "STAND_IN_CALLS": str(tmp_path / "calls")}
        fields = {
            "command": [sys.executable, str(STAND_IN)], "folder": str(tmp_path), "env": env, "width": SIZE[0],
            "checkpoints": str(tmp_path / "weights"), "height": SIZE[1], "used_frames": 4,
        }  # fmt: skip
        return load_provider(ProviderConfig(provider="gen3c", settings=fields | settings), VIEWS)

    make.photo = np.stack([ramp * np.ones((SIZE[1], 1), np.uint8)] * 3, -1)  # type: ignore[attr-defined]
    make.folder = tmp_path / "kept"  # type: ignore[attr-defined]
    make.folder.mkdir()  # type: ignore[attr-defined]
    calls = tmp_path / "calls"
    make.calls = lambda: calls.read_text().split("\n")[:-1] if calls.is_file() else []  # type: ignore[attr-defined]
    return make


def failed(job: Any, provider: ViewsProvider, match: str, code: ErrorCode = ErrorCode.RECONSTRUCT_FAILED) -> None:
    with pytest.raises(ReconstructError, match=match) as caught:
        provider.views(job.photo, folder=job.folder, progress=ignore)
    assert caught.value.code == code
    assert not list(job.folder.rglob("*.part"))


def test_two_films_give_frames_of_the_photos_size(job, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    told: list[float] = []
    made = job().views(job.photo, folder=job.folder, progress=lambda s, f: told.append(f))
    assert list(made) == [f"{t}_{k:03d}.png" for t in ("left", "right") for k in (30, 60, 90, 120)]
    assert all(v.shape == job.photo.shape and v.dtype == np.uint8 for v in made.values())
    wanted = np.roll(job.photo, -30, axis=1).astype(int)
    assert np.abs(made["left_030.png"][:, 30:60].astype(int) - wanted[:, 30:60]).mean() < 8
    assert told[-1] == 1.0 and told == sorted(told)
    assert [c.split(" ") for c in job.calls()] == [["left", "1", ""], ["right", "1", ""]]  # offline, not our packages


def test_finished_films_are_not_made_again(job) -> None:
    failed(job, job("right:fail"), "film right")
    assert [c.split()[0] for c in job.calls()] == ["left", "right"]
    assert len(job().views(job.photo, folder=job.folder, progress=ignore)) == 8
    assert [c.split()[0] for c in job.calls()] == ["left", "right", "right"]
    job().views(job.photo, folder=job.folder, progress=ignore)
    assert len(job.calls()) == 3
    job(seed=2, trajectories=["left"]).views(job.photo, folder=job.folder, progress=ignore)
    assert len(job.calls()) == 4  # another order is another film
    job().views(255 - job.photo, folder=job.folder, progress=ignore)
    assert len(job.calls()) == 6  # and so is another photo


@pytest.mark.parametrize(("mode", "match"), [
    ("fail", r"(?s)film left.*exit code 3.*CUDA out of memory"),
    ("blocked", r"(?s)ended without a film.*Guardrail blocked"),
    ("partial", "57 frames in place of 121"),
    ("small", "48 x 32 px in place of 96 x 64"),
    ("broken", "cannot be read"),
])  # fmt: skip
def test_what_the_program_does_wrong_is_said_with_its_last_lines(job, mode: str, match: str) -> None:
    failed(job, job(mode), match)
    assert len(job().views(job.photo, folder=job.folder, progress=ignore)) == 8  # and the next run starts clean


def test_calling_off_ends_the_program_and_its_children(job) -> None:
    seen: list[float] = []

    class StopError(Exception):
        pass

    def stop(stage: str, fraction: float) -> None:
        seen.append(fraction)
        if fraction > 0:
            raise StopError

    began = time.monotonic()
    with pytest.raises(StopError):
        job("hang").views(job.photo, folder=job.folder, progress=stop)
    assert time.monotonic() - began < 30
    assert seen[-1] == pytest.approx(0.2)  # 40 % of the first of two
    log = next(job.folder.rglob("left.log")).read_bytes()
    child = int(log.split(b"child ")[1].split()[0])
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child) and not list(job.folder.rglob("*.part"))


def test_a_program_that_takes_too_long_is_ended(job) -> None:
    failed(job, job("hang", timeout_s=1.0), r"not done after 1 s.*timeout_s")


def test_what_is_missing_is_named(job, tmp_path: Path) -> None:
    missing = ErrorCode.MISSING_WEIGHTS
    failed(job, job(checkpoints=""), r"more_views\.settings\.checkpoints: none is named.*GEN3C", missing)
    failed(job, job(checkpoints=str(tmp_path)), "holds no folder Gen3C-Cosmos-7B", missing)
    failed(job, job(command=["/nowhere/python"]), "'/nowhere/python' cannot be run", missing)
    failed(job, job(folder="/nowhere"), r"settings\.folder: /nowhere is no folder", missing)
    for settings, match in (({"video_frames": 100}, "121, 241"), ({"colour": 1}, "colour")):
        with pytest.raises(ReconstructError, match=match) as caught:
            job(**settings)
        assert caught.value.code == ErrorCode.INVALID_CONFIG
    with pytest.raises(ReconstructError, match=r"'gen4' is not known; there are: gen3c"):
        load_provider(ProviderConfig(provider="gen4"), VIEWS)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
