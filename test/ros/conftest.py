"""Nodes to test, whose worlds (support.fake_world) the spawned workers import by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Slow is not wrong: other work on the machine must not fail a property.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("ROS_DOMAIN_ID", str(20 + os.getpid() % 80))
for _name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):  # the latter up to Jazzy
    os.environ.setdefault(_name, str(Path(__file__).resolve().parents[1] / "support" / "fastdds.xml"))


@pytest.fixture(scope="module")
def start_node() -> Iterator[Callable[..., Any]]:
    """`start_node(store=..., world_factory=..., parameter=value ...)`: a node that spins in threads of this process."""
    import rclpy
    from rclpy.executors import MultiThreadedExecutor
    from rclpy.parameter import Parameter

    from pw_ros.node import THREADS, WorldNode
    from pw_ros.spinning import Spinning

    made: list[tuple[Any, ...]] = []

    def start(*, namespace: str = "", **values: Any) -> Any:
        context = rclpy.Context()
        rclpy.init(context=context)
        overrides = [Parameter(k, value=v) for k, v in values.items()]
        try:
            node = WorldNode(context=context, namespace=namespace, parameter_overrides=overrides)
        except BaseException:
            context.try_shutdown()
            raise
        executor = MultiThreadedExecutor(THREADS, context=context)
        executor.add_node(node)
        made.append((node, Spinning(executor), context))
        return node

    yield start
    for node, spinning, context in made:
        node.close()
        spinning.end(5.0)
        node.destroy_node()
        context.try_shutdown()
