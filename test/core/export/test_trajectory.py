"""Trajectories as arrays and as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pw_core.export.content import Content
from pw_core.export.formats import export
from pw_core.scene import Trajectory


def carried(scene, count: int = 3) -> Content:
    positions = np.stack([scene.rest + 0.01 * k for k in range(count)])
    moved = Trajectory("t", "a", "b", np.arange(count) * 0.1, positions, np.zeros_like(positions), {})
    return Content.of_trajectory(scene, moved)


def test_parquet_has_a_row_a_particle_and_frame(scene, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(export(carried(scene), tmp_path / "t.parquet"))
    assert table.num_rows == 3 * len(scene.rest) and set(table["entity"].to_pylist()) == {"ball"}
    last = table.slice(2 * len(scene.rest))
    assert np.allclose(last["x"].to_numpy(), scene.rest[:, 0] + 0.02, atol=1e-6)
    assert np.allclose(last["A00"].to_numpy(), 1, atol=1e-3) and np.allclose(last["A01"].to_numpy(), 0, atol=1e-3)


def test_npz_holds_the_frames(scene, tmp_path: Path) -> None:
    with np.load(export(carried(scene), tmp_path / "t.npz"), allow_pickle=False) as arrays:
        assert arrays["positions"].shape == (3, len(scene.rest), 3)
