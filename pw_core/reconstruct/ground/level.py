"""Scenes without a table (`ground: none`): which way is up, a level frame, and a scene moved in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, Camera
from pw_core.reconstruct.ground.plane import PlaneOptions, upright
from pw_core.reconstruct.ground.world_frame import transformed
from pw_core.reconstruct.types import Posed
from pw_core.scene import Scene

OWN_UP = "the cameras' own up on average: tell it by up"


@dataclass(frozen=True, kw_only=True)
class LevelOptions:
    """How a scene that nothing bears gets its frame."""

    plane: PlaneOptions = PlaneOptions()
    """When cameras that are held level tell what upright is."""
    below_reaches: float = 3.0
    """How far below the lowest of cameras and entities z = 0 is put while the scene is made [cameras' distances]: what
    is below z = 0 is taken for a table's underside by all that knows tables."""
    least_entity_points: int = 8
    """Points of the entities, below which all points tell how far away things are."""


def up_in_camera(config: SceneConfig) -> F64:
    """Against gravity (3,), unit, in the axes (right, down, ahead) of a photo's camera: as given, or by its pitch and
    roll."""
    if config.up is not None:
        return np.asarray(config.up, np.float64) / np.linalg.norm(config.up)
    pitch, roll = math.radians(config.camera.pitch_deg), math.radians(config.camera.roll_deg)
    level = math.cos(pitch)
    return np.array([-math.sin(roll) * level, -math.cos(roll) * level, -math.sin(pitch)])


def camera_by_up(config: SceneConfig, *, width: int, height: int, name: str) -> Camera:
    """A photo's camera above the world's origin, x ahead of it, where no table is."""
    made = Camera.above_table(
        height_m=config.camera.height_m, pitch_deg=0, hfov_deg=config.camera.hfov_deg, width=width, height=height,
        name=name,
    )  # fmt: skip
    viewmat = np.eye(4)
    viewmat[:3, :3] = _axes(up_in_camera(config), np.array([0.0, 0, 1]), np.array([0.0, -1, 0]))
    viewmat[:3, 3] = -viewmat[:3, 2] * config.camera.height_m
    return made.moved(viewmat, name=name)


def distance_of(config: SceneConfig, name: str) -> float:
    """x [m] of an entity's middle as the scene file gives it.

    Raises:
        ReconstructError (INVALID_CONFIG): it does not: nothing in the photo tells how far away it is.
    """
    entity = config.entity(name)
    if entity.distance_m > 0:
        return entity.distance_m
    raise ReconstructError(
        f"entity '{name}': without a table (ground: none) a photo does not tell how far away it is: give distance_m or "
        "diameter_m, or what it hangs above (above)", code=ErrorCode.INVALID_CONFIG,
    )  # fmt: skip


def to_level_frame(
    posed: Posed, config: SceneConfig, *, given: bool, metric: bool, own: NDArray[np.bool_], imu_up: F64 | None = None,
    options: LevelOptions = LevelOptions(),
) -> tuple[Posed, dict[str, Any]]:  # fmt: skip
    """The scene with z against gravity, far above z = 0, and a report: where up is from, `world_from_given`, and
    `lower_m`: how far the finished scene is to come down (`settled`), None where the first camera's height tells.

    given: poses were given, in metres; their frame is kept but for that, if it tells what up is. own (n,): which of the
    points are the entities'. imu_up (3,): a recording's, in the first camera's axes.
    """
    cameras = [v.camera for v in posed.views]
    up, source = _up(cameras, config, given, imu_up, options)
    kept = given and source == "z of the given poses"
    first = cameras[0].viewmat
    turn = np.eye(3) if kept else _axes(up, first[2, :3], -first[1, :3])
    centres = np.array([c.centre for c in cameras])
    mine = posed.points[own] if own.sum() >= options.least_entity_points else posed.points
    middle = np.median(mine, axis=0)
    reach = float(np.median(np.linalg.norm(centres - middle, axis=1)))
    scale = 1.0 if metric else 1 / max(reach, 1e-9)
    lowest = float(min((centres @ up).min(), np.percentile(mine @ up, 1))) - options.below_reaches * reach
    T = np.eye(4)
    T[:3, :3] = scale * turn.T
    if not kept:
        T[:3, 3] = -T[:3, :3] @ centres[0]
    T[2, 3] = -scale * lowest
    report: dict[str, Any] = {
        "ground": "none", "up_from": source, "metric": metric, "scale": scale, "world_from_given": T.tolist(),
        "scale_from": "given poses or depth" if metric else "unknown; the first camera is assumed to be 1 m away",
        "frame": "as given" if kept else "z up, x ahead of the first camera",
        "lower_m": T[2, 3] if kept else None,
    }  # fmt: skip
    return transformed(posed, T), report


def settled(scene: Scene, plane: dict[str, Any], first: Camera) -> tuple[Scene, dict[str, Any]]:
    """The finished scene at its height: that of the frame that was given, or with the first camera `camera.height_m`
    above the world's origin; and the report with that."""
    lower = plane["lower_m"]
    by = -lower if lower is not None else scene.config.camera.height_m - float(first.centre[2])
    T = np.array(plane["world_from_given"])
    T[2, 3] += by
    told = {k: v for k, v in plane.items() if k != "lower_m"} | {"world_from_given": T.tolist()}
    return _moved_up(scene, float(by)), told


def level_doubts(config: SceneConfig, plane: Mapping[str, Any] | None = None) -> list[str]:
    """Without a table: up that is no more than how cameras were held (`plane`: the report of `to_level_frame`), and
    what nothing holds."""
    if config.has_table:
        return []
    tilted = plane is not None and plane["up_from"] == OWN_UP
    guessed = ["gravity is guessed: the cameras do not tell what is up; give up, or pictures from more places"]
    return guessed * tilted + [
        f"entity '{e.name}': there is no table (ground: none) and it is not fixed: it falls; say how it is held (fixed)"
        for e in config.entities if e.fixed == "no" and not e.tool and not e.above
    ]  # fmt: skip


def _up(
    cameras: list[Camera], config: SceneConfig, given: bool, imu_up: F64 | None, options: LevelOptions
) -> tuple[F64, str]:
    """Against gravity (3,), unit, in the frame of the poses; and where that is from."""
    first = cameras[0].viewmat[:3, :3]
    if config.up is not None:
        return np.asarray(first.T @ up_in_camera(config)), "up of the scene file"
    if given:
        return np.array([0.0, 0, 1]), "z of the given poses"
    if imu_up is not None:
        return np.asarray(first.T @ imu_up), "the recording's IMU"
    if len(cameras) == 1:
        return np.asarray(first.T @ up_in_camera(config)), "pitch and roll of the scene file"
    ups = np.array([-c.viewmat[1, :3] for c in cameras])
    rights = np.array([c.viewmat[0, :3] for c in cameras])
    up = upright(ups, rights, options=options.plane)
    if up is not None:
        return up, "cameras held level"
    mean = ups.mean(0)
    return mean / np.linalg.norm(mean), OWN_UP


def _axes(up: F64, ahead: F64, instead: F64) -> F64:
    """World axes x, y, z as columns (3, 3): z up, x the horizontal part of `ahead`, or of `instead` where it has
    none."""
    x = ahead - up * (ahead @ up)
    if np.linalg.norm(x) < 1e-3:
        x = instead - up * (instead @ up)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up], axis=1)


def _moved_up(scene: Scene, by: float) -> Scene:
    """Everything that much [m] higher."""
    shift = np.array([0.0, 0.0, by])

    def camera(c: Camera) -> Camera:
        viewmat = c.viewmat.copy()
        viewmat[:3, 3] = viewmat[:3, 3] - viewmat[:3, :3] @ shift
        return c.moved(viewmat, name=c.name)

    def higher(points: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(points + shift, points.dtype)

    entities = tuple(
        replace(e, mesh=replace(e.mesh, vertices=higher(e.mesh.vertices)), origin=higher(e.origin))
        for e in scene.entities
    )
    return replace(
        scene, entities=entities, particles=replace(scene.particles, positions=higher(scene.particles.positions)),
        foreground=replace(scene.foreground, means=higher(scene.foreground.means)),
        background=replace(scene.background, means=higher(scene.background.means)),
        cameras=tuple(map(camera, scene.cameras)),
    )  # fmt: skip
