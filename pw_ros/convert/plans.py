"""Objectives, templates and candidates out of messages, and how they did as messages: pure functions, no node."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pw_core.documents.reading import DocumentError, parse_json, parse_yaml
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.candidates import Score
from pw_core.plan.objective import Objective
from pw_core.plan.robust import RobustOptions
from pw_core.plan.search import Budget, SearchOptions
from pw_core.plan.template import Template
from pw_msgs.msg import CandidateScore


def text_to_objective(text: str) -> Objective:
    """The objective of a goal. PlanError (INVALID_OBJECTIVE): no YAML or JSON, or a fault in it."""
    return Objective.parse(_plain(text, "objective", ErrorCode.INVALID_OBJECTIVE))


def text_to_template(text: str) -> Template:
    """The template of a goal. PlanError (INVALID_TEMPLATE): no YAML or JSON, or a fault in it."""
    code = ErrorCode.INVALID_TEMPLATE
    fields = _plain(text, "template_yaml", code)
    if not isinstance(fields, list) or not all(isinstance(f, dict) for f in fields):
        raise PlanError(f"template_yaml is a list of actions, got {str(fields)[:80]}", code=code)
    return Template(fields)


def objective_to_text(objective: str | Mapping[str, Any] | Objective) -> str:
    """For a goal: text as it is, anything else as JSON."""
    if isinstance(objective, Objective):
        return json.dumps(objective.model_dump(mode="json"))
    return objective if isinstance(objective, str) else json.dumps(objective)


def template_to_text(template: str | Sequence[Mapping[str, Any]] | Template) -> str:
    """For a goal: text as it is, anything else as JSON."""
    if isinstance(template, str):
        return template
    return json.dumps(template.actions if isinstance(template, Template) else list(template))


def named_numbers(names: Sequence[str], values: Sequence[float], what: str, code: ErrorCode) -> dict[str, float]:
    """Two fields of a message that belong together. PlanError with that code: not as many, or not finite."""
    if len(names) != len(values):
        raise PlanError(f"{what}: {len(names)} names and {len(values)} values, expected as many", code=code)
    out = {str(n): float(v) for n, v in zip(names, values, strict=True)}
    if bad := [n for n, v in out.items() if not math.isfinite(v)]:
        raise PlanError(f"{what}: '{bad[0]}' is {out[bad[0]]}, expected a finite number", code=code)
    return out


def goal_to_search(request: Any) -> tuple[Budget, SearchOptions, dict[str, float]]:
    """Of a plan's goal: how much it may cost, how to search, and near which values.

    Raises:
        PlanError: INVALID_BUDGET; INVALID_TEMPLATE for the values.
    """
    seconds = float(request.max_seconds)
    if math.isinf(seconds):
        raise PlanError(f"max_seconds is {seconds}, expected a finite number", code=ErrorCode.INVALID_BUDGET)
    usual = SearchOptions()
    options = SearchOptions(
        sampler=request.sampler or usual.sampler, population=int(request.population) or usual.population,
        seed=int(request.seed),
    )  # fmt: skip
    warm = named_numbers(request.warm_names, request.warm_values, "warm values", ErrorCode.INVALID_TEMPLATE)
    return Budget(candidates=int(request.max_candidates), seconds=seconds), options, warm


def goal_to_robust(request: Any) -> RobustOptions | None:
    """Of both goals: under how many draws of the constants each candidate is tried. PlanError: INVALID_BUDGET."""
    if not request.robust_draws:
        return None
    return RobustOptions(draws=int(request.robust_draws), quantile=float(request.robust_quantile))


def score_to_message(score: Score | None, *, index: int = 0) -> CandidateScore:
    """How a candidate did; None: it was not run, and `index` is its place."""
    if score is None:
        return CandidateScore(index=index, cost=math.inf)
    return CandidateScore(
        index=score.index, evaluated=True, cost=score.cost, terms=list(score.terms),
        term_costs=[float(v) for v in score.terms.values()], time=score.time_s, reached=score.reached,
        pruned=score.pruned, error_code=score.error_code, error_msg=score.error,
    )  # fmt: skip


def _plain(text: str, what: str, code: ErrorCode) -> Any:
    try:
        try:
            found = parse_json(text)  # first: YAML 1.1 takes 1e-5 for a word
        except DocumentError:
            found = parse_yaml(text)
    except DocumentError as error:
        raise PlanError(f"{what}: {error}", code=code) from None
    if not found:
        raise PlanError(f"{what} is empty", code=code)
    return found
