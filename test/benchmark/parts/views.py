"""View topics at 1280 x 704, received by another process: frames a second, and what conversion takes of it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from parts.node import SCENE, running_node, until
from parts.records import ROOT, record

WIDTH, HEIGHT = 1280, 704
BASE = "/perpetual_wonder"
RECEIVER = """
import json, sys, time
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
rclpy.init()
node = rclpy.create_node("receiver")
got = []
def take(message):
    got.append((time.monotonic(), message.header.stamp.sec + message.header.stamp.nanosec * 1e-9, len(message.data)))
kind = CompressedImage if sys.argv[1].endswith("compressed") else Image
node.create_subscription(kind, sys.argv[1], take, QoSProfile(depth=1))
end = float("inf")
while time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.5)
    if got and end == float("inf"):
        print("receiving", flush=True)
        end = time.monotonic() + float(sys.argv[2])
print(json.dumps(got), flush=True)
"""


class Receiver:
    """Another process that subscribes to a topic, until `seconds` after its first picture, which is waited for."""

    def __init__(self, topic: str, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RECEIVER, topic, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None and self.process.stdout.readline() == "receiving\n"

    def frames(self, since: float = 0.0) -> tuple[float, int]:
        """Different pictures (by their stamps) a second and bytes of the last, of what came after `since`
        (time.monotonic, one clock for all processes)."""
        out, _ = self.process.communicate(timeout=120)
        got = [g for g in json.loads(out.splitlines()[-1]) if g[0] > since]
        new = [g for before, g in itertools.pairwise(got) if g[1] != before[1]]
        return (len(new) - 1) / (new[-1][0] - new[0][0]), got[-1][2]


def median_ms(work: Any, repeats: int = 30) -> float:
    """Median [ms] of a call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def views() -> None:
    """The head, a running rollout and a played trajectory."""
    import yaml

    from pw_core.actions import parse_action
    from pw_ros.convert.images import numpy_to_compressed, numpy_to_image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = ROOT / "config" / "scenes" / f"{SCENE}.yaml"
        fields = yaml.safe_load(source.read_text())
        fields["photo"] = str((source.parent / fields["photo"]).resolve())
        fields["reconstruct"] = {**fields.get("reconstruct", {}), "width_px": WIDTH}
        (folder / "configs").mkdir()
        (folder / "configs" / f"{SCENE}.yaml").write_text(yaml.safe_dump(fields))
        with running_node(folder, f"config_dirs:=['{folder / 'configs'}']", "view_rate:=30.0") as (world, _):
            world.reconstruct(SCENE)
            picture = world.render()
            assert picture.shape == (HEIGHT, WIDTH, 3), picture.shape
            draw = median_ms(world.render, 10)
            raw, jpeg = median_ms(lambda: numpy_to_image(picture)), median_ms(lambda: numpy_to_compressed(picture))
            record("render_view 1280x704, raw, over DDS", draw, "ms", "reported", None)
            record("conversion to a raw image", raw, "ms", "reported", None, f"{raw / draw:.1%} of a drawn picture")
            record("conversion to jpeg", jpeg, "ms", "reported", None)
            fps, _ = Receiver(f"{BASE}/view/photo/image_raw", 5.0).frames()
            note = f"view_rate 30; conversion takes {raw * fps / 1e3:.1%} of the time"
            record("head view 1280x704 raw", fps, "frames/s", ">= 28", fps >= 28, note)
            push = parse_action({
                "type": "push", "duration": 0.3, "center": [0.6, 0, 0.08], "direction": [0, 0, -1], "radius": 0.06,
                "magnitude": 14,
            })  # fmt: skip
            world.rollout([push], 0.02)
            world.result(300)  # kernels
            began = time.monotonic()
            world.rollout([push], 0.5)
            world.result(300)
            plain = time.monotonic() - began
            receiver = Receiver(f"{BASE}/prediction/view/photo/image_raw", plain + 5.0)
            began = time.monotonic()
            world.rollout([push], 0.5)
            trajectory = world.result(300).trajectory_id
            watched = time.monotonic() - began
            fps, _ = receiver.frames(began)
            note = f"as fast as physics makes them: {plain:.1f} s for 26 frames unwatched, {watched:.1f} s watched"
            record("running rollout 1280x704 raw", fps, "frames/s", "reported", None, note)
            for topic, rate in (("image_raw", 1.0), ("image_raw", 0.65), ("image_raw/compressed", 1.0)):
                receiver = Receiver(f"{BASE}/prediction/view/photo/{topic}", 25.0)
                began = time.monotonic()
                world.call("PlayTrajectory", trajectory_id=trajectory, rate=rate, loop=True)
                until(lambda: world.status().stage.startswith("drawing"), 10)
                until(lambda: world.status().stage == "", 60)
                drawn = time.monotonic()
                fps, size = receiver.frames(drawn)
                world.call("PlayTrajectory", stop=True)
                note = (
                    f"{size / 1e6:.1f} MB each, 26 frames at {50 * rate:.3g} a second, drawn and converted before "
                    f"they play in {drawn - began:.1f} s, so that conversion takes nothing of the playback"
                )
                record(f"played back, {topic}, rate {rate:g}", fps, "frames/s", ">= 30", fps >= 30, note)
