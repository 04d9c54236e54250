"""The actions ~/evaluate and ~/plan over DDS, with bodies that slide in place of an engine."""

from __future__ import annotations

import math
import time

import cv2
import numpy as np
import pytest
import yaml
from rclpy.parameter import Parameter

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PWError
from pw_msgs.msg import Candidate, WorldStatus
from pw_ros.client import WorldClient
from pw_ros.convert.actions import action_to_message
from support.ball_scene import ball_config
from support.ros_world import head, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
AIM = {"terms": [{"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05], "axes": [True, True, False]}]}
PUSH = {"type": "push", "duration": 0.2, "center": [0.6, 0, 0.05], "direction": [1, 0, 0], "radius": 0.1}
TEMPLATE = [{**PUSH, "magnitude": {"free": [0.5, 8], "name": "force"}}]
SLOW = [{**TEMPLATE[0], "name": "slow"}]


def pushes(*magnitudes: float, name: str = "") -> list:
    return [[parse_action({**PUSH, "name": name, "magnitude": m})] for m in magnitudes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    (folder / "configs").mkdir()
    fields = {**ball_config().model_dump(mode="json", exclude_unset=True), "name": "ball"}
    (folder / "configs" / "ball.yaml").write_text(yaml.safe_dump(fields))
    return folder


@pytest.fixture(scope="module")
def node(folder, start_node):
    (folder / "goals").mkdir()
    return start_node(
        store=str(folder / "store"), config_dirs=[str(folder / "configs")], input_roots=[str(folder / "goals")],
        busy_policy="reject", max_uncommitted_states=2, world_factory="support.fake_world:SlidingWorld",
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(node):
    with WorldClient() as client:
        client.wait_until_ready()
        yield client


@pytest.fixture
def world(client, node):
    """The client, on a fresh scene."""
    until(lambda: not node.gate.running)
    node.set_parameters([Parameter("max_uncommitted_states", value=2)])
    client.reconstruct("ball", replace=True)
    return client


def known(world) -> set[str]:
    return {s.state_id for s in world.states()}


def test_all_are_scored_and_the_best_can_be_committed_however_many_follow(world) -> None:
    world.evaluate(pushes(1, 2, 3, 4, 500), 0.3, objective=AIM, keep=2)
    result = world.result(20)
    costs = [s.cost for s in result.scores]
    assert [s.index for s in result.scores] == list(range(5)) and all(s.evaluated for s in result.scores)
    assert costs[0] > costs[1] > costs[2] and result.evaluated == 5
    assert result.scores[4].error_code == ErrorCode.OUT_OF_BOUNDS and math.isinf(costs[4])  # and the goal goes on
    assert [list(s.terms) for s in result.scores[:2]] == [["reach"]] * 2
    first, second = result.best
    assert first.score.cost == min(costs) <= second.score.cost and head(world) == "root"
    (track,) = first.tracks
    reached = track.poses[-1].position
    assert math.hypot(reached.x - 0.7, reached.y) == pytest.approx(first.score.cost, abs=1e-4)
    assert list(track.times) == sorted(track.times) and track.times[-1] == pytest.approx(0.3)
    for _ in range(4):  # other what-ifs come and go
        world.rollout([], 0.05)
        world.result(20)
    assert {first.state_id, second.state_id} <= known(world)
    world.commit(first.state_id)
    assert head(world) == first.state_id


def test_more_are_kept_as_soon_as_the_parameter_says_so(world, node) -> None:
    world.evaluate(pushes(1, 2, 3, 4), 0.1, objective=AIM, keep=4)
    with pytest.raises(PWError, match=r"max_uncommitted_states \(2\)") as caught:
        world.result(20)
    assert caught.value.code == ErrorCode.INVALID_CANDIDATES
    (answer,) = node.set_parameters([Parameter("max_uncommitted_states", value=4)])
    assert answer.successful and node.worker.options.max_uncommitted_states == 4
    world.evaluate(pushes(1, 2, 3, 4), 0.1, objective=AIM, keep=4)
    named = {k.state_id for k in world.result(20).best}
    assert len(named) == 4 and named <= known(world)
    node.set_parameters([Parameter("max_uncommitted_states", value=1)])
    world.evaluate(pushes(5), 0.1, objective=AIM)
    newest = world.result(20).best[0].state_id
    assert newest in known(world) and len(named & known(world)) == 1
    with pytest.raises(PWError, match="Set max_uncommitted_states higher") as caught:
        world.commit(min(named - known(world)))
    assert caught.value.code == ErrorCode.UNKNOWN_STATE


def test_constants_may_differ_by_candidate(world) -> None:
    (push,) = pushes(3)
    message = [action_to_message(a) for a in push]
    given = [Candidate(actions=message, constants=["floor_friction"], constant_values=[v]) for v in (0.1, 0.3, 0.9)]
    world.evaluate([*given, push], 0.3, objective=AIM)
    costs = [s.cost for s in world.result(20).scores]
    assert costs[0] != costs[1] != costs[2] and costs[3] == costs[1]  # the state's is 0.3


def test_feedback_tells_of_the_best_so_far(world) -> None:
    seen = []
    world.evaluate(pushes(1, 2, 3, name="slow"), 0.3, objective=AIM, frame_interval=0.05)
    while not world.is_done():
        if world.feedback() is not None and world.feedback() not in seen:
            seen.append(world.feedback())
        time.sleep(0.005)
    assert [f.evaluated for f in seen] == [1, 2, 3] and all(f.total == 3 for f in seen)
    assert [f.best_candidate for f in seen] == [0, 1, 2]
    assert all(len(f.best_tracks) == 1 and len(f.best_tracks[0].poses) == 7 for f in seen)
    assert seen[0].eta > 0 and seen[2].eta == 0


def test_a_cancelled_evaluation_gives_the_scores_so_far(world) -> None:
    world.evaluate(pushes(*range(1, 50), name="slow"), 0.2, objective=AIM, frame_interval=0.05, keep=1)
    until(lambda: world.feedback() is not None)
    assert world.cancel()
    result = world.result(20)
    assert result.error_code == ErrorCode.CANCELED and 1 <= result.evaluated < 49 == len(result.scores)
    assert sum(s.evaluated for s in result.scores) == result.evaluated
    assert result.best[0].state_id in known(world) and head(world) == "root"


def test_a_plan_can_be_acted_out_committed_and_planned_on_from(world) -> None:
    world.plan(TEMPLATE, 0.5, objective={**AIM, "stop_when": [{"term": "reach", "below": 0.005}]}, max_candidates=80)
    plan = world.result(30)
    assert plan.best.score.reached and plan.best.score.cost <= 0.005 and plan.ended == "the goal was reached"
    assert list(plan.names) == ["force"] and plan.values[0] == pytest.approx(plan.actions[0].magnitude)
    assert plan.history_cost[-1] == plan.best.score.cost and list(plan.history_cost) == sorted(plan.history_cost)[::-1]
    until(lambda: world.status().status == WorldStatus.IDLE)
    world.rollout(plan.actions, plan.best.score.time)
    acted = world.result(20).tracks[0].poses[-1].position
    assert acted == plan.best.tracks[0].poses[-1].position
    world.commit(plan.best.state_id)
    world.plan(TEMPLATE, 0.3, objective=AIM, max_candidates=6, warm={"force": plan.values[0]}, sampler="random",
               population=3)  # fmt: skip
    assert world.result(20).evaluated == 6 and head(world) == plan.best.state_id


def test_a_cancelled_plan_gives_the_best_so_far_and_the_world_answers_meanwhile(world) -> None:
    world.render("photo", timeout=100)  # kernels that draw may have to be compiled
    world.plan(SLOW, 0.5, objective=AIM, max_seconds=60.0, frame_interval=0.05)
    until(lambda: world.feedback() is not None)
    assert world.status().status == WorldStatus.PLANNING and list(world.feedback().names) == ["force"]
    began = time.monotonic()
    assert world.render("photo").shape == (64, 96, 3) and known(world) == {"root"}
    assert time.monotonic() - began < 5
    assert world.cancel()
    result = world.result(20)
    assert result.error_code == ErrorCode.CANCELED and result.best.state_id in result.error_msg
    assert result.actions and result.evaluated >= 1
    world.commit(result.best.state_id)
    assert head(world) == result.best.state_id


def test_shapes_and_masks_are_read_below_the_input_roots_only(world, folder) -> None:
    goals, outside = folder / "goals", folder / "outside.ply"
    header = (
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    for path in (goals / "there.ply", outside):
        path.write_text(header + "0.7 0 0.05\n0.72 0 0.05\n")
    cv2.imwrite(str(goals / "mask.png"), np.full((32, 48), 255, np.uint8))
    (goals / "link.ply").symlink_to(outside)

    def ask(*terms: dict):
        world.evaluate(pushes(3), 0.1, objective={"terms": [{"entity": "ball", **t} for t in terms]})
        return world.result(20)

    both = ask({"type": "shape", "file": f"file://{goals}/there.ply"},
               {"type": "silhouette", "file": f"{goals}/mask.png"})  # fmt: skip
    assert list(both.scores[0].terms) == ["shape", "silhouette"] and 0 < both.scores[0].cost < 2
    for name, reason in (
        (str(outside), "input_roots"), (f"{goals}/link.ply", "input_roots"), (f"{goals}/../outside.ply", "input_roots"),
        ("/etc/passwd", "input_roots"), (f"{goals}/none.ply", "does not exist"), (f"{goals}/mask.png", "mask.png"),
    ):  # fmt: skip
        with pytest.raises(PWError, match=reason) as caught:
            ask({"type": "shape", "file": name})
        assert caught.value.code == ErrorCode.INVALID_OBJECTIVE and "pw_inputs" not in str(caught.value)


def test_bad_goals_are_told_and_change_nothing(world) -> None:
    before = known(world)
    one = pushes(1)
    odd = [Candidate(constants=["mood"], constant_values=[1.0])]
    nan = [action_to_message(one[0][0])]
    nan[0].magnitude = math.nan
    upside_down = [{**PUSH, "magnitude": {"free": [8, 0.5]}}]
    nowhere = {"terms": [{"type": "reach", "entity": "bowl", "position": [0, 0, 0]}]}
    empty = {"terms": [{"type": "shape", "entity": "ball", "points": []}]}
    for start, code, word in (
        (lambda: world.evaluate([], 0.1, objective=AIM), ErrorCode.INVALID_CANDIDATES, "0 candidates"),
        (lambda: world.evaluate([[]] * 10_001, 0.1, objective=AIM), ErrorCode.INVALID_CANDIDATES, "10001"),
        (lambda: world.evaluate(odd, 0.1, objective=AIM), ErrorCode.INVALID_CANDIDATES, "mood"),
        (lambda: world.evaluate([[], nan], 0.1, objective=AIM), ErrorCode.INVALID_ACTION, "candidate 1"),
        (lambda: world.evaluate(one, 0.1, objective=AIM, robust_draws=1), ErrorCode.INVALID_BUDGET, "two draws"),
        (lambda: world.evaluate(one, 0.1, objective=AIM, robust_draws=4), ErrorCode.INVALID_BUDGET, "refine.estimate"),
        (lambda: world.evaluate(one, 0.0, objective=AIM), ErrorCode.INVALID_DURATION, "duration"),
        (lambda: world.evaluate(one, 0.1, objective=AIM, from_state="s-no"), ErrorCode.UNKNOWN_STATE, "s-no"),
        (lambda: world.evaluate(one, 0.1, objective=nowhere), ErrorCode.UNKNOWN_ENTITY, "bowl"),
        (lambda: world.evaluate(one, 0.1, objective=empty), ErrorCode.INVALID_OBJECTIVE, "no points"),
        (lambda: world.evaluate(one, 0.1, objective="terms: ["), ErrorCode.INVALID_OBJECTIVE, "YAML"),
        (lambda: world.plan(upside_down, 0.1, objective=AIM, max_candidates=9), ErrorCode.INVALID_TEMPLATE, "low"),
        (lambda: world.plan(TEMPLATE, 0.1, objective=AIM), ErrorCode.INVALID_BUDGET, "budget"),
        (
            lambda: world.plan(TEMPLATE, 0.1, objective=AIM, max_candidates=9, sampler="luck"),
            ErrorCode.INVALID_BUDGET,
            "luck",
        ),
        (
            lambda: world.plan([{**PUSH, "magnitude": {"free": [500, 600]}}], 0.3, objective=AIM, max_candidates=4),
            ErrorCode.PLAN_UNKNOWN,
            "left the domain",
        ),
    ):
        start()
        with pytest.raises(PWError, match=word) as caught:
            world.result(30)
        assert caught.value.code == code, caught.value
    assert known(world) == before and head(world) == "root"


def test_one_goal_at_a_time(world) -> None:
    world.plan(SLOW, 0.5, objective=AIM, max_seconds=60.0)
    until(lambda: world.feedback() is not None)
    first = (world._goal, world._result)
    for again in (lambda: world.rollout([], 0.1), lambda: world.evaluate(pushes(1), 0.1, objective=AIM)):
        again()
        with pytest.raises(PWError, match="plan") as caught:
            world.result(10)
        assert caught.value.code == ErrorCode.BUSY
    world._goal, world._result = first
    assert world.cancel() and world.result(10).error_code == ErrorCode.CANCELED
