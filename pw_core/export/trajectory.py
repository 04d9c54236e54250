"""Trajectories as arrays and as a table: `.npz` and Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pw_core.export.content import Content
from pw_core.gaussians import deformations
from pw_core.store import write_trajectory


def write_npz(content: Content, path: Path) -> None:
    """times [s] (T,), positions [m] and velocities [m/s] (T, J, 3), body.<entity> (T, 13), meta (JSON)."""
    assert content.trajectory is not None
    write_trajectory(path, content.trajectory)


def write_parquet(content: Content, path: Path) -> None:
    """One row a frame and particle: time [s], particle, entity, x y z [m], vx vy vz [m/s], and the total deformation
    since the reconstruction, A00 .. A22."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    scene, trajectory = content.scene, content.trajectory
    assert trajectory is not None
    near = scene.neighbours()
    names = pa.array([e.name for e in scene.entities])
    count = len(scene.rest)
    vectors = [(n, pa.float32()) for n in ("x", "y", "z", "vx", "vy", "vz")]
    affine = [(f"A{i}{j}", pa.float32()) for i in range(3) for j in range(3)]
    entity = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([("time", pa.float64()), ("particle", pa.int32()), ("entity", entity), *vectors, *affine])
    with pq.ParquetWriter(path, schema) as writer:
        for t, x, v in zip(trajectory.times, trajectory.positions, trajectory.velocities):
            A = deformations(scene.rest, x, near).reshape(count, 9)
            columns = [
                pa.array(np.full(count, t)),
                pa.array(np.arange(count, dtype=np.int32)),
                pa.DictionaryArray.from_arrays(pa.array(scene.entity_ids.astype(np.int32)), names),
                *(pa.array(np.ascontiguousarray(c)) for c in (*x.T, *v.T, *A.T)),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
