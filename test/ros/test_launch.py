"""The launch file, where launch is installed, and the parameter file, which must name real parameters everywhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def test_the_parameter_file_has_only_declared_names() -> None:
    given = yaml.safe_load((ROOT / "config/world_node.yaml").read_text())["/**"]["ros__parameters"]
    declared = set(re.findall(r'_add\(\s*node,\s*"(\w+)"', (ROOT / "pw_ros/parameters.py").read_text()))
    assert given and set(given) <= declared


def test_rviz_shows_topics_with_matching_durability() -> None:
    displays = yaml.safe_load((ROOT / "config/world.rviz").read_text())["Visualization Manager"]["Displays"]
    latched = {d["Topic"]["Value"]: "Transient" in d["Topic"]["Durability Policy"] for d in displays if "Topic" in d}
    assert latched["/perpetual_wonder/particles"] and latched["/perpetual_wonder/entities"]
    assert not latched["/perpetual_wonder/view/photo/image_raw"]


def test_launch_file_describes_its_arguments() -> None:
    pytest.importorskip("launch_ros")
    from launch.actions import DeclareLaunchArgument

    spec = importlib.util.spec_from_file_location("world_launch", ROOT / "launch/world.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entities = module.generate_launch_description().entities
    arguments = {e.name: e.description for e in entities if isinstance(e, DeclareLaunchArgument)}
    assert arguments.keys() == {"scene", "device", "params_file", "namespace", "use_sim_time", "rviz", "log_level"}
    assert all(arguments.values())
