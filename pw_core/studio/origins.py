"""Where a what-if begins: at the instant that is shown, as a whole state."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from pw_core.errors import ErrorCode, PWError, RolloutError
from pw_core.progress import Progress
from pw_core.scene import Scene, State, Trajectory
from pw_core.world import World


@dataclass(frozen=True, kw_only=True)
class OriginOptions:
    """When a moment that is computed anew is another than the one that was shown."""

    apart_sizes: float = 0.1
    """Particle sizes by which its particles may lie beside those shown, in the mean: on the CPU they are the same to
    the bit, on a GPU sums come in another order."""
    remembered: int = 100
    """Moments that are not computed twice."""


@dataclass(frozen=True)
class Here:
    """What is shown when something is asked: a state, or a frame of the way that led to it."""

    state: State
    way: Trajectory | None = None
    frame: int = 0

    @property
    def at_end(self) -> bool:
        """Whether it is the state itself."""
        return self.way is None or self.frame >= len(self.way) - 1

    @property
    def corrected(self) -> bool:
        """Whether the way is a refinement's: moved as its films say, where no physics went."""
        return bool(self.state.figures)

    @property
    def time_s(self) -> float:
        """From the beginning of the way [s]."""
        return 0.0 if self.way is None else float(self.way.times[min(self.frame, len(self.way) - 1)])


class Origins:
    """States for moments within trajectories.

    A trajectory holds where particles are and how fast, not what the material remembers (deformation, hardening), so a
    moment is computed anew from the trajectory's start: the same actions, up to it. It then is a state like all others.
    """

    def __init__(self, world: World, scene: Scene, *, options: OriginOptions = OriginOptions()) -> None:
        self.world, self.scene, self.options = world, scene, options
        self._made: OrderedDict[tuple[str, int], str] = OrderedDict()

    def of(self, here: Here, *, progress: Progress) -> State:
        """The state to begin from; progress is told how far it is, and may raise to call it off.

        Raises:
            RolloutError: INVALID_TIME within a corrected trajectory; UNSTABLE where what is computed is another moment
                than the one shown.
            SceneError (UNKNOWN_STATE): where the trajectory begins is no longer known.
        """
        way = here.way
        if way is None or here.at_end:
            return self.world.state(here.state.id)
        if here.frame <= 0:
            return self.world.state(way.start)
        if here.corrected:
            raise RolloutError(
                "within a corrected trajectory nothing can begin: how it came there is not known. Move the timeline to "
                "its end, or to its beginning, and ask again",
                code=ErrorCode.INVALID_TIME,
            )
        key = (way.id, here.frame)
        try:
            return self.world.state(self._made[key])
        except (KeyError, PWError):  # not made yet, or dropped
            pass
        made = self._compute(way, here.frame, progress)
        self._made[key] = made.id
        while len(self._made) > self.options.remembered:
            self._made.popitem(last=False)
        return made

    def _compute(self, way: Trajectory, frame: int, progress: Progress) -> State:
        until = float(way.times[frame])
        actions = [a for a in way.actions if a.start < until]
        running = self.world.rollout(
            actions, until, start=way.start, frame_interval=float(way.times[1] - way.times[0]), progress=progress
        )
        try:
            for made in running:
                progress(f"going to {until:.3f} s", made.fraction)
        except BaseException:
            running.discard()
            raise
        end = running.end
        apart = float(np.linalg.norm(end.physics.particles.positions - way.positions[frame], axis=1).mean())
        size = min(e.particle_size_m for e in self.scene.entities)
        if apart > self.options.apart_sizes * size:
            self.world.delete(end.id)
            raise RolloutError(
                f"computed anew, this moment is {apart * 1e3:.1f} mm from what is shown: begin at the trajectory's end "
                "or at its beginning",
                code=ErrorCode.UNSTABLE,
            )
        return end
