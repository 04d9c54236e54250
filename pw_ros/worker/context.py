"""What the worker's operations share: the World, what of it a job uses just now, and whom to tell. No ROS here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import Camera
from pw_core.scene import PhysicsState, Scene, State
from pw_ros.worker.protocol import Committing, Event, Picture

if TYPE_CHECKING:
    from pw_core.appearance import EntityPose
    from pw_core.export.content import Content, Frame
    from pw_core.plan.executors.types import Executor
    from pw_core.world import World


class Desk(Protocol):
    """What a running operation needs of whoever takes the requests."""

    stepping: bool

    def event(self, event: Event) -> None:
        """Tell the job's owner."""

    def serve(self) -> None:
        """Answer what came in meanwhile and only reads."""

    def serving(self) -> AbstractContextManager[None]:
        """As `serve`, all the while."""

    @property
    def canceled(self) -> bool:
        """Whether the running job was called off."""


@dataclass
class Context:
    """The World and the running job.

    Args:
        export_root: folder that exports go to; empty: one in the store.
        ray_address: of the Ray cluster that candidates run on; empty: they run here.
        farm: what runs them on that cluster, made for the first batch and kept for the next.
        live: of the running rollout: time [s], physics, and the id of the state whose appearance it has.
        correcting: draws the running refinement.
        used: ids of states that the running job needs.
        pending: ids that the running rollout has told and that the world does not know before it ends.
        drop_pending: what the rollout that was called off leaves is not wanted any more.
        colors: of a scene's particles.
        content: what an export would hold of a head state, kept for who asks for its Gaussians.
        following: a scene, a state's id, and its Gaussians, which follow the particles of a prediction.
        shown: a scene, its head's id, and where its particles and entities then are, as the last snapshot had it.
    """

    desk: Desk
    world: World
    input_roots: tuple[str, ...] = ()
    ray_address: str = ""
    export_root: str = ""
    farm: Executor | None = field(default=None, repr=False)
    live: tuple[float, PhysicsState, str] | None = None
    correcting: Callable[[Camera | str], Picture] | None = None
    used: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()
    drop_pending: bool = False
    colors: tuple[Scene, NDArray[np.uint8] | None] | None = field(default=None, repr=False)
    content: tuple[State, Frame] | None = field(default=None, repr=False)
    following: tuple[Scene, str, Content] | None = field(default=None, repr=False)
    shown: tuple[Scene, str, NDArray[np.float32], tuple[EntityPose, ...]] | None = field(default=None, repr=False)

    @property
    def in_use(self) -> frozenset[str]:
        """Ids of states that the running job needs, unless it was called off."""
        return frozenset() if self.desk.canceled else self.used

    def commit_unless_canceled(self, state_id: str) -> bool:
        """Make it the head at the end of a job; whether that was done. The owner is told first, so that who calls it
        off now waits to hear whether that came in time."""
        self.desk.event(Committing(state_id))
        if self.desk.canceled:
            return False
        self.world.commit(state_id)
        return True
