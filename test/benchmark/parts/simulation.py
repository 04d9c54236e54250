"""simulation_interfaces: each call from a client of that package to a node of its own process, over DDS."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from parts.node import running_node
from parts.records import ROOT, record

sys.path.insert(0, str(ROOT / "test"))

LEFT_OUT = ("SpawnEntity", "SpawnEntities", "DeleteEntity", "SetEntityInfo", "GetSpawnables", "GetNamedPoses",
            "GetNamedPoseBounds")  # fmt: skip


def simulation() -> None:
    """With the stand-in world of the tests, whose steps cost nothing: what is measured is the calls."""
    try:
        import_module("simulation_interfaces.srv")
    except ImportError:
        record("simulation_calls", None, "", "", None, "simulation_interfaces is not installed")
        return
    from pw_core.world import World
    from support.ball_scene import ball_scene

    paths = os.pathsep.join([str(ROOT / "test"), os.environ.get("PYTHONPATH", "")])
    os.environ["PYTHONPATH"] = paths
    with tempfile.TemporaryDirectory() as folder:
        World(Path(folder) / "store").adopt(ball_scene())
        parameters = ("scene:=ball", "world_factory:=support.fake_world:FakeWorld")
        with running_node(Path(folder), *parameters) as (world, _):
            _measure(_Client(world))


class _Client:
    """Asks, and counts who answered well and how long that took."""

    def __init__(self, world: Any) -> None:
        self.world, self.made, self.seconds = world, {}, {}

    def ask(self, name: str, **fields: Any) -> Any:
        from simulation_interfaces import srv

        from pw_ros.naming import snake_case

        kind = getattr(srv, name)
        if name not in self.made:
            self.made[name] = self.world.node.create_client(kind, f"/perpetual_wonder/{snake_case(name)}")
            self.made[name].wait_for_service(30)
        began = time.perf_counter()
        answer = self.world._wait(self.made[name].call_async(kind.Request(**fields)), 30, name)
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)
        return answer


def _measure(client: _Client) -> None:
    from geometry_msgs.msg import Pose
    from simulation_interfaces import msg

    from pw_ros.convert.geometry import xyz_to_point

    ok, well = msg.Result.RESULT_OK, {}
    pose = msg.EntityState(pose=Pose(position=xyz_to_point([0.6, 0.1, 0.06])))
    paused = msg.SimulationState(state=msg.SimulationState.STATE_PAUSED)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("GetEntities", {}), ("GetEntitiesStates", {}), ("GetEntityState", {"entity": "ball"}),
        ("GetEntityInfo", {"entity": "ball"}), ("GetEntityBounds", {"entity": "ball"}),
        ("SetSimulationState", {"state": paused}), ("GetSimulationState", {}), ("StepSimulation", {"steps": 5}),
        ("SetEntityState", {"entity": "ball", "state": pose, "set_pose": True}), ("ResetSimulation", {}),
        ("GetAvailableWorlds", {}), ("GetCurrentWorld", {}), ("UnloadWorld", {}),
        ("LoadWorld", {"world_resource": msg.Resource(uri="ball")}),
    ]  # fmt: skip
    for name, fields in asked:
        well[name] = client.ask(name, **fields).result.result == ok
    well["SimulateSteps"] = _steps(client, paused)
    well["GetSimulatorFeatures"] = len(client.ask("GetSimulatorFeatures").features.features) > 15
    failed = sorted(name for name, good in well.items() if not good)
    record("simulation_calls_that_work", sum(well.values()), "", f"{len(well)}", not failed, ", ".join(failed))
    said = [client.ask(name).result.result == msg.Result.RESULT_FEATURE_UNSUPPORTED for name in LEFT_OUT]
    record("simulation_unsupported_that_say_so", sum(said), "", f"{len(LEFT_OUT)}", all(said))
    worst = 0.0
    for k in range(10):
        client.ask("StepSimulation", steps=1 + k % 3)
        worst = max(worst, _difference(client))
    record("simulation_state_difference", worst, "m", "0", worst == 0, "EntityState against ~/get_trajectory's end")
    for _ in range(50):
        client.ask("GetEntityState", entity="ball")
    reads = np.array(client.seconds["GetEntityState"]) * 1e3
    record("simulation_get_state_p99", float(np.percentile(reads, 99)), "ms", "<= 50", np.percentile(reads, 99) <= 50)


def _difference(client: _Client) -> float:
    """[m] of what EntityState and our own trajectory say of the same instant."""
    end = client.world.call("GetTrajectory").tracks[0].poses[-1].position
    now = client.ask("GetEntityState", entity="ball").state.pose.position
    return max(abs(a - b) for a, b in ((end.x, now.x), (end.y, now.y), (end.z, now.z)))


def _steps(client: _Client, paused: Any) -> bool:
    """Whether the action tells each step."""
    from rclpy.action import ActionClient
    from simulation_interfaces.action import SimulateSteps

    client.ask("SetSimulationState", state=paused)
    world, told = client.world, []
    action = ActionClient(world.node, SimulateSteps, "/perpetual_wonder/simulate_steps")
    action.wait_for_server(30)

    def heard(message: Any) -> None:
        told.append(message.feedback.completed_steps)

    goal = world._wait(action.send_goal_async(SimulateSteps.Goal(steps=8), feedback_callback=heard), 30, "goal")
    result = world._wait(goal.get_result_async(), 30, "result").result
    time.sleep(0.5)
    return bool(result.result.result == 1 and told == list(range(1, 9)))
