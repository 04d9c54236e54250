"""What the worker can be asked: one class a request, and what it is answered with. No ROS here.

`operations.HANDLERS` says who does each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.errors import ErrorCode
from pw_core.gaussians import F64, Camera
from pw_core.scene import Trajectory
from pw_ros.naming import snake_case
from pw_ros.worker.protocol import FrameData, Picture, Track

if TYPE_CHECKING:
    from pw_core.calibrate.gauss_newton import Estimate
    from pw_core.config import SceneConfig
    from pw_core.plan.candidates import Candidate, Score
    from pw_core.plan.objective import Objective
    from pw_core.plan.robust import RobustOptions
    from pw_core.plan.search import Budget, SearchOptions
    from pw_core.plan.template import Template
    from pw_core.reconstruct import Inputs
    from pw_core.store import ReplacedScene
    from pw_core.world import SceneEntry

T = TypeVar("T", covariant=True)


class Served(Enum):
    """When a request's turn is."""

    JOB = "job"
    """One after the other, in the order they came."""
    READ = "read"
    """Changes nothing: between a job's frames, while kernels compile, in progress reports."""
    AT_ONCE = "at once"
    """Works on states and scenes and waits for no job: as it comes in, from a thread of its own."""


class Request(Generic[T]):
    """Answered with a T. `unknown`: the error code of what nobody foresaw; `canceled`: of a job that was called off
    before it began."""

    served: ClassVar[Served]
    unknown: ClassVar[ErrorCode] = ErrorCode.SCENE_UNKNOWN
    canceled: ClassVar[ErrorCode] = ErrorCode.CANCELED

    @classmethod
    def what(cls) -> str:
        """What it is called in messages."""
        return snake_case(cls.__name__.removesuffix("Request"))


@dataclass(frozen=True)
class Asked:
    """A request on its way to the worker, by its number, which rises. None in its place: leave."""

    id: int
    request: Request[Any]


# --- jobs -------------------------------------------------------------------------------------------------------------


class Reconstructed(NamedTuple):
    """wall_time [s]; psnr [dB] against the pictures, NaN where it was not measured; scale_from: where metres come from;
    left_out: pictures that could not be placed, files that were not used; doubts: sentences, each with a remedy."""

    scene_id: str
    wall_time: float
    route: str
    psnr: float
    scale_from: str
    left_out: tuple[str, ...]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReconstructRequest(Request[Reconstructed]):
    """A scene of `inputs`, of what the file or folder `uri` holds, or of the configured photo. Tells Progressed."""

    served = Served.JOB
    unknown = ErrorCode.RECONSTRUCT_UNKNOWN
    canceled = ErrorCode.RECONSTRUCT_CANCELED

    config: SceneConfig
    inputs: Inputs | None = None
    uri: str = ""
    replace: bool = False


class RolledOut(NamedTuple):
    """How a rollout ended. Ids are empty where it was called off before its first frame."""

    trajectory_id: str = ""
    state_id: str = ""
    canceled: bool = False
    committed: bool = False


@dataclass(frozen=True, kw_only=True)
class RolloutRequest(Request[RolledOut]):
    """`duration` [s] of physics from state `start` (empty: the head), then `max_views` (0: all) instants as the cameras
    see them. Tells Progressed, Began, FrameData, Viewed, Committing."""

    served = Served.JOB
    unknown = ErrorCode.ROLLOUT_UNKNOWN

    actions: Sequence[Action]
    duration: float
    start: str = ""
    frame_interval: float | None = None
    commit: bool = False
    cameras: Sequence[Camera] = ()
    max_views: int = 0


class Film(NamedTuple):
    """What one camera, by name or with a pose, saw: stamps [s] (N,), frames uint8 (N, H, W, 3), valid (N, H, W)."""

    camera: Camera | str
    stamps: F64
    frames: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Refined:
    """How a refinement ended; state_id is empty where nothing was kept."""

    state_id: str = ""
    canceled: bool = False
    committed: bool = False
    parent: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, float] = field(default_factory=dict)
    estimates: tuple[Estimate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RefineRequest(Request[Refined]):
    """A correction of a trajectory (empty: the last committed). Tells Progressed, RefineStep, Committing.

    Args:
        provider: its name; empty: as configured, and `films` are then only for the provider `observed`.
        cameras: the views, for providers that make frames; films have their own.
        frames_uri: or where films lie on disk, as `pw_core.loop.films` reads them.
        time_origin: stamp [s] of t = 0 on the clock of `films`; of those in a folder, None: as it says itself.
        changes: fields of RefineConfig in place of the scene's.
        keep_best: if it is called off, the best so far stays as an uncommitted state.
    """

    served = Served.JOB
    unknown = ErrorCode.REFINE_UNKNOWN

    provider: str = ""
    trajectory: str = ""
    cameras: Sequence[Camera] = ()
    films: Sequence[Film] = ()
    frames_uri: str = ""
    time_origin: float | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    keep_best: bool = False
    commit: bool = False


class KeptCandidate(NamedTuple):
    """One of the best: its score, its end, and the way there."""

    score: Score
    state_id: str
    trajectory_id: str
    track: Track


@dataclass(frozen=True)
class Evaluated:
    """How a batch ended: the score of each candidate (None: it was not run), and the best, the best first."""

    scores: tuple[Score | None, ...] = ()
    best: tuple[KeptCandidate, ...] = ()
    canceled: bool = False


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(Request[Evaluated]):
    """What each candidate costs: `duration` [s] of physics from state `start` (empty: the head); the best `keep` stay.
    Files that the objective names are opened below the input roots. Tells Progressed, Scored."""

    served = Served.JOB
    unknown = ErrorCode.PLAN_UNKNOWN

    candidates: Sequence[Candidate]
    objective: Objective
    duration: float
    start: str = ""
    frame_interval: float | None = None
    keep: int = 1
    prune: bool = False
    robust: RobustOptions | None = None


@dataclass(frozen=True)
class Planned:
    """How a search ended: the best actions and their free numbers, history of (candidates evaluated, seconds, best
    cost) whenever that fell, what ended it; `best` is None where no candidate was run to its end."""

    actions: tuple[Action, ...] = ()
    values: dict[str, float] = field(default_factory=dict)
    best: KeptCandidate | None = None
    evaluated: int = 0
    history: tuple[tuple[int, float, float], ...] = ()
    why: str = ""
    canceled: bool = False


@dataclass(frozen=True, kw_only=True)
class PlanRequest(Request[Planned]):
    """The template's free numbers that cost least; `warm`: values to search near, by name. The rest is as in
    EvaluateRequest. Tells Progressed, Scored."""

    served = Served.JOB
    unknown = ErrorCode.PLAN_UNKNOWN

    template: Template
    objective: Objective
    duration: float
    budget: Budget
    options: SearchOptions
    warm: dict[str, float] = field(default_factory=dict)
    start: str = ""
    frame_interval: float | None = None
    robust: RobustOptions | None = None


# --- what only looks --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RenderRequest(Request[Picture]):
    """What a camera sees of a state (empty: the head), or of a trajectory's frame nearest to `time_s` [s]; live: of the
    running rollout's last frame or of the running refinement, or of the head between them."""

    served = Served.READ
    unknown = ErrorCode.RENDER_UNKNOWN

    camera: Camera | str
    state: str = ""
    trajectory: str = ""
    time_s: float = 0.0
    live: bool = False
    depth: bool = False


class Frames(NamedTuple):
    """A trajectory, and its frames as they are published."""

    trajectory: Trajectory
    frames: list[FrameData]


@dataclass(frozen=True)
class TrajectoryRequest(Request[Frames]):
    """By id; empty: the last committed. Its frames from `start` to `end` [s] (0: to the last), every `stride`-th."""

    served = Served.READ

    trajectory: str = ""
    start: float = 0.0
    end: float = 0.0
    stride: int = 1


@dataclass(frozen=True)
class ConfigRequest(Request["SceneConfig"]):
    """A scene configuration by name."""

    served = Served.READ

    name: str


# --- states and scenes ------------------------------------------------------------------------------------------------


class Moved(NamedTuple):
    """The head, and the one before."""

    state_id: str
    previous_head: str


@dataclass(frozen=True)
class CommitRequest(Request[Moved]):
    """Make a state the head, and keep it and what led to it."""

    served = Served.AT_ONCE

    state_id: str


@dataclass(frozen=True)
class RestoreRequest(Request[Moved]):
    """Make a state, looked for on disk too, the head: by id, or by the label it was saved under (the newest)."""

    served = Served.AT_ONCE

    state_id: str


@dataclass(frozen=True)
class ResetRequest(Request[str]):
    """The head goes back to the reconstruction, whose id is the answer."""

    served = Served.AT_ONCE

    drop_uncommitted: bool = False


@dataclass(frozen=True)
class DeleteRequest(Request[list[str]]):
    """Forget a state, and with `recursive` what came from it; the ids that are gone, leaves first."""

    served = Served.AT_ONCE

    state_id: str
    recursive: bool = False


@dataclass(frozen=True)
class SaveRequest(Request[str]):
    """Keep a state (empty: the head) under a label; its id."""

    served = Served.AT_ONCE

    state_id: str = ""
    label: str = ""


@dataclass(frozen=True)
class LimitRequest(Request[None]):
    """Keep so many what-ifs from now on."""

    served = Served.AT_ONCE

    max_uncommitted_states: int


@dataclass(frozen=True)
class ScenesRequest(Request[list["SceneEntry"]]):
    """Scenes, and configurations without one."""

    served = Served.AT_ONCE


@dataclass(frozen=True)
class SelectRequest(Request[None]):
    """Work on another scene."""

    served = Served.AT_ONCE

    scene_id: str


@dataclass(frozen=True)
class ReplacedRequest(Request[list["ReplacedScene"]]):
    """Scenes whose place another took."""

    served = Served.AT_ONCE


@dataclass(frozen=True)
class RestoreReplacedRequest(Request[None]):
    """Put one of them back and work on it; with `replace`, what has its id now moves aside."""

    served = Served.AT_ONCE

    replaced_id: str
    replace: bool = False
