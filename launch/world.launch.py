"""Start world_node, and RViz beside it if asked: `ros2 launch pw_ros world.launch.py scene:=jam rviz:=true`."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

CONFIG = Path(get_package_share_directory("pw_ros")) / "config"
ARGUMENTS = {
    "scene": ("", "scene opened at the start, or made from the configuration of that name; empty: as in params_file"),
    "device": ("", "where physics and rendering run: cpu or cuda; empty: as in params_file"),
    "params_file": (str(CONFIG / "world_node.yaml"), "YAML file with the node's parameters"),
    "namespace": ("", "namespace of the node"),
    "use_sim_time": ("", "true: take the time from /clock; empty: as in params_file"),
    "rviz": ("false", "start RViz with the package's view; it expects the node in the root namespace"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def start(context: LaunchContext) -> list[Node]:
    """The nodes. An argument that is left empty does not hide what the parameter file says."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    # As they are, not as YAML would read them: a scene called 2024 is not a number.
    given: dict[str, object] = {name: value[name] for name in ("scene", "device") if value[name]}
    sim_time = {}
    if value["use_sim_time"]:
        sim_time["use_sim_time"] = value["use_sim_time"].lower() in ("true", "1")
    return [
        Node(
            package="pw_ros",
            executable="world_node",
            name="perpetual_wonder",
            namespace=value["namespace"],
            output="screen",
            parameters=[value["params_file"], {**given, **sim_time}],
            ros_arguments=["--log-level", value["log_level"]],
        ),
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(CONFIG / "world.rviz")],
            parameters=[sim_time],
            condition=IfCondition(value["rviz"]),
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    declared = [DeclareLaunchArgument(n, default_value=d, description=text) for n, (d, text) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
