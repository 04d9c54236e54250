"""Objectives, templates and candidates as a goal carries them, without a node."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("pw_msgs", reason="needs the built interfaces")
from pw_core.errors import ErrorCode, PWError
from pw_core.plan.candidates import Score
from pw_core.plan.objective import Objective
from pw_core.plan.template import Template
from pw_msgs.action import Plan
from pw_ros.convert import plans

AIM = {"terms": [{"type": "reach", "entity": "ball", "position": [1e-05, 0, 1], "weight": 2}],
       "stop_when": [{"term": "reach", "below": 1e-05}]}  # fmt: skip
PUSH = {"type": "push", "radius": 0.1, "duration": 0.2, "center": [0, 0, 0], "direction": {"azimuth_deg": 0},
        "magnitude": {"free": [1e-05, 1], "log": True}}  # fmt: skip


def test_objectives_and_templates_go_as_text_and_come_back_the_same() -> None:
    parsed = Objective.parse(AIM)
    text = "terms: [{type: reach, entity: ball, position: [1.0e-5, 0, 1], weight: 2}]\n"
    text += "stop_when: [{term: reach, below: 1.0e-5}]"
    for given in (AIM, parsed, text):
        assert plans.text_to_objective(plans.objective_to_text(given)) == parsed
    for given in ([PUSH], Template([PUSH])):
        back = plans.text_to_template(plans.template_to_text(given))
        assert back.free == Template([PUSH]).free and back.actions == [PUSH]


BOMB = "\n".join([f"a{k}: &a{k} [{', '.join([f'*a{k - 1}' if k else '1'] * 9)}]" for k in range(20)])


@pytest.mark.parametrize("text", ["", "{", "terms: [", BOMB, "[" * 5000, "a: &a [*a]"])
def test_text_that_holds_nothing_or_too_much_is_refused(text: str) -> None:
    for read, code in (
        (plans.text_to_objective, ErrorCode.INVALID_OBJECTIVE), (plans.text_to_template, ErrorCode.INVALID_TEMPLATE)
    ):  # fmt: skip
        with pytest.raises(PWError) as caught:
            read(text)
        assert caught.value.code == code and len(str(caught.value)) < 1000


def test_a_template_is_a_list_of_actions() -> None:
    for text in ("type: push", "[push]", "- {type: push, magnitude: 1}"):
        with pytest.raises(PWError) as caught:
            plans.text_to_template(text)
        assert caught.value.code == ErrorCode.INVALID_TEMPLATE


def test_a_goal_bounds_its_search_and_says_where_it_starts() -> None:
    goal = Plan.Goal(max_candidates=30, warm_names=["force"], warm_values=[2.0], seed=7)
    budget, options, warm = plans.goal_to_search(goal)
    assert (budget.candidates, budget.seconds, options.seed, options.sampler) == (30, 0.0, 7, "cem")
    assert options.population == 20 and warm == {"force": 2.0}
    for fields, code in (
        ({"max_candidates": 0}, ErrorCode.INVALID_BUDGET),
        ({"max_seconds": -1.0}, ErrorCode.INVALID_BUDGET),
        ({"max_seconds": math.inf}, ErrorCode.INVALID_BUDGET),
        ({"max_seconds": math.nan}, ErrorCode.INVALID_BUDGET),
        ({"max_seconds": 1.0, "warm_names": ["force"]}, ErrorCode.INVALID_TEMPLATE),
        ({"max_seconds": 1.0, "warm_names": ["force"], "warm_values": [math.nan]}, ErrorCode.INVALID_TEMPLATE),
    ):
        with pytest.raises(PWError) as caught:
            plans.goal_to_search(Plan.Goal(**fields))
        assert caught.value.code == code, fields


def test_a_score_keeps_its_terms_and_why_it_failed() -> None:
    message = plans.score_to_message(Score(3, 2.5, {"reach": 2.0, "effort": 0.5}, 0.4, reached=True))
    assert (message.index, message.cost, list(message.terms), list(message.term_costs)) == (
        3, 2.5, ["reach", "effort"], [2.0, 0.5]
    )  # fmt: skip
    assert message.evaluated and message.reached and not message.error_code
    failed = plans.score_to_message(Score(1, math.inf, error_code=204, error="left"))
    assert (failed.error_code, failed.error_msg, failed.cost) == (204, "left", math.inf)
    unseen = plans.score_to_message(None, index=5)
    assert (unseen.index, unseen.evaluated) == (5, False)
