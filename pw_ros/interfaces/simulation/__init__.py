"""ROS's simulation_interfaces, served where that package is installed."""

from __future__ import annotations

from importlib import import_module

from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.services.answering import Readers


def serve(node: NodeContext, readers: Readers) -> object | None:
    """All its services and its action, under the parameter's prefix; None, said once, where there is no package."""
    prefix = str(node.get_parameter("simulation_interfaces").value)
    if not prefix:
        return None
    try:
        import_module("simulation_interfaces.srv")
    except ImportError:
        node.get_logger().info("simulation_interfaces is not installed: its services are left out")
        return None
    from pw_ros.interfaces.simulation.entities import EntityServices
    from pw_ros.interfaces.simulation.features import FeatureServices
    from pw_ros.interfaces.simulation.running import RunningServices
    from pw_ros.interfaces.simulation.steps import StepServices, StepsServer
    from pw_ros.interfaces.simulation.worlds import WorldServices

    running = RunningServices(node, prefix)
    return (
        running, EntityServices(node, prefix), WorldServices(node, prefix, readers, running),
        StepServices(node, prefix, running), StepsServer(node, prefix, running), FeatureServices(node, prefix),
    )  # fmt: skip
