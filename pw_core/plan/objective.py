"""An objective: weighted terms, when a candidate has reached it, and the cost of a candidate as it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pw_core.config import Part, validated
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.moment import Measure, Moment, Setting
from pw_core.plan.shapes import Shape, Silhouette
from pw_core.plan.terms import AtRest, Cover, Effort, Reach, StayIn, StayOut, Term, Thickness, Undisturbed
from pw_core.plugins import PluginGroup, load_plugin

BuiltIn = Annotated[
    Reach | Shape | Silhouette | StayIn | StayOut | Cover | Thickness | Undisturbed | AtRest | Effort,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Term] = TypeAdapter(BuiltIn)
TYPES = (
    "reach", "shape", "silhouette", "stay_in", "stay_out", "cover", "thickness", "undisturbed", "at_rest", "effort",
)  # fmt: skip
GROUP = PluginGroup(
    group="pw_core.objectives", what="objective term", key="", built_in={}, protocol=Term, needs="the base class Term",
    error=PlanError, unknown=ErrorCode.INVALID_OBJECTIVE, failed=ErrorCode.INVALID_OBJECTIVE,
)  # fmt: skip
"""Terms of other packages: a subclass of Term under its type's name."""


class Reached(Part):
    """A candidate has reached its goal, and ends, when the term's measure is at or below this."""

    term: str = Field(description="the term's name, or its type")
    below: float = Field(ge=0, description="in the term's unit")


class Objective(Part):
    """What is wanted. A candidate's cost is the sum of weight times measure over its terms.

    stop_when: all of them must hold at one instant; the candidate then ends there, and its costs are those of that
    instant. Empty: a candidate runs its whole duration.
    """

    terms: tuple[Any, ...] = Field(min_length=1)
    stop_when: tuple[Reached, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _terms_by_type(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping) and isinstance(fields.get("terms"), Sequence):
            return {**fields, "terms": tuple(t if isinstance(t, Term) else parse_term(t) for t in fields["terms"])}
        return fields

    @model_validator(mode="after")
    def _names_agree(self) -> Objective:
        labels = [t.label for t in self.terms]
        twice = sorted({name for name in labels if labels.count(name) > 1})
        if twice:
            raise ValueError(f"two terms are called '{twice[0]}': give each a `name` of its own")
        for condition in self.stop_when:
            if condition.term not in labels:
                raise ValueError(f"stop_when: there is no term '{condition.term}'; there are: {', '.join(labels)}")
        return self

    @classmethod
    def parse(cls, fields: Any, *, source: str = "objective") -> Objective:
        """From plain data.

        Raises:
            PlanError (INVALID_OBJECTIVE): the message gives the path of each fault and what is wrong there.
        """
        try:
            return validated(cls, fields, source=source)
        except ValueError as error:
            raise PlanError(str(error), code=ErrorCode.INVALID_OBJECTIVE) from None

    @classmethod
    def load(cls, path: Path | str) -> Objective:
        """From a YAML file; relative `file`s of terms are taken from its folder.

        Raises:
            PlanError (INVALID_OBJECTIVE): missing, not YAML, or a fault in it.
        """
        from pw_core.documents.reading import DocumentError, parse_yaml, read_text

        path = Path(path)
        try:
            fields = parse_yaml(read_text(path))
        except DocumentError as error:
            raise PlanError(f"{path}: {error}", code=ErrorCode.INVALID_OBJECTIVE) from None
        found = cls.parse(fields, source=str(path))
        return found.model_copy(update={"terms": tuple(
            t.model_copy(update={"file": str((path.parent / t.file).resolve())})
            if getattr(t, "file", "") and not Path(t.file).is_absolute() else t for t in found.terms
        )})  # fmt: skip

    def scorer(self, setting: Setting) -> Scorer:
        """What scores one candidate as its instants come.

        Raises:
            PlanError: UNKNOWN_ENTITY, INVALID_OBJECTIVE.
        """
        return Scorer(self, [t.prepare(setting) for t in self.terms])


def parse_term(fields: Any) -> Term:
    """A term from plain fields, e.g. `{"type": "reach", ...}`; other packages' types by their entry point.

    Raises:
        ValueError: what is wrong, by field.
    """
    kind = fields.get("type") if isinstance(fields, Mapping) else None
    if not isinstance(kind, str):
        raise ValueError(f"a term needs a `type`, one of {', '.join(TYPES)}; got {str(fields)[:80]}")
    try:
        if kind not in TYPES and kind in GROUP.names():
            return load_plugin(GROUP, kind, {k: v for k, v in fields.items() if k != "type"})
        return _ADAPTER.validate_python(fields)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}".removeprefix(": ") for e in error.errors()]
        raise ValueError(f"term '{fields.get('name') or kind}': {'; '.join(faults)}") from None


@dataclass
class Scorer:
    """Costs of one candidate, instant by instant: `see` each, then `costs`.

    Measures at the end are taken at each instant only where `stop_when` asks for them.
    """

    objective: Objective
    measures: list[Measure]
    _sums: list[float] = field(init=False)
    _worst: list[float] = field(init=False)
    _count: int = 0
    _last: Moment | None = None

    def __post_init__(self) -> None:
        self._sums, self._worst = [0.0] * len(self.measures), [0.0] * len(self.measures)

    def see(self, moment: Moment) -> bool:
        """Take in the next instant; whether the goal is reached."""
        self._last, self._count = moment, self._count + 1
        wanted = {c.term: c.below for c in self.objective.stop_when}
        reached = bool(wanted)
        for i, (term, measure) in enumerate(zip(self.objective.terms, self.measures)):
            if term.when == "end" and term.label not in wanted:
                continue
            value = measure(moment)
            value = value if math.isfinite(value) else math.inf  # a maximum would pass over what is no number
            self._sums[i] += value
            self._worst[i] = max(self._worst[i], value)
            reached &= term.label not in wanted or value <= wanted[term.label]
        return reached

    def costs(self) -> dict[str, float]:
        """Each term's share of the cost, weighted, after the last instant seen; inf where a measure is not finite."""
        assert self._last is not None
        out = {}
        for i, (term, measure) in enumerate(zip(self.objective.terms, self.measures)):
            if term.when == "end":
                value = measure(self._last)
            else:
                value = self._sums[i] / self._count if term.when == "along" else self._worst[i]
            out[term.label] = term.weight * value if math.isfinite(value) else math.inf
        return out

    def least(self, frames: int) -> float:
        """What the cost of a candidate of so many frames will be at least: measures are never below 0."""
        out = 0.0
        for i, term in enumerate(self.objective.terms):
            if term.when == "along":
                out += term.weight * self._sums[i] / max(frames, self._count)
            elif term.when == "worst":
                out += term.weight * self._worst[i]
        return out
