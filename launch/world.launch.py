"""Start world_node, and RViz beside it if asked: `ros2 launch pw_ros world.launch.py scene:=jam rviz:=true`."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    config = Path(get_package_share_directory("pw_ros")) / "config"
    arguments = {
        "scene": ("", "scene of the store that is opened at the start; empty: none"),
        "device": ("cpu", "where physics and rendering run: cpu or cuda"),
        "params_file": (str(config / "world_node.yaml"), "YAML file with the node's parameters"),
        "namespace": ("", "namespace of the node"),
        "use_sim_time": ("false", "take the time from /clock"),
        "rviz": ("false", "start RViz with the package's view; it expects the node in the root namespace"),
        "log_level": ("info", "debug, info, warn, error or fatal"),
    }
    value = {name: LaunchConfiguration(name) for name in arguments}
    return LaunchDescription(
        [DeclareLaunchArgument(n, default_value=d, description=text) for n, (d, text) in arguments.items()]
        + [
            Node(
                package="pw_ros",
                executable="world_node",
                name="perpetual_wonder",
                namespace=value["namespace"],
                output="screen",
                parameters=[
                    value["params_file"],
                    {
                        # As strings: a scene called 2024 would else become a number.
                        "scene": ParameterValue(value["scene"], value_type=str),
                        "device": ParameterValue(value["device"], value_type=str),
                        "use_sim_time": ParameterValue(value["use_sim_time"], value_type=bool),
                    },
                ],
                arguments=["--ros-args", "--log-level", value["log_level"]],
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(config / "world.rviz")],
                parameters=[{"use_sim_time": ParameterValue(value["use_sim_time"], value_type=bool)}],
                condition=IfCondition(value["rviz"]),
            ),
        ]
    )
