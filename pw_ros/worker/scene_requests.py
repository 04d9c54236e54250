"""What can be asked of a scene and the things in it: edits of the head, leaving it, exports. No ROS here.

`operations.HANDLERS` says who does each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64
from pw_ros.worker.requests import Moved, Request, Served


@dataclass(frozen=True, kw_only=True)
class SetEntityRequest(Request[Moved]):
    """An entity of the head elsewhere, or moving otherwise, see `pw_core.world.edits.with_entity`: a new head."""

    served = Served.AT_ONCE

    entity: str
    position: F64 | None = None
    orientation: F64 | None = None
    linear: F64 | None = None
    angular: F64 | None = None


@dataclass(frozen=True, kw_only=True)
class RewindRequest(Request[Moved]):
    """The reconstruction's time with the head's physics, or the other way round: a new head."""

    served = Served.AT_ONCE

    time: bool = False
    physics: bool = False


@dataclass(frozen=True)
class UnselectRequest(Request[None]):
    """Work on no scene."""

    served = Served.AT_ONCE


class Splats(NamedTuple):
    """Gaussians as points: means [m] (N, 3), colors uint8 (N, 3), sizes [m] (N,): the longest standard deviation,
    opacities (N,), 0 to 1. time_s: as a picture's, see `protocol.Picture`."""

    means: F32
    colors: NDArray[np.uint8]
    sizes: F32
    opacities: F32
    time_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SplatsRequest(Request[Splats]):
    """Those of the head's things, or of the background; of the things in a trajectory's frame nearest to `time_s` [s];
    live: at the newest instant of the running rollout."""

    served = Served.READ

    background: bool = False
    trajectory: str = ""
    time_s: float = 0.0
    live: bool = False


class Exported(NamedTuple):
    """The file or folder, and how large it is [bytes]."""

    path: str = ""
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class ExportRequest(Request[Exported]):
    """A state (empty: the head), or a trajectory where one is named (`last`: the last committed), as the file `name` of
    the folder of exports. Tells Progressed.

    Args:
        time_s: of the trajectory [s]: that instant alone.
        replace: what has that name may go.
    """

    served = Served.JOB

    name: str
    state: str = ""
    trajectory: str = ""
    time_s: float | None = None
    replace: bool = False
