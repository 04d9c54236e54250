"""config/world.rviz shows what the node publishes: every topic's name, type and QoS, against a node that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pw_ros.worker.requests import ReconstructRequest

DISPLAYS = yaml.safe_load((Path(__file__).parents[4] / "config/world.rviz").read_text())["Visualization Manager"]
TYPES = {
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/Pose": "geometry_msgs/msg/PoseStamped",
    "rviz_default_plugins/Path": "nav_msgs/msg/Path",
}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_display_matches_a_publisher(tmp_path: Path, start_node) -> None:
    from rclpy.qos import (
        DurabilityPolicy,
        LivelinessPolicy,
        QoSCompatibility,
        QoSProfile,
        ReliabilityPolicy,
        qos_check_compatible,
    )

    from support.ball_scene import ball_config

    node = start_node(store=str(tmp_path), world_factory="support.fake_world:FakeWorld")
    assert node.worker.wait_ready(60)
    node.worker.call(ReconstructRequest(config=ball_config()), timeout=60)  # its camera is "photo", as the scenes'
    shown = [d for d in DISPLAYS["Displays"] if "Topic" in d]
    assert len(shown) >= 6
    assert DISPLAYS["Global Options"]["Fixed Frame"] == node.frames.frame_id
    for display in shown:
        topic = display["Topic"]
        name = topic["Value"].replace("/play_doh/", "/ball/")  # an entity of an example scene
        publishers = node.get_publishers_info_by_topic(name)
        assert len(publishers) == 1, f"{display['Name']}: nobody publishes {name}"
        assert publishers[0].topic_type == TYPES[display["Class"]], display["Name"]
        wanted = QoSProfile(
            depth=topic["Depth"],
            reliability=ReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")],
            durability=DurabilityPolicy[topic["Durability Policy"].upper().replace(" ", "_")],
            liveliness=LivelinessPolicy.AUTOMATIC,
        )
        verdict, why = qos_check_compatible(publishers[0].qos_profile, wanted)
        assert verdict == QoSCompatibility.OK, f"{display['Name']}: {why}"
        # What is latched must be shown as such, or a late RViz shows nothing until the next change.
        assert publishers[0].qos_profile.durability == wanted.durability, display["Name"]
