"""Candidates over a real Ray cluster of two nodes: the same bits as alone, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, PlanError
from pw_core.plan.candidates import Candidate, Job, Outcome
from pw_core.plan.executors.building import in_process
from pw_core.plan.executors.ray import Ray, RayOptions
from support.sliding import on_ray

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

AIM = {"type": "reach", "entity": "ball", "position": [0.7, 0.0, 0.05], "axes": [True, True, False]}
PUSH = {"type": "push", "duration": 0.05, "center": [0.6, 0, 0.05], "direction": [1, 0, 0], "radius": 0.1}


def pushes(*magnitudes: float) -> list[Candidate]:
    return [Candidate((parse_action({**PUSH, "magnitude": m}),)) for m in magnitudes]


def ended(outcomes: Iterator[Outcome]) -> dict[int, tuple[float, bytes]]:
    return {o.score.index: (o.score.cost, o.frames[-1].physics.particles.positions.tobytes()) for o in outcomes}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:  # raylets hand their environment to the actors
        patch.setenv("PW_TEST_MORTAL", str(tmp_path_factory.mktemp("mortal") / "died"))
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.second = made.add_node(num_cpus=1)
        ray.init(address=made.address, log_to_driver=False, configure_logging=False)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def on_two(cluster) -> Iterator[Ray]:
    executor = Ray(make=on_ray, options=RayOptions(late_least_s=1.0, tries=2))
    yield executor
    executor.close()


@pytest.fixture
def fast(scene, job) -> Job:
    """A job on the real engine."""
    settings = scene.config.simulation.model_copy(update={"engine": "fast"})
    return replace(job(AIM), scene=replace(scene, config=scene.config.model_copy(update={"simulation": settings})))


def killed(executor: Any, job: Job, batch: list[Candidate], kill) -> dict[int, tuple[float, bytes]]:
    """What comes in while something is killed after the second candidate."""
    out = {}
    for outcome in executor.run(job, batch):
        out |= ended(iter([outcome]))
        if len(out) == 2:
            kill()
    return out


def test_a_cluster_that_is_not_there_says_so(job) -> None:
    """First: the tests below connect."""
    for executor, why in ((Ray(), "call ray.init"), (Ray(address="127.0.0.1:1"), "cannot be reached")):
        with pytest.raises(PlanError, match=why) as caught:
            list(executor.run(job(AIM), pushes(1)))
        assert caught.value.code == ErrorCode.EXECUTOR_FAILED


def test_another_server_at_its_port_is_no_cluster_and_waiting_for_it_can_be_called_off(job) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(PlanError, match="did not answer as a Ray head within 2 s") as caught:
            list(Ray(address=address, options=RayOptions(answer_s=2.0)).run(job(AIM), pushes(1)))
        assert caught.value.code == ErrorCode.EXECUTOR_FAILED

        def stopped() -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            list(Ray(address=address).run(job(AIM), pushes(1), stopped=stopped))
    assert not ray.is_initialized()


def test_the_real_engine_gives_the_same_bits_on_the_cluster_as_here(cluster, fast) -> None:
    batch = pushes(1, 4, 6, 8)
    executor = Ray()
    try:
        assert ended(executor.run(fast, batch)) == ended(in_process(fast.scene).run(fast, batch))
    finally:
        executor.close()


def test_nothing_is_lost_when_an_actor_and_then_a_node_is_killed(cluster, on_two, serial, job) -> None:
    aim, batch = job(AIM), pushes(1, 2, 3, 4, 5, 6, 7, 8)
    alone = ended(serial.run(aim, batch))
    assert ended(on_two.run(aim, batch)) == alone
    pids = ray.get([a.handle.pid.remote() for a in on_two._actors])
    assert len(pids) == 2
    assert killed(on_two, aim, batch, lambda: os.kill(pids[0], signal.SIGKILL)) == alone
    assert killed(on_two, aim, batch, lambda: cluster.remove_node(cluster.second, allow_graceful=False)) == alone


def test_a_batch_that_ends_its_actor_each_time_says_so_and_the_next_one_is_run(on_two, job) -> None:
    assert len(list(on_two.run(job(AIM), pushes(10, 67, 20)))) == 3
    with pytest.raises(PlanError, match=r"candidate 1 ended its actor 2 times.* memory") as caught:
        list(on_two.run(job(AIM), pushes(10, 66)))
    assert caught.value.code == ErrorCode.EXECUTOR_FAILED
    outcomes = on_two.run(job(AIM), pushes(2, 4, 6, 8))
    next(outcomes)
    outcomes.close()  # called off
    assert [o.score.index for o in on_two.run(job(AIM), pushes(10))] == [0]


def test_a_cluster_without_room_says_what_an_actor_needs(cluster, job) -> None:
    executor = Ray(make=on_ray, options=RayOptions(num_cpus=64, start_s=0.5))
    with pytest.raises(PlanError, match="needs 64 CPUs") as caught:
        list(executor.run(job(AIM), pushes(10)))
    assert caught.value.code == ErrorCode.EXECUTOR_FAILED
    executor.close()
