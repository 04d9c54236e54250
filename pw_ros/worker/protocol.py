"""What node and worker tell each other besides requests: plain data that both import. No ROS here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import Camera
from pw_core.scene import Entity, State

if TYPE_CHECKING:
    from pw_core.refine.types import RefineStep


@dataclass(frozen=True)
class WorkerOptions:
    """What the World is made of. world_factory: `module:callable` that makes it, called as `pw_core.world.World` is;
    input_roots: folders below which requests may have files read; export_root: folder that exports go to (empty: one in
    the store); ray_address: of the Ray cluster that candidates run on; empty: they run in the worker; studio_port: of
    the studio's page, 0: none."""

    store: str
    config_dirs: tuple[str, ...] = ()
    device: str = "cpu"
    max_uncommitted_states: int = 16
    keep_replaced: int = 10
    scene: str = ""
    input_roots: tuple[str, ...] = ()
    export_root: str = ""
    ray_address: str = ""
    studio_port: int = 0
    world_factory: str = "pw_core.world:World"


# --- what the world looks like ----------------------------------------------------------------------------------------


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
    shows, from the start of its rollout or trajectory; 0 for a state; NaN where a live one was asked for and none ran:
    then it shows the head."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    time_s: float


class Track(NamedTuple):
    """Where all entities go: times [s] (T,) from the start, and an EntityPose of each entity at each of them."""

    times: tuple[float, ...]
    poses: tuple[tuple[Any, ...], ...]


# --- events of a job --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progressed:
    """What a job is doing, and how much of that, 0 to 1, is done."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class Began:
    """A rollout has its first frame. These will be the ids of what it leaves."""

    trajectory_id: str
    state_id: str


@dataclass(frozen=True)
class Viewed:
    """A view of a rollout that has ended."""

    camera: Camera
    picture: Picture


@dataclass(frozen=True)
class Committing:
    """The job's end becomes the head now, unless the job was called off before this was said."""

    state_id: str


@dataclass(frozen=True)
class Scored:
    """A candidate was run: how many were, of `total` (0: not known), the least cost and whose it is, the free numbers
    that gave it, expected further time eta_s [s] (-1: not known), and the best one's track where it is a new one."""

    evaluated: int
    total: int
    best_cost: float
    best_index: int
    values: dict[str, float]
    eta_s: float
    track: Track | None


Event = Union[Progressed, Began, FrameData, Viewed, Committing, Scored, "RefineStep"]
"""What a job tells its owner while it runs."""


# --- messages of the worker -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """What a request was answered with."""

    id: int
    value: Any


@dataclass(frozen=True)
class Refused:
    """Why a request was not done, with its error code."""

    id: int
    code: int
    text: str


@dataclass(frozen=True)
class Told:
    """An event of the job that a request began."""

    id: int
    event: Event


@dataclass(frozen=True)
class Noted:
    """What is to be said of the start, with an error code, or 0."""

    code: int
    text: str


@dataclass(frozen=True)
class Ready:
    """The World is open."""


Message = Answered | Refused | Told | Noted | Ready | Snapshot
"""What the worker sends; a snapshot whenever the world has changed."""
