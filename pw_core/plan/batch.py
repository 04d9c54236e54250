"""The best of a batch as its outcomes come in, in whatever order."""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field

from pw_core.plan.candidates import Outcome, Score


@dataclass
class Best:
    """Scores of all, outcomes of the best `keep`."""

    keep: int
    scores: dict[int, Score] = field(default_factory=dict)
    kept: list[Outcome] = field(default_factory=list)
    _least: list[float] = field(default_factory=list)
    """The least costs, as many as are kept and at least one, in order: asked for with each candidate of thousands."""

    def add(self, outcome: Outcome) -> None:
        """One more; frames of what is no longer among the best are let go."""
        score = outcome.score
        self.scores[score.index] = score
        if not score.pruned:
            insort(self._least, score.cost)
            del self._least[max(self.keep, 1) :]
        if self.keep and not score.pruned and math.isfinite(score.cost):
            self.kept = sorted([*self.kept, outcome], key=lambda o: o.score.order)[: self.keep]

    def bound(self) -> float:
        """The cost above which a candidate can no longer be among the best `keep` (at least 1)."""
        return self._least[-1] if len(self._least) >= max(self.keep, 1) else math.inf

    @property
    def cost(self) -> float:
        """The least so far; inf where there is none."""
        return self._least[0] if self._least else math.inf
