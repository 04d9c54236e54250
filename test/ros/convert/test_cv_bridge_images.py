"""cv_bridge: judged in a child process, used for what our own conversion does not know, and never needed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS messages")

from sensor_msgs.msg import Image

from pw_core.errors import ErrorCode
from pw_ros.convert import cv_bridge_images as bridge
from pw_ros.convert import images

# What the real one does, for the check and for one Bayer pattern.
WORKS = """
import numpy as np
class CvBridge:
    def cv2_to_imgmsg(self, picture, encoding):
        return picture
    def imgmsg_to_cv2(self, message, desired_encoding):
        if desired_encoding == "bgr8":
            return message[..., ::-1]
        if message.encoding != "mosaic12":
            raise KeyError(message.encoding)
        assert desired_encoding == "rgb8"
        return np.full((message.height, message.width, 3), message.data[0], np.uint8)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a module cv_bridge of the given text where both processes find it."""

    def put(text: str) -> None:
        (tmp_path / "cv_bridge.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        monkeypatch.syspath_prepend(str(tmp_path))

    bridge.cv_bridge_usable.cache_clear()
    sys.modules.pop("cv_bridge", None)
    yield put
    bridge.cv_bridge_usable.cache_clear()
    sys.modules.pop("cv_bridge", None)


def bayer(encoding: str = "mosaic12") -> Image:
    return Image(height=4, width=6, step=6, encoding=encoding, data=[77] * 24)


def test_a_working_bridge_reads_what_we_do_not(install) -> None:
    install(WORKS)
    picture = images.image_to_numpy(bayer())
    assert picture.shape == (4, 6, 3) and picture.dtype == np.uint8 and (picture == 77).all()
    with pytest.raises(images.ImageError, match="cannot read image encoding 'yuv9'") as caught:
        images.image_to_numpy(bayer("yuv9"))
    assert caught.value.code == ErrorCode.INVALID_IMAGE
    with pytest.raises(images.ImageError, match="too short"):
        images.image_to_numpy(Image(height=4, width=6, step=6, encoding="mosaic12", data=[77] * 23))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import os; os.abort()", "code -6"),  # as apt's does with a NumPy it was not built for
        ("raise ImportError('numpy.core.multiarray failed to import')", "multiarray"),
        (WORKS.replace("[..., ::-1]", ""), "AssertionError"),  # imports, and swaps colours
    ],
)
def test_a_broken_bridge_never_reaches_this_process(install, text: str, says: str) -> None:
    install(text)
    with pytest.raises(images.ImageError, match="not usable here.*" + says):
        images.image_to_numpy(bayer())
    assert "cv_bridge" not in sys.modules
    assert images.image_to_numpy(bayer("mono8")).shape == (4, 6)  # ours needs no bridge
