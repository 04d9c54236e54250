"""Terms that compare an entity with a shape: a point cloud, a mesh, or its outline in a camera's picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pw_core.actions import Vector
from pw_core.errors import ErrorCode, PlanError
from pw_core.gaussians import F64, Camera
from pw_core.plan.moment import Measure, Moment, Setting
from pw_core.plan.terms import Term


@dataclass(frozen=True, kw_only=True)
class ShapeOptions:
    """How large what a shape or a mask is read from may be, and how much of it is compared."""

    moved: int = 512
    """Points that an assignment of an earth mover's distance is solved for: 50 ms; its time grows with the cube."""
    most_points: int = 1_000_000
    """Of a shape: a tree of so many takes a second, and no scene has more particles."""
    most_bytes: int = 256_000_000
    """Of a file: a mesh of a million vertices as text has a tenth of that."""
    most_pixels: int = 16_000_000
    """Of a mask: outlines are drawn at its size for every candidate."""


OPTIONS = ShapeOptions()


class Shape(Term):
    """An entity is to have a shape, where it is: a distance between its particles and the shape's points [m].

    chamfer: the mean of both mean distances to the nearest point of the other (Fan et al. 2017, without the square).
    emd: the mean way of the best one-to-one assignment (earth mover's distance), on up to 512 points of each.
    """

    type: Literal["shape"] = "shape"
    entity: str
    points: tuple[Vector, ...] = Field(default=(), description="[m]; this or `file`")
    file: str = Field(default="", description="point cloud or mesh (PLY, OBJ, STL ...) [m]; a mesh is filled")
    metric: Literal["chamfer", "emd"] = "chamfer"

    @model_validator(mode="after")
    def _one_source(self) -> Shape:
        if bool(self.points) == bool(self.file):
            raise ValueError("give `points` or `file`, one of the two; a cloud of no points has no shape")
        return self

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        from scipy.spatial import cKDTree

        own = setting.particles(self.entity, term=self.label)
        count = own.stop - own.start
        goal = np.array(self.points) if self.points else points_of(Path(self.file), count=count, term=self.label)
        if not np.isfinite(goal).all():
            raise PlanError(f"{self.label}: the shape's points are not all finite", code=ErrorCode.INVALID_OBJECTIVE)
        if self.metric == "emd":
            chosen = _spread(goal, min(OPTIONS.moved, count, len(goal)))
            return lambda moment: earth_mover(_spread(moment.positions[own].astype(np.float64), len(chosen)), chosen)
        tree = cKDTree(goal)

        def measure(moment: Moment) -> float:
            now = moment.positions[own].astype(np.float64)
            return float((tree.query(now)[0].mean() + cKDTree(now).query(goal)[0].mean()) / 2)

        return measure


class Silhouette(Term):
    """An entity is to fill a mask in a camera's picture: 1 - IoU, 0 to 1."""

    type: Literal["silhouette"] = "silhouette"
    entity: str
    camera: str = Field(default="", description="its name in the scene; empty: the photo's")
    file: str = Field(description="the mask as a picture of any size: white is the entity")

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        own = setting.particles(self.entity, term=self.label)
        cameras = {c.name: c for c in setting.scene.cameras}
        name = self.camera or setting.scene.cameras[0].name
        if name not in cameras:
            raise PlanError(
                f"{self.label}: camera '{name}' is none of {', '.join(cameras)}", code=ErrorCode.INVALID_OBJECTIVE
            )
        mask = read_mask(Path(self.file), term=self.label)
        camera = cameras[name].resized(mask.shape[1], mask.shape[0])
        radius = setting.scene.entity(self.entity).particle_size_m * 0.75

        def measure(moment: Moment) -> float:
            drawn = silhouette(moment.positions[own].astype(np.float64), camera, radius_m=radius)
            return 1.0 - float((drawn & mask).sum()) / max(float((drawn | mask).sum()), 1.0)

        return measure


def silhouette(positions: F64, camera: Camera, *, radius_m: float) -> NDArray[np.bool_]:
    """The pixels (H, W) that balls of `radius_m` [m] about `positions` [m] (n, 3) cover in a camera's picture."""
    import cv2

    out = np.zeros((camera.height, camera.width), np.uint8)
    uv, depth = camera.project(positions)
    wide = camera.K[0, 0] * radius_m / np.maximum(depth, 1e-6)
    for (x, y), r, z in zip(uv, wide, depth):
        if z > 0 and -r < x < camera.width + r and -r < y < camera.height + r:
            # Four bits of a pixel: a shape must not jump as particles move by parts of one.
            cv2.circle(out, (round(16 * x - 8), round(16 * y - 8)), max(1, round(16 * r)), 1, -1, shift=4)
    return np.asarray(out > 0)


def points_of(path: Path, *, count: int, term: str) -> F64:
    """Points [m] (n, 3) of a cloud's or mesh's file; of a closed mesh about `count` inside it, of an open one on it.

    Read once for all candidates, until the file changes.

    Raises:
        PlanError (INVALID_OBJECTIVE): it cannot be read, or holds no point.
    """
    _check_size(path, term)
    try:
        points = _points_of(path, _stamp(path), count)
    except Exception as error:  # trimesh's readers raise whatever they like
        raise PlanError(f"{term}: {path} is no point cloud or mesh that can be read: {type(error).__name__}: {error}",
                        code=ErrorCode.INVALID_OBJECTIVE) from None  # fmt: skip
    if len(points) == 0:
        raise PlanError(f"{term}: {path} holds no points", code=ErrorCode.INVALID_OBJECTIVE)
    if len(points) > OPTIONS.most_points:
        raise PlanError(f"{term}: {path} holds {len(points)} points, at most {OPTIONS.most_points} are taken",
                        code=ErrorCode.INVALID_OBJECTIVE)  # fmt: skip
    return points


@lru_cache(maxsize=4)
def _points_of(path: Path, _: tuple[int, ...], count: int) -> F64:
    import trimesh

    # Its bytes and not its path: what it refers to, materials or buffers in other files, is not read.
    loaded = trimesh.load(BytesIO(path.read_bytes()), file_type=path.suffix.lstrip("."), process=False)
    if isinstance(loaded, trimesh.Scene):
        loaded = loaded.to_mesh()
    if isinstance(loaded, trimesh.Trimesh) and len(loaded.faces):
        loaded.merge_vertices(merge_tex=True, merge_norm=True)  # an STL's triangles share none, and seem open
        inside = _filled(loaded, count) if loaded.is_watertight else np.zeros((0, 3))
        points = inside if len(inside) else loaded.sample(count, seed=0)
    else:
        points = np.asarray(getattr(loaded, "vertices", ()))
    points = np.array(points, np.float64)
    points.flags.writeable = False  # shared by all candidates
    return points


def _filled(mesh: Any, count: int) -> F64:
    """About `count` points of a lattice inside a closed mesh; of one that is hardly there in its box, fewer."""
    from pw_core.simulate.fast.distance import points_inside

    box = float(np.prod(np.maximum(mesh.extents, 1e-9)))
    step = max(abs(float(mesh.volume)) / count, box / OPTIONS.most_points) ** (1 / 3)
    return points_inside(mesh.vertices, mesh.faces, step_m=step)


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with a file's contents."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _check_size(path: Path, term: str) -> None:
    size = path.stat().st_size if path.is_file() else 0
    if size > OPTIONS.most_bytes:
        raise PlanError(f"{term}: {path} has {size / 1e6:.0f} MB, at most {OPTIONS.most_bytes / 1e6:g} are read",
                        code=ErrorCode.INVALID_OBJECTIVE)  # fmt: skip


def read_mask(path: Path, *, term: str) -> NDArray[np.bool_]:
    """A mask picture (H, W), read once for all candidates, until the file changes.

    Raises:
        PlanError (INVALID_OBJECTIVE): it cannot be read, or marks nothing.
    """
    _check_size(path, term)
    mask = _mask_of(path, _stamp(path)) if path.is_file() else None
    if mask is None:
        most = f"{OPTIONS.most_pixels / 1e6:g} megapixels"
        raise PlanError(f"{term}: {path} is no picture of at most {most} that can be read",
                        code=ErrorCode.INVALID_OBJECTIVE)  # fmt: skip
    if not mask.any():
        raise PlanError(f"{term}: {path} marks no pixel: white is where the entity is to be",
                        code=ErrorCode.INVALID_OBJECTIVE)  # fmt: skip
    return mask


@lru_cache(maxsize=4)
def _mask_of(path: Path, _: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """White pixels; None where it is no picture, or too large a one."""
    import cv2

    try:
        found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # more pixels than it dares to read
        return None
    if found is None or found.size > OPTIONS.most_pixels:
        return None
    mask = np.asarray(found > 127)
    mask.flags.writeable = False  # shared by all candidates
    return mask


def earth_mover(a: F64, b: F64) -> float:
    """Mean way [m] of the best one-to-one assignment of points (n, 3) to points (n, 3)."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    ways = cdist(a, b)
    rows, columns = linear_sum_assignment(ways)
    return float(ways[rows, columns].mean())


def _spread(points: F64, count: int) -> F64:
    """`count` of the points, evenly over their order: the same ones each time."""
    return points[np.linspace(0, len(points) - 1, count).round().astype(int)]
