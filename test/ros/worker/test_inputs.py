"""Files that a message names: what is read and what is refused, members of folders included."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pw_core.errors import ErrorCode, PWError
from pw_core.loop.films import read_films
from pw_core.reconstruct import Inputs
from pw_ros.worker import inputs as gate
from pw_ros.worker.inputs import Allowed, opened

GREY = np.full((48, 64, 3), 90, np.uint8)


def allowed(*roots: Path | str, what: str = "input_uri") -> Allowed:
    return Allowed([str(r) for r in roots], what, ErrorCode.INVALID_IMAGE)


def refused(call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(PWError) as caught:
        call()
    assert caught.value.code == ErrorCode.INVALID_IMAGE and all(w in str(caught.value) for w in words), caught.value


def load(path: Path, *roots: Path) -> Inputs:
    with opened(str(path), allowed(*roots)) as here:
        return Inputs.load(here)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is not to be read, with a file of every kind."""
    folder = tmp_path / "outside"
    folder.mkdir()
    cv2.imwrite(str(folder / "secret.png"), GREY)
    cv2.imwrite(str(folder / "depth.png"), np.full((48, 64), 700, np.uint16))
    (folder / "cameras.json").write_text(json.dumps([{"name": "a", "K": np.eye(3).tolist()}]))
    return folder


@pytest.fixture
def folder(tmp_path: Path, outside: Path) -> Path:
    """Pictures with depth below the root `in`."""
    folder = tmp_path / "in" / "shots"
    (folder / "depth").mkdir(parents=True)
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), GREY)
        cv2.imwrite(str(folder / "depth" / f"{name}.png"), np.full((48, 64), 500, np.uint16))
    return folder


def test_only_what_lies_below_the_roots_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to("/etc")
    (tmp_path / "in" / "round").symlink_to("round")
    below = allowed("", tmp_path / "in")
    assert below.path(f"file://{tmp_path}/in") == (tmp_path / "in").resolve()
    for uri in ("/etc/passwd", f"{tmp_path}/in/../x", f"{tmp_path}/in/out/passwd"):
        refused(lambda u=uri: below.path(u), "not below the parameter input_roots")
    for uri in (f"{tmp_path}/in/gone", f"{tmp_path}/in/{'x' * 300}"):
        refused(lambda u=uri: below.path(u), "does not exist")
    refused(lambda: below.path(f"{tmp_path}/in/round"))
    refused(lambda: allowed("").path("/etc"), "none are set")


def test_a_folder_is_read_as_it_is(folder: Path, tmp_path: Path) -> None:
    (folder / "notes").mkdir()
    (folder / ".hidden").symlink_to("/etc")
    straight, held = Inputs.load(folder), load(folder, tmp_path / "in")
    assert [v.name for v in held.views] == [v.name for v in straight.views] == ["a.png", "b.png"]
    assert all(np.array_equal(a.image, b.image) and np.array_equal(a.depth, b.depth)
               for a, b in zip(held.views, straight.views, strict=True))  # fmt: skip
    before = len(os.listdir("/proc/self/fd"))
    single = load(folder / "b.png", tmp_path / "in")
    assert single.views[0].name == "b.png" and single.views[0].depth is not None
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(
    ("member", "target"),
    [("c.png", "secret.png"), ("a.png", "secret.png"), ("depth/a.png", "depth.png"), ("depth", ""),
     ("cameras.json", "cameras.json"), ("more", "")],
)  # fmt: skip
def test_a_member_that_leads_out_is_refused(folder: Path, outside: Path, tmp_path: Path, member, target) -> None:
    link = folder / member
    if link.is_dir():
        link.rename(tmp_path / "gone")
    link.unlink(missing_ok=True)
    link.symlink_to(outside / target)
    refused(lambda: load(folder, tmp_path / "in"), str(link), "leads to a file that is not below")
    if member == "depth/a.png":
        refused(lambda: load(folder / "a.png", tmp_path / "in"), str(link))


def test_links_that_stay_below_the_roots_are_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "elsewhere.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "c.png").symlink_to(tmp_path / "in" / "elsewhere.png")
    assert [v.name for v in load(folder, tmp_path / "in").views] == ["a.png", "b.png", "c.png"]


def test_a_file_that_is_swapped_after_the_check_is_refused(folder, outside, tmp_path, monkeypatch) -> None:
    real = os.open

    def swapped(path: Any, *args: Any, **options: Any) -> int:
        if Path(path).name == "a.png" and not Path(path).is_symlink():
            Path(path).unlink()
            Path(path).symlink_to(outside / "secret.png")
        return real(path, *args, **options)

    monkeypatch.setattr(gate.os, "open", swapped)
    refused(lambda: load(folder, tmp_path / "in"), str(folder / "a.png"))


def test_a_file_that_is_swapped_before_it_is_read_is_not(folder: Path, outside: Path, tmp_path: Path) -> None:
    with opened(str(folder), allowed(tmp_path / "in")) as here:
        for name in ("a.png", "b.png"):
            (folder / name).unlink()
            cv2.imwrite(str(outside / "other.png"), GREY // 2)
            (folder / name).symlink_to(outside / "other.png")
        assert all(int(v.image.max()) == 90 for v in Inputs.load(here).views)


def test_errors_name_the_files_by_their_own_paths(folder: Path, tmp_path: Path) -> None:
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    refused(lambda: load(folder, tmp_path / "in"), str(folder / "b.png"), "is cut off: a PNG")
    os.mkfifo(folder / "c.png")
    (folder / "b.png").unlink()
    assert len(load(folder, tmp_path / "in").views) == 1  # what is no file is not there, and nobody waits for it


def test_too_many_files_are_refused(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(gate, "MAX_FILES", 3)
    refused(lambda: load(folder, tmp_path / "in"), "more than 3 files")


def test_films_of_every_kind_are_read_and_none_from_elsewhere(tmp_path: Path, outside: Path) -> None:
    import imageio.v3 as iio

    films = tmp_path / "in" / "films"
    (films / "left").mkdir(parents=True)
    cv2.imwrite(str(films / "left" / "0.png"), GREY)
    (films / "left" / "stamps.csv").write_text("stamp\n0.5\n")
    iio.imwrite(films / "right.mp4", np.stack([GREY] * 3), fps=10, plugin="FFMPEG", macro_block_size=1)
    (films / "right.json").write_text("[0.0, 0.1, 0.2]")
    np.savez(films / "top.npz", stamps=np.array([0.0]), frames=GREY[None])
    camera = {"name": "top", "K": np.eye(3).tolist(), "viewmat": np.eye(4).tolist(), "width": 64, "height": 48}
    (films.parent / "cameras.json").write_text(json.dumps([camera]))
    with opened(str(films), allowed(tmp_path / "in", what="frames_uri")) as here:
        found, origin = read_films(here)
    names = [f.camera if isinstance(f.camera, str) else f.camera.name for f in found]
    assert names == ["left", "right", "top"] and not isinstance(found[2].camera, str) and origin == 0
    assert [len(f.stamps) for f in found] == [1, 3, 1]
    for member in ("left/0.png", "right.mp4", "top.npz", "right.json", "left/stamps.csv"):
        kept = (films / member).rename(outside / Path(member).name)
        (films / member).symlink_to(kept)
        with pytest.raises(PWError, match="leads to a file"), opened(str(films), allowed(tmp_path / "in")):
            pass
        (films / member).unlink()
        kept.rename(films / member)
