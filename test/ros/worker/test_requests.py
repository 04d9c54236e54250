"""Every request is answered by someone, and with what a pipe can carry. No process."""

from __future__ import annotations

import pickle

import pytest

from pw_ros.worker import requests
from pw_ros.worker.operations import HANDLERS

KINDS = requests.Request.__subclasses__()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.what())
def test_each_request_has_a_handler_a_turn_and_a_name_of_its_own(kind) -> None:
    assert kind in HANDLERS and isinstance(kind.served, requests.Served)
    assert [k.what() for k in KINDS].count(kind.what()) == 1


@pytest.mark.parametrize("empty", [requests.RolledOut, requests.Refined])
def test_a_job_that_left_nothing_can_be_told(empty) -> None:
    assert pickle.loads(pickle.dumps(empty(canceled=True))) == empty(canceled=True)
