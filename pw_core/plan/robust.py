"""Plans that are to hold under what a calibration left open: each candidate under several constants, one score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pw_core.calibrate.constants import ConstantsOptions, stepped, value_of
from pw_core.calibrate.posterior import Posterior, names_in
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.candidates import Candidate, Job, Outcome, Score
from pw_core.plan.executors.serial import Serial
from pw_core.plan.executors.types import Executor
from pw_core.rollout import Frame
from pw_core.scene import Scene


@dataclass(frozen=True, kw_only=True)
class RobustOptions:
    """How constants are drawn and scores are joined.

    Raises:
        PlanError (INVALID_BUDGET): fewer than two draws, or a quantile that is none.
    """

    draws: int = 8
    """Constants a candidate is tried under, the estimate itself among them: the mean of so many is off by a third of a
    standard deviation."""
    quantile: float = 0.0
    """Which quantile of the costs counts, e.g. 0.9 to be safe in nine cases of ten; 0: their mean."""
    seed: int = 0
    """Of the draws: all candidates of all generations meet the same ones, or chance would choose among them."""
    constants: ConstantsOptions = field(default_factory=ConstantsOptions)
    """How much stiffer than configured the simulation was built for: draws are cut there."""
    together: int = 32
    """Candidates whose draws are handed on at once, and waited for before those worth it run again for their frames:
    256 worlds fill a GPU, and a hundred cores idle for a sixth of the time. Where candidates run one after the other
    each is waited for alone."""

    def __post_init__(self) -> None:
        if self.draws < 2 or not 0 <= self.quantile <= 1:
            raise PlanError(f"a robust plan needs two draws or more and a quantile of 0 to 1, got {self.draws} and "
                            f"{self.quantile:g}", code=ErrorCode.INVALID_BUDGET)  # fmt: skip


def draw_constants(
    scene: Scene, parameters: dict[str, float], figures: dict[str, float], options: RobustOptions
) -> list[dict[str, float]]:
    """`options.draws` sets of constants: the estimate, then draws from its posterior in pairs about it.

    Args:
        parameters: what refinements estimated so far, as in `State.parameters`.
        figures: of the state that holds the posterior.

    Raises:
        PlanError (INVALID_BUDGET): nothing was calibrated.
    """
    names = names_in(figures)
    if not names:
        raise PlanError("nothing is known of how sure the constants are: no refinement before this state estimated any "
                        "(refine.estimate)", code=ErrorCode.INVALID_BUDGET)  # fmt: skip
    covariance = Posterior.read(figures, names).covariance
    rng = np.random.default_rng(options.seed)
    half = rng.multivariate_normal(np.zeros(len(names)), covariance, size=options.draws // 2)
    steps = np.concatenate([np.zeros((1, len(names))), np.stack([half, -half], 1).reshape(-1, len(names))])
    out = []
    for row in steps[: options.draws]:
        moved = stepped(scene, parameters, dict(zip(names, row.tolist())), options=options.constants)
        for name in names:
            if name.endswith(("youngs_modulus_pa", "viscosity_pa_s")):
                moved[name] = min(moved[name], options.constants.headroom * value_of(scene, {}, name))
        out.append(moved)
    return out


class Robust:
    """An executor that runs each candidate under all of `constants` on another executor, and joins the scores.

    A candidate's terms are means over the constants; its frames are those under the first. One that fails under any
    constants that count costs infinity.
    """

    def __init__(self, inner: Executor, constants: Sequence[dict[str, float]], *, options: RobustOptions) -> None:
        self._inner, self._constants, self._options = inner, list(constants), options

    def run(
        self, job: Job, candidates: Sequence[Candidate], *, bound: Callable[[], float] | None = None,
        worth: Callable[[], float] | None = None, stopped: Callable[[], None] | None = None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """See Executor. Nothing is pruned: one draw's cost bounds no mean."""
        size = 1 if isinstance(self._inner, Serial) else max(1, self._options.together)
        for first in range(0, len(candidates), size):
            yield from self._chunk(job, candidates[first : first + size], first, worth, stopped)

    def _chunk(
        self, job: Job, candidates: Sequence[Candidate], first: int, worth: Callable[[], float] | None,
        stopped: Callable[[], None] | None,
    ) -> Iterator[Outcome]:  # fmt: skip
        """Those candidates, the first of which is number `first` of all."""
        n = len(self._constants)
        tried = [replace(c, constants=k | c.constants) for c in candidates for k in self._constants]
        scores: dict[int, Score] = {}
        # Which are worth their frames is known only when all draws are in; the same candidate gives the same bits.
        for outcome in self._inner.run(job, tried, worth=lambda: -math.inf, stopped=stopped):
            scores[outcome.score.index] = outcome.score
        joined = [self._joined(first + i, [scores[i * n + k] for k in range(n)]) for i in range(len(candidates))]
        for score in sorted(joined, key=lambda s: s.order):  # the best first, so that few are run again
            frames: tuple[Frame, ...] = ()
            if math.isfinite(score.cost) and (worth is None or score.cost <= worth()):
                again = tried[(score.index - first) * n]
                (outcome,) = self._inner.run(job, [again], stopped=stopped)
                frames = outcome.frames
            yield Outcome(score, frames)

    def close(self) -> None:
        """See Executor."""
        self._inner.close()

    def _joined(self, index: int, scores: list[Score]) -> Score:
        costs = np.array([s.cost for s in scores])
        q = self._options.quantile
        # "higher": between a finite cost and infinity there is nothing.
        cost = float(np.quantile(costs, q, method="higher")) if q else float(costs.mean())
        good = [s for s in scores if not s.error_code]
        terms = {k: float(np.mean([s.terms[k] for s in good])) for k in good[0].terms} if good else {}
        bad = next((s for s in scores if s.error_code), None) if not math.isfinite(cost) else None
        return Score(
            index, cost, terms, scores[0].time_s, all(s.reached for s in scores),
            error_code=bad.error_code if bad else 0, error=bad.error if bad else "",
        )  # fmt: skip
