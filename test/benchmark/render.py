"""Rendering figures: `make bench BENCH=render` writes out/bench/render.json, one record for each.

    python test/benchmark/render.py [part]...

Without names all parts run (8 minutes on two idle cores, of which `demo` takes 3 when physics kernels are warm, and 10
when not) but those that others hold: `scaling` is in `speed`; `agreement`, `overhead` and `batches` are in `gpu`.
Figures that need CUDA or ROS are recorded as skipped where there is none.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
from collections.abc import Callable
from functools import partial

import torch
from parts import render_gpu, render_speed
from parts.records import record, write
from parts.render_flow import flow
from parts.render_frames import dumpling, frames_over_background, refinement
from parts.render_roofline import roofline


def through_ros(part: str) -> None:
    """A part that needs the node: view topics as another process receives them, or the demo."""
    if importlib.util.find_spec("rclpy") is None:
        record(f"{part} at 1280x704", None, "", "reported", None, "no ROS here")
        return
    from parts.render_demo import demo
    from parts.views import views

    {"view_topics": views, "demo": demo}[part]()


PARTS: dict[str, Callable[[], None]] = {
    "speed": render_speed.speed, "first_call": render_speed.first_call, "roofline": roofline,
    "frames_over_background": frames_over_background, "dumpling": dumpling, "flow": flow,
    "refinement_step": refinement, "gpu": render_gpu.gpu,
    "view_topics": partial(through_ros, "view_topics"), "demo": partial(through_ros, "demo"),
}  # fmt: skip
ON_REQUEST: dict[str, Callable[[], None]] = {
    "scaling": render_speed.scaling, "agreement": render_gpu.agreement, "overhead": render_gpu.overhead,
    "batches": render_gpu.batches,
}  # fmt: skip


def main() -> None:
    """All parts, or those named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join([*PARTS, *ON_REQUEST]))
    names = parser.parse_args().parts or list(PARTS)
    known = PARTS | ON_REQUEST
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no part {', '.join(unknown)}: name some of {', '.join(known)}, or none for all")
    record("machine: cores", os.cpu_count(), "", "reported", None,
           f"{platform.machine()}, {torch.get_num_threads()} threads; render parts {', '.join(names)}")  # fmt: skip
    for name in names:
        known[name]()
    write("render")


if __name__ == "__main__":
    main()
