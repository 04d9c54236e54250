"""The files for RViz and Foxglove say only what those programs' sources know, and name topics that the node has.

RViz: class names of rviz_default_plugins/plugins_description.xml and property names and kinds of the displays' sources,
release 14.3.1 (commit f7112b1a). Foxglove: the panels' settings as Lichtblick's source has them (commit 02b24746 of
ThreeDeeRender/IRenderer.ts, 75385f18 of pointExtensionUtils.ts), which goes on from Foxglove Studio's.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = Path(__file__).parents[2] / "config"
NODE = "/perpetual_wonder/"


def number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def color(value: Any) -> bool:
    return re.fullmatch(r"\d{1,3}; \d{1,3}; \d{1,3}", value) is not None


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def text(value: Any) -> bool:
    return isinstance(value, str)


def one_of(*choices: str):
    return lambda value: value in choices


def vector(value: Any) -> bool:
    return set(value) == {"X", "Y", "Z"} and all(map(number, value.values()))


QOS = {
    "Value": text, "Depth": number, "Filter size": number,
    "History Policy": one_of("System Default", "Keep Last", "Keep All"),
    "Reliability Policy": one_of("System Default", "Reliable", "Best Effort"),
    "Durability Policy": one_of("System Default", "Transient Local", "Volatile"),
}  # fmt: skip


def topic(value: Any) -> bool:
    return value.keys() <= QOS.keys() and all(QOS[k](v) for k, v in value.items())


ANY = {"Class": text, "Name": text, "Enabled": flag}
POINTS = {
    "Selectable": flag, "Style": one_of("Points", "Squares", "Flat Squares", "Spheres", "Boxes", "Tiles"),
    "Size (m)": number, "Size (Pixels)": number, "Alpha": number, "Decay Time": number,
    "Position Transformer": one_of("XYZ"), "Color Transformer": one_of("RGB8", "RGBF32", "Intensity", "AxisColor"),
    "Topic": topic,
}  # fmt: skip
RVIZ = {
    "rviz_default_plugins/Grid": {
        "Reference Frame": text, "Plane Cell Count": number, "Normal Cell Count": number, "Cell Size": number,
        "Line Style": one_of("Lines", "Billboards"), "Line Width": number, "Color": color, "Alpha": number,
        "Plane": one_of("XY", "XZ", "YZ"), "Offset": vector,
    },
    "rviz_default_plugins/PointCloud2": POINTS,
    "rviz_default_plugins/MarkerArray": {"Topic": topic, "Namespaces": lambda value: all(map(flag, value.values()))},
    "rviz_default_plugins/Image": {
        "Topic": topic, "Normalize Range": flag, "Min Value": number, "Max Value": number, "Median window": number,
    },
    "rviz_default_plugins/Pose": {
        "Topic": topic, "Shape": one_of("Arrow", "Axes"), "Color": color, "Alpha": number, "Shaft Length": number,
        "Shaft Radius": number, "Head Length": number, "Head Radius": number, "Axes Length": number,
        "Axes Radius": number,
    },
    "rviz_default_plugins/Path": {
        "Topic": topic, "Line Style": one_of("Lines", "Billboards"), "Line Width": number, "Color": color,
        "Alpha": number, "Buffer Length": number, "Offset": vector, "Pose Style": one_of("None", "Axes", "Arrows"),
        "Length": number, "Radius": number, "Pose Color": color, "Shaft Length": number, "Head Length": number,
        "Shaft Diameter": number, "Head Diameter": number,
    },
    "rviz_default_plugins/TF": {
        "Show Names": flag, "Show Axes": flag, "Show Arrows": flag, "Marker Scale": number, "Update Interval": number,
        "Frame Timeout": number,
    },
}  # fmt: skip
OPTIONS = {"Fixed Frame": text, "Background Color": color, "Frame Rate": number}
ORBIT = {
    "Class": one_of("rviz_default_plugins/Orbit"), "Distance": number, "Focal Shape Size": number,
    "Focal Shape Fixed Size": flag, "Yaw": number, "Pitch": number, "Focal Point": vector,
}  # fmt: skip
TOOLS = {"rviz_default_plugins/Interact", "rviz_default_plugins/MoveCamera"}
PANELS = {"rviz_common/Displays", "rviz_common/Views"}


@pytest.fixture(scope="module")
def rviz() -> dict[str, Any]:
    return yaml.safe_load((CONFIG / "world.rviz").read_text())


def unknown(given: dict[str, Any], known: dict[str, Any]) -> list[str]:
    return [f"{k}: {v}" for k, v in given.items() if k not in known or not known[k](v)]


def test_rviz_knows_every_class_property_and_value(rviz) -> None:
    manager = rviz["Visualization Manager"]
    assert set(rviz) == {"Panels", "Visualization Manager"}
    assert set(manager) <= {"Class", "Global Options", "Tools", "Displays", "Views", "Transformation", "Enabled"}
    assert {p["Class"] for p in rviz["Panels"]} <= PANELS and {t["Class"] for t in manager["Tools"]} <= TOOLS
    assert not unknown(manager["Global Options"], OPTIONS) and not unknown(manager["Views"]["Current"], ORBIT)
    for display in manager["Displays"]:
        assert display["Class"] in RVIZ, display["Class"]
        assert not unknown(display, ANY | RVIZ[display["Class"]]), display["Name"]


def served(name: str) -> bool:
    """Whether the node publishes it: with its topics' patterns as docs/ros.md lists them."""
    table = (CONFIG.parent / "docs/ros.md").read_text()
    patterns = re.findall(r"`~/([\w/<>]+)`", table)
    return any(re.fullmatch(re.sub(r"<\w+>", r"[^/]+", p), name) for p in patterns)


def test_rviz_topics_are_the_nodes_with_their_durability(rviz) -> None:
    latched = re.compile("(prediction/)?(particles|entities|entities/[^/]+/(pose|path))")
    for display in rviz["Visualization Manager"]["Displays"]:
        if "Topic" in display:
            name = display["Topic"]["Value"].removeprefix(NODE)
            assert served(name), name
            kind = "Transient Local" if latched.fullmatch(name) else "Volatile"
            assert display["Topic"]["Durability Policy"] == kind, name


CAMERA = {
    "perspective", "distance", "phi", "thetaOffset", "targetOffset", "target", "targetOrientation", "fovy", "near",
    "far",
}  # fmt: skip
CLOUD = {"visible", "colorMode", "colorField", "pointSize", "pointShape", "decayTime", "flatColor", "colorMap"}
GRID = {
    "visible", "label", "instanceId", "layerId", "size", "divisions", "lineWidth", "color", "position", "rotation",
    "order", "frameLocked", "frameId",
}  # fmt: skip
THREE = {"cameraState", "followMode", "followTf", "scene", "transforms", "topics", "layers", "imageMode", "publish"}
FOXGLOVE = {"3D": THREE, "Image": THREE, "RawMessages": {"topicPath", "diffEnabled", "diffMethod", "expansion"}}


def leaves(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    assert node["direction"] in ("row", "column") and 0 < node["splitPercentage"] < 100
    assert set(node) == {"direction", "splitPercentage", "first", "second"}
    return leaves(node["first"]) + leaves(node["second"])


def test_foxglove_knows_every_panel_and_setting() -> None:
    layout = json.loads((CONFIG / "world.foxglove.json").read_text())
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    assert sorted(leaves(layout["layout"])) == sorted(layout["configById"])
    for name, config in layout["configById"].items():
        kind = name.split("!")[0]
        assert set(config) <= FOXGLOVE[kind], name
        named = [config["topicPath"]] if kind == "RawMessages" else list(config["topics"])
        if kind != "RawMessages":
            assert set(config["cameraState"]) == CAMERA and config["followMode"] == "follow-none"
            assert set(config["imageMode"]) <= {"imageTopic", "calibrationTopic"}
            assert all(set(s) <= CLOUD for s in config["topics"].values())
            assert all(set(s) <= GRID and s["layerId"] == "foxglove.Grid" for s in config["layers"].values())
            named += config["imageMode"].values()
        for each in named:
            assert each.startswith(NODE) and served(each.removeprefix(NODE)), each
