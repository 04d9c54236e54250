"""Whatever is asked for is answered: no crash, no hang, no code that nobody foresaw, nothing outside the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from campaign.requests import Fuzzer
from pw_ros.client import WorldClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EXAMPLES = int(os.environ.get("PW_FUZZ", "8"))
"""Requests of each type; more of them, to look longer: PW_FUZZ=200."""


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory, start_node):
    folder = tmp_path_factory.mktemp("campaign")
    start_node(store=str(folder / "store"), config_dirs=[str(Path(__file__).parents[2] / "config/scenes")],
               world_factory="support.fake_world:FakeWorld")  # fmt: skip
    (folder / "secret").write_text("not to be read")
    with WorldClient() as world:
        world.wait_until_ready()
        world.reconstruct("jam", scene_id="ball")
        world.rollout([], 0.1, commit=True)
        world.result(60)
    made = Fuzzer()
    made.folder = folder
    yield made
    made.close()


def test_every_service_and_action_answers_whatever_it_is_asked(fuzzer) -> None:
    for at, (name, kind) in enumerate(fuzzer.targets()):
        if fuzzer.served(name):
            fuzzer.run(name, kind, examples=EXAMPLES, at=at)
    counts = fuzzer.counts
    assert counts.asked > 10 * EXAMPLES
    assert counts.hung == [] and counts.unknown == [] and counts.long == []
    assert {p.name for p in fuzzer.folder.iterdir()} <= {"store", "secret"}
    with WorldClient() as world:  # and it still works
        world.call("SelectScene", scene_id="ball")
        world.rollout([], 0.1)
        assert world.result(60).error_code == 0
