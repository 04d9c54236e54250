"""config/security/policy.xml, by which SROS 2 lets a node do what it does and no more: it names what the node really
offers, all of it and nothing else."""

from __future__ import annotations

import re
import time
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pw_ros.client import WorldClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "config" / "security" / "policy.xml"
SOMETIMES = {
    "/perpetual_wonder": {"publish /clock", "publish /tf", "publish /tf_static", "subscribe /clock",
                          "subscribe /diagnostics", "subscribe /tf", "subscribe /tf_static"},
    "/planner": {"subscribe /clock"},
}  # fmt: skip
"""What is there by parameter, with tf2_ros, with use_sim_time, or beside a node of the same name."""
SIMULATION = set() if find_spec("simulation_interfaces") else {
    "execute /perpetual_wonder/simulate_steps",
    *(f"reply /perpetual_wonder/{s}" for s in re.findall(
        "~/([a-z_]+)", POLICY.read_text().partition("simulation_interfaces, where")[2].partition("</services>")[0]
    )),
}  # fmt: skip
"""What is served where simulation_interfaces is installed."""


def allowed(enclave: str) -> set[str]:
    """What the policy lets an enclave do, with whole names."""
    found = set()
    for profile in ElementTree.parse(POLICY).findall(f"enclaves/enclave[@path='{enclave}']/profiles/profile"):
        own = profile.attrib["ns"].rstrip("/") + "/" + profile.attrib["node"]
        for group in profile:
            for how in ("publish", "subscribe", "reply", "request", "execute", "call"):
                if group.get(how) == "ALLOW":
                    found |= {f"{how} {(each.text or '').replace('~', own)}" for each in group}
    return found


def really(node, name: str) -> set[str]:
    """What a node of the graph has: topics, services, actions; those of an action count as one."""
    ways = {
        "publish": node.get_publisher_names_and_types_by_node, "reply": node.get_service_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node, "request": node.get_client_names_and_types_by_node,
    }  # fmt: skip
    found = set()
    for how, ask in ways.items():
        for each, _ in ask(name, "/"):
            action = each.partition("/_action/")[0]
            serves = how == "reply" or (how == "publish" and action != each)
            kind = how if action == each else "execute" if serves else "call"
            found.add(f"{kind} {action}")
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory, start_node):
    folder = tmp_path_factory.mktemp("world")
    start_node(
        store=str(folder), config_dirs=[str(ROOT / "config/scenes")], world_factory="support.fake_world:FakeWorld"
    )
    with WorldClient() as client:
        client.wait_until_ready()
        client.reconstruct("jam", scene_id="ball")
        state = client.states()[0].state_id
        client.rollout([], 0.04)  # cameras' topics are there when there is a picture
        client.result(60)
        client.commit(state)
        until = time.monotonic() + 10
        while not any("/prediction/view/" in each for each in really(client.node, "perpetual_wonder")):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield client


def test_the_policy_allows_the_node_what_it_offers_and_nothing_else(world) -> None:
    told, found = allowed("/perpetual_wonder"), really(world.node, "perpetual_wonder")
    assert {each for each in found if not any(fnmatchcase(each, rule) for rule in told)} == set()
    needless = {rule for rule in told if not any(fnmatchcase(each, rule) for each in found)}
    assert needless <= SOMETIMES["/perpetual_wonder"] | SIMULATION


def test_the_policy_allows_a_planner_what_its_client_does_to_roll_out_and_commit(world) -> None:
    told, found = allowed("/planner"), really(world.node, "world_client")
    assert found - told == {"request /perpetual_wonder/reconstruct"}  # which this test did to have a scene
    kept = {"evaluate", "plan", "get_trajectory", "render_view"}  # asked for by name, when they are needed
    assert {rule for rule in told - found if rule.rpartition("/")[2] not in kept} <= SOMETIMES["/planner"]


def test_a_planner_may_ask_only_for_what_the_node_answers(world) -> None:
    served = {each.partition(" ")[2] for each in allowed("/perpetual_wonder") if each.startswith(("reply", "execute"))}
    asked = {each.partition(" ")[2] for each in allowed("/planner") if each.startswith(("request", "call"))}
    assert asked <= served
