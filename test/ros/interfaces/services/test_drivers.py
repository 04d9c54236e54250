"""24: what camera drivers and older ROS code send, over DDS: the scene of the plain picture, or the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from pw_core.errors import ErrorCode, PWError
from pw_msgs.msg import PhysicalAction
from pw_ros.convert.images import bytes_to_array, numpy_to_image
from support.ball_photo import RADIUS, ball_config, ball_photo, camera

VOLUME = 4 / 3 * np.pi * RADIUS**3


def yuyv(rgb: np.ndarray) -> Image:
    """As a webcam's driver sends it."""
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)
    pairs = np.zeros((*rgb.shape[:2], 2), np.uint8)
    pairs[..., 0] = yuv[..., 0]
    pairs[:, ::2, 1], pairs[:, 1::2, 1] = yuv[:, ::2, 1], yuv[:, ::2, 2]
    out = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="yuv422_yuy2", step=2 * rgb.shape[1])
    out.data = bytes_to_array(pairs)
    return out


def padded(rgb: np.ndarray) -> CompressedImage:
    """MJPEG in a buffer of a fixed size."""
    out = CompressedImage(format="jpeg")
    data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    out.data = bytes_to_array(np.frombuffer(data + b"\0" * 2048, np.uint8))
    return out


def lens(*d: float) -> CameraInfo:
    """plumb_bob with as many coefficients as given."""
    cam = camera()
    f = float(cam.K[0, 0])
    return CameraInfo(
        width=cam.width, height=cam.height, distortion_model="plumb_bob", d=list(d),
        k=[f, 0.0, cam.width / 2 - 0.5, 0.0, f, cam.height / 2 - 0.5, 0.0, 0.0, 1.0],
    )  # fmt: skip


@pytest.mark.slow
def test_pictures_lenses_and_frames_as_they_come(start_node: Any, tmp_path: Path) -> None:
    from pw_ros.client import WorldClient

    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "ball.yaml").write_text(yaml.safe_dump(ball_config().model_dump(mode="json")))
    node = start_node(namespace="drivers", store=str(tmp_path / "store"), config_dirs=[str(tmp_path / "configs")])
    rgb = ball_photo()
    sent: dict[str, dict[str, Any]] = {
        "plain": {"images": [numpy_to_image(rgb)]},
        "yuyv": {"images": [yuyv(rgb)]},
        "padded": {"compressed_images": [padded(rgb)]},
        "eight": {"images": [numpy_to_image(rgb)], "camera_infos": [lens(-0.01, 0.01, 0, 0, -0.002, 0, 0, 0)]},
    }
    with WorldClient("drivers/perpetual_wonder") as client:
        client.wait_until_ready(120)
        for name, fields in sent.items():
            done = client.call("Reconstruct", timeout=200, scene="ball", scene_id=name, **fields)
            assert done.route == "photo" and done.psnr > 22, name
            assert done.entities[0].mass / 1000 == pytest.approx(VOLUME, rel=0.15), name
        act = PhysicalAction(type="push", duration=0.04, radius=0.06, magnitude=2.0)
        act.center.x, act.center.z, act.direction.z = 0.6, 0.05, -1.0
        world = node.frames.frame_id
        for frame in (world, f"/{world}", ""):
            act.header.frame_id = frame
            client.rollout([act], 0.04)
            assert client.result(200).state_id
        act.header.frame_id = "/nowhere"
        client.rollout([act], 0.04)
        with pytest.raises(PWError) as caught:
            client.result(60)
        assert caught.value.code == ErrorCode.INVALID_FRAME
