"""What every executor does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pw_core.plan.candidates import Candidate, Job, Outcome
from pw_core.scene import Scene


class Executor(Protocol):
    """Runs a job's candidates; outcomes come as they are ready, in any order."""

    def run(
        self, job: Job, candidates: Sequence[Candidate], *, bound: Callable[[], float] | None = None,
        worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """Each candidate's outcome once.

        Args:
            bound: the cost above which a candidate may be given up; None: none is.
            worth: the cost above which an outcome may come without its frames; None: none does.
            stopped: asked often; what it raises ends the run.

        Raises:
            PlanError (EXECUTOR_FAILED): the means to run them broke, and trying again did not help.
        """
        ...

    def close(self) -> None:
        """End what was started. Twice is once."""


def same_scene(a: Scene, b: Scene) -> bool:
    """Whether a simulation of one serves the other."""
    return a.id == b.id and a.config == b.config and a.rest.tobytes() == b.rest.tobytes()
