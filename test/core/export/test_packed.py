"""Gaussians of other tools: read, written packed, and as a scene's background."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.errors import PWError
from pw_core.export.formats import export
from pw_core.export.packed import read_splats
from pw_core.gaussians import quats_to_rotations
from pw_core.render.ply import write_ply
from pw_core.world import World

RUNNER = CliRunner()


@pytest.mark.parametrize(
    ("name", "metres", "color"),
    [("s.ply", 0, 1e-6), ("s.compressed.ply", 1e-3, 1e-2), ("s.splat", 1e-6, 1e-2), ("s.ksplat", 1e-3, 1e-2),
     ("s.spz", 1e-3, 1e-2), ("s.sog", 1e-3, 1e-2)],
)  # fmt: skip
def test_packed_files_come_back_as_far_as_they_keep_things(
    still, tmp_path: Path, name: str, metres: float, color: float
) -> None:
    g, read = next(still.frames()).all, read_splats(export(still, tmp_path / name))
    away, same = cKDTree(read.means).query(g.means)
    assert len(read) == len(g) and away.max() <= metres
    assert np.abs(read.colors()[same] - g.colors()).max() < color
    assert np.abs(np.exp(read.log_scales[same]) - np.exp(g.log_scales)).max() < 1e-3


def test_a_packed_ply_is_known_by_what_is_in_it(still, tmp_path: Path) -> None:
    packed = export(still, tmp_path / "s.compressed.ply")
    assert len(read_splats(packed.rename(tmp_path / "plain.ply"))) == len(next(still.frames()).all)


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.spz").write_bytes(b"no splats at all")
    for name, said in (("s.obj", "expected Gaussians as .ply"), ("absent.ply", "cannot be read"), ("s.spz", "as spz")):
        with pytest.raises(PWError, match=said):
            read_splats(tmp_path / name)
    monkeypatch.setitem(sys.modules, "gaussforge", None)
    with pytest.raises(PWError, match=r"packed Gaussians \(spz\) need the package gaussforge: pip install"):
        read_splats(tmp_path / "s.spz")


def test_gaussians_are_scaled_turned_and_shifted(scene) -> None:
    g = scene.background
    long = replace(g, log_scales=np.log(np.tile(np.float32([0.1, 0.01, 0.01]), (len(g), 1))))
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = long.moved(quarter, np.array([1.0, 2, 3]), scale=2)
    assert np.allclose(moved.means, 2 * g.means @ quarter.T + [1, 2, 3], atol=1e-6)
    assert np.allclose(quats_to_rotations(moved.quats), quarter, atol=1e-6)
    assert np.allclose(moved.covariances(), 4 * quarter @ long.covariances() @ quarter.T, atol=1e-8)


def test_a_scene_before_the_scan_of_another_tool(scene, tmp_path: Path) -> None:
    World(tmp_path / "store").adopt(scene)
    scan = replace(scene.background[:50], means=scene.background.means[:50] / 10)
    write_ply(tmp_path / "room.ply", scan)
    arguments = [
        "background",
        "ball",
        str(tmp_path / "room.ply"),
        "--as",
        "room",
        "--scale",
        "10",
        "--at",
        "0",
        "0",
        "-1",
    ]
    result = RUNNER.invoke(app, [*arguments, "--store", str(tmp_path / "store")])
    assert result.exit_code == 0, result.output
    world = World.open(tmp_path / "store", scene="room")
    assert np.allclose(world.scene.background.means, scene.background.means[:50] - [0, 0, 1], atol=1e-5)
    assert len(world.scene.foreground) == len(scene.foreground) and world.render().rgb.shape == (64, 96, 3)
    assert RUNNER.invoke(app, [*arguments, "--store", str(tmp_path / "store")]).exit_code == 1
    both = world.with_background(scan, "both", beside=True)
    assert len(both.background) == 100
