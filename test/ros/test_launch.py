"""The launch file, where launch is installed, and the parameter file, which must name real parameters everywhere."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def test_the_parameter_file_has_only_declared_names() -> None:
    given = yaml.safe_load((ROOT / "config/world_node.yaml").read_text())["/**"]["ros__parameters"]
    declared = set(re.findall(r'_add\(\s*node,\s*"(\w+)"', (ROOT / "pw_ros/parameters.py").read_text()))
    assert given and set(given) <= declared


@pytest.fixture
def launch_file():
    pytest.importorskip("launch_ros", reason="needs ROS's launch")
    spec = importlib.util.spec_from_file_location("world_launch", ROOT / "launch/world.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_launch_file_describes_its_arguments(launch_file) -> None:
    from launch.actions import DeclareLaunchArgument

    entities = launch_file.generate_launch_description().entities
    arguments = {e.name: e.description for e in entities if isinstance(e, DeclareLaunchArgument)}
    assert arguments.keys() == {"scene", "device", "params_file", "namespace", "use_sim_time", "rviz", "log_level"}
    assert all(arguments.values())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_launch_starts_the_node_with_what_was_given(launch_file, tmp_path: Path) -> None:
    """An argument reaches the node, one that is left out does not hide the parameter file, and Ctrl-C ends it all."""
    parameters = {
        "store": str(tmp_path / "store"),
        "scene": "from_file",
        "world_factory": "support.fake_world:FakeWorld",
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    environment = {
        **os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID", "20"),
        "PYTHONPATH": f"{ROOT / 'test'}:{os.environ.get('PYTHONPATH', '')}",
    }  # fmt: skip
    code = (
        "import sys, launch; from launch.launch_description_sources import PythonLaunchDescriptionSource as Source;"
        "from launch.actions import IncludeLaunchDescription as Include;"
        "service = launch.LaunchService(noninteractive=True);"
        "arguments = [a.split(':=') for a in sys.argv[2:]];"
        "service.include_launch_description(launch.LaunchDescription("
        "[Include(Source(sys.argv[1]), launch_arguments=arguments)])); sys.exit(service.run())"
    )
    for given, said in (([], "scene 'from_file' could"), (["scene:=2024"], "scene '2024' could")):
        command = [
            sys.executable, "-c", code, str(ROOT / "launch/world.launch.py"), f"params_file:={tmp_path}/params.yaml",
            "namespace:=robot", *given,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        lines = []
        for line in process.stdout:
            lines.append(line)
            if said in line:
                break
        assert "[robot.perpetual_wonder]" in lines[-1], "".join(lines)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert "Traceback" not in rest and "process has finished cleanly" in rest, rest
