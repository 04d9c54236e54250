"""One place decides what is made of which pictures, and what stays of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, describe_route, keep_reports, reconstruct
from support.ball import config, shots

MORE = {"more_views": {"provider": "gen3c"}}


@pytest.fixture
def taken(monkeypatch, scene) -> list[tuple[str, int]]:
    """Which route was gone, and with how many pictures, in place of going it."""
    calls: list[tuple[str, int]] = []

    def of_one(name: str) -> Any:
        def lift(config: object, view: object, **options: object) -> object:
            calls.append((name, 1))
            return scene

        return lift

    def many(config: object, inputs: Inputs, *, folder: Path, **options: object) -> object:
        calls.append(("many", len(inputs.views)))
        assert folder.is_dir()
        (folder / "report.json").write_text("new")
        return scene

    monkeypatch.setattr("pw_core.reconstruct.routes.single_photo.lift_photo", of_one("photo"))
    monkeypatch.setattr("pw_core.reconstruct.routes.single_rgbd.lift_rgbd", of_one("rgbd"))
    monkeypatch.setattr("pw_core.reconstruct.routes.many_views.reconstruct_many", many)
    monkeypatch.setattr("pw_core.reconstruct.providers.more_views.views_of_photo",
                        lambda config, inputs, settings, *rest: (shots(4, depth=False, poses=False)[0], settings))
    return calls  # fmt: skip


def test_what_is_given_decides_the_route(taken, tmp_path: Path) -> None:
    photo, deep = shots(1, depth=False)[0], shots(1, depth=True)[0]
    for inputs in (photo, deep, shots(3, depth=False)[0], shots(3, depth=True, poses=False)[0]):
        reconstruct(config(), inputs)
    reconstruct(config(reconstruct=MORE), photo, folder=tmp_path)
    reconstruct(config(reconstruct=MORE), deep)  # the providers are for photos alone
    assert taken == [("photo", 1), ("rgbd", 1), ("many", 3), ("many", 3), ("many", 4), ("rgbd", 1)]


def test_the_route_in_words() -> None:
    photo, posed = shots(1, depth=False)[0], shots(3, depth=False)[0]
    depth = config(reconstruct={"depth": {"provider": "program"}})
    assert describe_route(config()) == describe_route(config(), photo) == "photo"
    assert describe_route(depth) == "photo, depth by program" and describe_route(depth, posed) == "posed"
    assert describe_route(config(reconstruct=MORE), photo) == "photo, more views by gen3c"
    assert describe_route(config(reconstruct=MORE), posed) == "posed"


def test_the_configurations_photo_is_taken_where_nothing_is_given(taken) -> None:
    with pytest.raises(ReconstructError, match="names no photo") as caught:
        reconstruct(config())
    assert caught.value.code == ErrorCode.INVALID_IMAGE and not taken


def test_input_is_checked_before_any_work(taken) -> None:
    one = shots(1, depth=False, poses=False)[0]
    with pytest.raises(ReconstructError, match="different names"):
        reconstruct(config(), Inputs(one.views * 2), settings=ViewsSettings())
    assert not taken


def test_an_earlier_runs_report_is_not_kept_as_this_ones(taken, tmp_path: Path) -> None:
    folder, kept = tmp_path / "work", tmp_path / "kept"
    folder.mkdir()
    (folder / "report.json").write_text("old")
    reconstruct(config(), shots(1, depth=False)[0], folder=folder)
    keep_reports(folder, kept)
    assert not kept.exists()
    reconstruct(config(), shots(3, depth=False)[0], folder=folder)
    keep_reports(folder, kept)
    assert (kept / "report.json").read_text() == "new"


def test_what_only_a_next_run_could_use_is_not_kept(tmp_path: Path) -> None:
    folder, kept = tmp_path / "work", tmp_path / "kept"
    for name in ("report.json", "splats.ply", "fit.safetensors", "job.txt", "sfm/features.db", "sfm/model/images.bin",
                 "first_masks/ball/a.png", "masks/ball/a.png"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    kept.mkdir()
    (kept / "of an older run").write_text("x")
    keep_reports(folder, kept)
    found = sorted(str(p.relative_to(kept)) for p in kept.rglob("*") if p.is_file())
    assert found == ["masks/ball/a.png", "report.json", "sfm/model/images.bin", "splats.ply"]
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []
