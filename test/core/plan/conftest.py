from __future__ import annotations

import pytest

from pw_core.plan.candidates import Job
from pw_core.plan.executors.serial import Serial
from pw_core.plan.moment import Moment, Setting
from pw_core.plan.objective import Objective
from pw_core.scene import State
from support.sliding import Sliding


@pytest.fixture
def setting(scene) -> Setting:
    return Setting(scene, Moment.of(scene, scene.initial_physics()))


@pytest.fixture
def root(scene) -> State:
    return State("root", "", 0.0, scene.initial_physics())


@pytest.fixture
def sliding(scene) -> Sliding:
    return Sliding(scene)


@pytest.fixture
def serial(sliding) -> Serial:
    return Serial(lambda constants: sliding)


@pytest.fixture
def job(scene, root):
    """Makes a job of 0.5 s with that objective."""

    def make(*terms: dict, stop_when=(), start: State = root) -> Job:
        objective = Objective.parse({"terms": terms, "stop_when": stop_when})
        return Job.of(scene, start, objective, duration=0.5, frame_interval=0.05)

    return make
