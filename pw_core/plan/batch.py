"""The best of a batch as its outcomes come in, in whatever order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pw_core.plan.candidates import Outcome, Score


@dataclass
class Best:
    """Scores of all, outcomes of the best `keep`."""

    keep: int
    scores: dict[int, Score] = field(default_factory=dict)
    kept: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One more; frames of what is no longer among the best are let go."""
        score = outcome.score
        self.scores[score.index] = score
        if self.keep and not score.pruned and math.isfinite(score.cost):
            self.kept = sorted([*self.kept, outcome], key=lambda o: o.score.order)[: self.keep]

    def bound(self) -> float:
        """The cost above which a candidate can no longer be among the best `keep` (at least 1)."""
        done = sorted(s.cost for s in self.scores.values() if not s.pruned)
        k = max(self.keep, 1)
        return done[k - 1] if len(done) >= k else math.inf

    @property
    def cost(self) -> float:
        """The least so far; inf where there is none."""
        return min((s.cost for s in self.scores.values() if not s.pruned), default=math.inf)
