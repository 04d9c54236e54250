"""What can be done here, and the services of what cannot, which say so."""

from __future__ import annotations

from typing import Any

from simulation_interfaces.msg import SimulatorFeatures

from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.simulation.answers import SimulationServices, unsupported

FEATURES = (
    "ENTITY_TAGS", "ENTITY_BOUNDS", "ENTITY_BOUNDS_BOX", "ENTITY_CATEGORIES", "ENTITY_STATE_GETTING",
    "ENTITY_STATE_SETTING", "ENTITY_INFO_GETTING", "SIMULATION_RESET", "SIMULATION_RESET_TIME",
    "SIMULATION_RESET_STATE", "SIMULATION_STATE_GETTING", "SIMULATION_STATE_SETTING", "SIMULATION_STATE_PAUSE",
    "STEP_SIMULATION_SINGLE", "STEP_SIMULATION_MULTIPLE", "STEP_SIMULATION_ACTION", "WORLD_LOADING", "WORLD_TAGS",
    "WORLD_UNLOADING", "WORLD_INFO_GETTING", "AVAILABLE_WORLDS",
)  # fmt: skip
"""Of which the installed release may have fewer."""
LEFT_OUT = {
    "SpawnEntity": "things come into a world by pictures: ~/reconstruct",
    "SpawnEntities": "things come into a world by pictures: ~/reconstruct",
    "DeleteEntity": "a world's things stay what they were reconstructed as",
    "SetEntityInfo": "what a thing is, its scene's configuration says",
    "GetSpawnables": "nothing can be spawned",
    "GetNamedPoses": "poses have no names here",
    "GetNamedPoseBounds": "poses have no names here",
}


class FeatureServices(SimulationServices):
    """GetSimulatorFeatures, and what is left out."""

    def __init__(self, node: NodeContext, prefix: str) -> None:
        left_out = {name: _declines(name, why) for name, why in LEFT_OUT.items()}
        super().__init__(node, prefix, {"GetSimulatorFeatures": self.get_simulator_features, **left_out})

    def get_simulator_features(self, request: Any, response: Any) -> None:
        """What can be done."""
        known = [getattr(SimulatorFeatures, name) for name in FEATURES if hasattr(SimulatorFeatures, name)]
        step = float(self.node.get_parameter("simulation_step").value)
        text = f"PerpetualWonder: a step is {step:g} s, it acts on the head and is committed; it moves by steps alone"
        response.features = SimulatorFeatures(features=known, custom_info=text)


def _declines(name: str, why: str) -> Any:
    def decline(request: Any, response: Any) -> None:
        raise unsupported(f"{name}: {why}")

    return decline
