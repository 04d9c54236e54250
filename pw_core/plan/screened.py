"""Screening: all candidates at a coarse resolution, the best of them at the scene's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.candidates import Candidate, Job, Outcome
from pw_core.plan.coarse import Coarsening
from pw_core.plan.executors.types import Executor
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """How coarse, and how many pass.

    Raises:
        PlanError (INVALID_BUDGET): a factor that is not coarser, or a share that is none.
    """

    factor: float = 2.0
    """How many times coarser the grid is: at 2 a candidate takes a fifth of the time, and ranks correlate by 0.99 (see
    docs/planning.md); at 2.5 the best of 24 came third."""
    share: float = 0.3
    """Of the candidates, run at full resolution: the elites of a generation, a fifth, and some that screening put too
    low."""

    fewest_particles: int = 2000
    """Of deformables, from which on it is the default: below, a coarse scene has too few to have a shape."""

    def __post_init__(self) -> None:
        if not self.factor > 1 or not 0 < self.share <= 1:
            raise PlanError(f"screening needs a factor above 1 and a share of 0 to 1, got {self.factor:g} and "
                            f"{self.share:g}", code=ErrorCode.INVALID_BUDGET)  # fmt: skip


def screening_for(scene: Scene, *, options: ScreenOptions | None = None) -> ScreenOptions | None:
    """The options where screening pays by itself; None where it does not."""
    options = options or ScreenOptions()
    count = sum(e.particles.stop - e.particles.start for e in scene.entities if e.kind == "deformable")
    pays = scene.config.simulation.engine == "fast" and count >= options.fewest_particles
    return options if pays else None


class Screened:
    """An executor over two: what does not pass the coarse one is given up (`Score.pruned`), ranked behind all that do.

    Args:
        fine: for the scene as it is.
        coarse: makes one for a coarser scene; called with the first candidates of a scene.
    """

    def __init__(self, fine: Executor, coarse: Callable[[Scene], Executor], *, options: ScreenOptions) -> None:
        self._fine, self._make, self._options = fine, coarse, options
        self._coarse: tuple[Scene, Coarsening, Executor] | None = None

    def run(
        self, job: Job, candidates: Sequence[Candidate], *, bound: Callable[[], float] | None = None,
        worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """See Executor: those that pass come first."""
        coarsening, coarse = self._at(job.scene)
        rough = Job(coarsening.scene, coarsening.state(job.start), job.objective, job.times)
        scores = [o.score for o in coarse.run(rough, candidates, worth=lambda: -math.inf, stopped=stopped)]
        ranked = sorted(scores, key=lambda s: s.order)
        count = max(1, math.ceil(self._options.share * len(ranked)))
        passed = [s.index for s in ranked[:count]]
        worst = 0.0
        chosen = [candidates[i] for i in passed]
        for outcome in self._fine.run(job, chosen, bound=bound, worth=worth, stopped=stopped):
            if math.isfinite(outcome.score.cost):
                worst = max(worst, outcome.score.cost)
            yield outcome.numbered(passed[outcome.score.index])
        for score in ranked[count:]:
            # Behind those that passed, in the order that the coarse ones have: all that a search by ranks asks for.
            yield Outcome(replace(score, cost=max(score.cost, worst), pruned=True))

    def close(self) -> None:
        """See Executor."""
        self._fine.close()
        if self._coarse is not None:
            self._coarse[2].close()
            self._coarse = None

    def _at(self, scene: Scene) -> tuple[Coarsening, Executor]:
        if self._coarse is None or self._coarse[0] is not scene:
            coarsening = Coarsening(scene, factor=self._options.factor)
            self._coarse = (scene, coarsening, self._make(coarsening.scene))
        return self._coarse[1], self._coarse[2]
