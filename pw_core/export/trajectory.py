"""Trajectories for other programs: `.npz` and Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pw_core.errors import ErrorCode, SceneError
from pw_core.files import written_aside
from pw_core.gaussians import deformations
from pw_core.scene import Scene, Trajectory
from pw_core.store import write_trajectory


def export_trajectory(scene: Scene, trajectory: Trajectory, path: Path | str) -> Path:
    """Write a trajectory; the ending of `path` says how.

    `.npz`: times [s] (T,), positions [m] and velocities [m/s] (T, J, 3), body.<entity> (T, 13), meta (JSON).
    `.parquet`: one row a frame and particle: time [s], particle, entity, x y z [m], vx vy vz [m/s], and the total
    deformation since the reconstruction, A00 .. A22.

    Raises:
        SceneError (STORE_FAILED): another ending, or the file cannot be written.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            write_trajectory(path, trajectory)
        elif path.suffix == ".parquet":
            _write_parquet(scene, trajectory, path)
        else:
            raise SceneError(f"{path}: expected a name ending in .npz or .parquet", code=ErrorCode.STORE_FAILED)
    except OSError as error:
        raise SceneError(f"{path} cannot be written: {error}", code=ErrorCode.STORE_FAILED) from None
    return path


def _write_parquet(scene: Scene, trajectory: Trajectory, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    near = scene.neighbours()
    names = pa.array([e.name for e in scene.entities])
    count = len(scene.rest)
    vectors = [(n, pa.float32()) for n in ("x", "y", "z", "vx", "vy", "vz")]
    affine = [(f"A{i}{j}", pa.float32()) for i in range(3) for j in range(3)]
    entity = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([("time", pa.float64()), ("particle", pa.int32()), ("entity", entity), *vectors, *affine])
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as new, pq.ParquetWriter(new, schema) as writer:
        for t, x, v in zip(trajectory.times, trajectory.positions, trajectory.velocities):
            A = deformations(scene.rest, x, near).reshape(count, 9)
            columns = [
                pa.array(np.full(count, t)),
                pa.array(np.arange(count, dtype=np.int32)),
                pa.DictionaryArray.from_arrays(pa.array(scene.entity_ids.astype(np.int32)), names),
                *(pa.array(np.ascontiguousarray(c)) for c in (*x.T, *v.T, *A.T)),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
