"""A refinement as it runs: steps to iterate over, what it has reached meanwhile, and the state that it leaves."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

from pw_core.calibrate.gauss_newton import Estimate
from pw_core.errors import RefineError
from pw_core.refine.refinement import Refinement
from pw_core.refine.types import Correction, Instant, RefineStep
from pw_core.scene import State, Trajectory


class Refining:
    """Iterate to go on, `close()` to cancel: the head does not move, and by default nothing is kept. Once it has ended,
    `state`, `trajectory`, `figures` and `estimates` hold what came of it."""

    def __init__(self, work: Refinement, keep: Callable[[State, Trajectory], None], *, keep_best: bool) -> None:
        self._work = work
        self._keep = keep
        self._keep_best = keep_best
        self._kept: tuple[State, Trajectory, Correction] | None = None
        self._steps = self._run()

    def __iter__(self) -> Refining:
        return self

    def __next__(self) -> RefineStep:
        return next(self._steps)

    def close(self) -> None:
        """Cancel."""
        self._steps.close()  # type: ignore[attr-defined]

    def instant(self, *, frame: int = -1) -> Instant:
        """A frame (default: the last) as corrected so far, to be drawn while it runs."""
        return self._work.instant(frame=frame)

    def _run(self) -> Iterator[RefineStep]:
        stopped = True
        try:
            yield from self._work.run()
            stopped = False
        except GeneratorExit:
            if self._keep_best and self._work.correction is None:
                self._work.finish_now()
            raise
        finally:
            if self._work.correction is not None and (self._keep_best or not stopped):
                self._hand_over(self._work.correction)

    def _hand_over(self, correction: Correction) -> None:
        old, end = self._work.trajectory, self._work.end
        state_id, trajectory_id = f"s-{uuid.uuid4().hex[:10]}", f"t-{uuid.uuid4().hex[:10]}"
        trajectory = replace(
            old, id=trajectory_id, end=state_id, positions=correction.positions, bodies=correction.bodies,
        )  # fmt: skip
        state = State(
            state_id, end.id, end.time_s, correction.physics, trajectory_id, time.time(),
            appearance=correction.appearance, parameters=correction.parameters, figures=correction.figures,
            views=correction.views,
        )  # fmt: skip
        self._kept = (state, trajectory, correction)
        self._keep(state, trajectory)

    def _result(self) -> tuple[State, Trajectory, Correction]:
        if self._kept is None:
            raise RefineError("the refinement has not ended: iterate it to its end")
        return self._kept

    @property
    def state(self) -> State:
        """The corrected state. RefineError before the end."""
        return self._result()[0]

    @property
    def trajectory(self) -> Trajectory:
        """The corrected trajectory. RefineError before the end."""
        return self._result()[1]

    @property
    def figures(self) -> dict[str, float]:
        """moved_mean_m and moved_max_m [m], seconds, and before and after what `measure.figures` tells."""
        return self._result()[0].figures

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The constants that were fitted."""
        return self._result()[2].estimates
