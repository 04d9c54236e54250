"""What node and worker tell each other: plain data that both import. No ROS here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import Camera
from pw_core.scene import Entity, State


@dataclass(frozen=True)
class WorkerOptions:
    """What the World is made of. world_factory: `module:callable` that makes it, called as `pw_core.world.World` is;
    input_roots: folders below which requests may have files read."""

    store: str
    config_dirs: tuple[str, ...] = ()
    device: str = "cpu"
    max_uncommitted_states: int = 16
    keep_replaced: int = 10
    scene: str = ""
    input_roots: tuple[str, ...] = ()
    world_factory: str = "pw_core.world:World"


@dataclass(frozen=True)
class Snapshot:
    """The selected scene and its head, small enough to send at every change, so that the node answers from it.

    positions [m] and velocities [m/s] (J, 3) of the head, colors uint8 (J, 3), entity_ids (J,); poses: EntityPose of
    each entity; states come without their physics.
    """

    scene_id: str = ""
    title: str = ""
    created: float = 0.0
    cameras: tuple[Camera, ...] = ()
    entities: tuple[Entity, ...] = ()
    states: tuple[State, ...] = ()
    head: str = ""
    committed: frozenset[str] = frozenset()
    positions: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    velocities: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    colors: NDArray[np.uint8] | None = None
    entity_ids: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    poses: tuple[Any, ...] = ()

    @property
    def head_time(self) -> float:
        """[s] simulated since the reconstruction."""
        return next((s.time_s for s in self.states if s.id == self.head), 0.0)


class FrameData(NamedTuple):
    """An instant of a rollout or trajectory: time [s] from its start, positions [m] and velocities [m/s] (J, 3)."""

    time_s: float
    fraction: float
    positions: NDArray[np.float32]
    velocities: NDArray[np.float32]
    poses: tuple[Any, ...]


class Picture(NamedTuple):
    """rgb uint8 (H, W, 3); depth [m] float32 (H, W), NaN where nothing is, if it was asked for. time_s [s] of what it
    shows, from the start of its rollout or trajectory; 0 for a state."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    time_s: float
