"""Candidates one after the other, on a simulation that is there already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pw_core.errors import PWError
from pw_core.plan.candidates import Candidate, Job, Outcome, failed, run_candidate

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


class Serial:
    """In this process.

    Args:
        simulation: gives the job's, with those constants set; called for each candidate.
    """

    def __init__(self, simulation: Callable[[dict[str, float]], Simulation]) -> None:
        self._simulation = simulation

    def run(
        self, job: Job, candidates: Sequence[Candidate], *, bound: Callable[[], float] | None = None,
        worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """See Executor."""
        built = self._simulation(job.start.parameters)  # what is wrong with the scene is no candidate's fault
        for index, candidate in enumerate(candidates):
            try:
                built = self._simulation(job.start.parameters | candidate.constants)
            except PWError as error:
                yield failed(index, error)
                continue
            yield run_candidate(built, job, candidate, index=index, bound=bound, worth=worth, stopped=stopped)

    def close(self) -> None:
        """Nothing was started."""
