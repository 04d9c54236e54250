"""The node's parameters: default, description, range, and whether they can change while it runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from pw_core.limits import LIMITS, Limits

CHOICES = {
    "busy_policy": ("wait", "reject"),
    "image_reliability": ("reliable", "best_effort"),
    "device": ("cpu", "cuda"),
}


LIMITED = (
    "text_chars", "entities", "prompt_points", "actions", "poses", "request_poses", "list_items", "document_bytes",
    "request_bytes",
)  # fmt: skip
"""Fields of `Limits` that have parameters; they may be lowered."""


def limits_of(node: Node) -> Limits:
    """The limits as the parameters have them."""
    return replace(LIMITS, **{name: node.get_parameter(f"limits.{name}").value for name in LIMITED})


def config_folder() -> Path:
    """Where the package's own configuration is: beside the sources, or installed."""
    beside = Path(__file__).resolve().parents[1] / "config"
    if (beside / "scenes").is_dir():
        return beside
    try:
        from ament_index_python.packages import get_package_share_directory

        return Path(get_package_share_directory("pw_ros")) / "config"
    except (ImportError, LookupError):
        return beside


def declare(node: Node) -> None:
    """Declare all of them, and refuse values outside ranges and choices."""
    store = str(Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "perpetual_wonder")
    _add(node, "store", store, "folder of the scenes; made when first written to", read_only=True)
    opened = "scene opened at the start, or made from the configuration of that name; empty: none"
    _add(node, "scene", "", opened, read_only=True)
    _add(node, "device", "cpu", "where physics and rendering run", read_only=True)
    scenes = [str(config_folder() / "scenes")]
    _add(node, "config_dirs", scenes, "folders with scene configurations (*.yaml)", read_only=True)
    _add(node, "input_roots", [""], "folders below which input_uri may name a picture; empty: none", read_only=True)
    exports = "folder that ~/export writes to; empty: .exports in the store"
    _add(node, "export_root", "", exports, read_only=True)
    farm = "Ray cluster that ~/evaluate and ~/plan run on: host:port, ray://host:port or auto; empty: this machine"
    _add(node, "ray_address", "", farm, read_only=True)
    _add(node, "frame_id", "world", "frame in which scenes are known", read_only=True)
    front = "put in front of the TF frames of cameras and things, such as wonder/; empty: their bare names"
    _add(node, "frame_prefix", "", front, read_only=True)
    states = "what-ifs that are kept beside those that the last plan or evaluation names; the oldest leave first"
    _add(node, "max_uncommitted_states", 16, states, (1, 1000))
    kept = "scenes that were replaced and are kept aside, of each id; the oldest go for good"
    _add(node, "keep_replaced", 10, kept, (0, 1000), read_only=True)
    page = "port of a page of this machine that shows what the node holds (docs/studio.md); 0: none"
    _add(node, "studio_port", 0, page, (0, 65535), read_only=True)
    _add(node, "image_reliability", "reliable", "QoS of the view topics", read_only=True)
    _add(node, "view_rate", 5.0, "[Hz] at which the view topics repeat their picture", (0.1, 60.0))
    _add(node, "publish_clock", False, "publish /clock, which follows committed time only", read_only=True)
    _add(node, "busy_policy", "wait", "what becomes of a goal while another one runs: it waits, or ends BUSY")
    _add(node, "render_timeout", 30.0, "[s] after which render_view answers BUSY", (0.1, 600.0))
    _add(node, "jpeg_quality", 90, "of compressed pictures", (1, 100))
    shown = "iterations of ~/refine between its pictures on the prediction topics"
    _add(node, "refine_preview_every", 10, shown, (1, 1000))
    _add(node, "record_memory_mb", 512, "[MB] of pictures that ~/record keeps; then it stops", (1, 65536))
    _add(node, "record_duration", 60.0, "[s] after which ~/record stops by itself", (0.1, 3600.0))
    for limit in LIMITED:
        most = getattr(LIMITS, limit)
        text = "what a request may hold at most; docs/ros.md has the table"
        _add(node, f"limits.{limit}", most, text, (1, most), read_only=True)
    _add(node, "refuse_second", False, "end at the start where another node has this one's name", read_only=True)
    gone = "[s] after which a goal ends whose action has no client left; 0: goals outlive their clients"
    _add(node, "end_orphans_after", 5.0, gone, (0.0, 3600.0))
    prefix = "prefix of the services of ROS's simulation_interfaces, where it is installed; empty: they are left out"
    _add(node, "simulation_interfaces", "~/", prefix, read_only=True)
    _add(node, "simulation_step", 0.02, "[s] of a step of simulation_interfaces", (0.001, 1.0))
    _add(node, "world_factory", "pw_core.world:World", "module:class of the world, for tests", read_only=True)
    _refuse_own_clock(node.get_parameter("publish_clock").value, node.get_parameter("use_sim_time").value)
    publishes = bool(node.get_parameter("publish_clock").value)
    node.add_on_set_parameters_callback(lambda changed: _check(changed, publishes_clock=publishes))


def _add(
    node: Node, name: str, default: Any, text: str, span: tuple[Any, Any] | None = None, *, read_only: bool = False
) -> None:
    descriptor = ParameterDescriptor(description=text, read_only=read_only)
    if name in CHOICES:
        descriptor.additional_constraints = "one of " + ", ".join(CHOICES[name])
    if span is not None and isinstance(default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=span[0], to_value=span[1])]
    elif span is not None:
        descriptor.integer_range = [IntegerRange(from_value=span[0], to_value=span[1], step=1)]
    value = node.declare_parameter(name, default, descriptor).value
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"parameter {name} must be {descriptor.additional_constraints}, not '{value}'")


def _refuse_own_clock(publish_clock: bool, use_sim_time: bool) -> None:
    if publish_clock and use_sim_time:
        raise ValueError("publish_clock and use_sim_time exclude each other: the node would wait for its own clock")


def _check(parameters: list[Parameter], *, publishes_clock: bool) -> SetParametersResult:
    for p in parameters:
        if p.name == "use_sim_time":
            try:
                _refuse_own_clock(publishes_clock, bool(p.value))
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
        if p.name in CHOICES and p.value not in CHOICES[p.name]:
            reason = f"{p.name} must be one of {', '.join(CHOICES[p.name])}, not '{p.value}'"
            return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)
