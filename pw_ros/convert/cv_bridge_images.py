"""cv_bridge, where it works: for the camera encodings that `pw_ros.convert.images` does not read itself."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from pw_core.errors import ImageError
from pw_core.media.raw import ENCODINGS

_CV_BRIDGE_CHECK = """
import numpy as np
from cv_bridge import CvBridge
bridge = CvBridge()
picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
message = bridge.cv2_to_imgmsg(picture, encoding="rgb8")
assert (bridge.imgmsg_to_cv2(message, desired_encoding="bgr8") == picture[..., ::-1]).all()
"""


@functools.cache
def cv_bridge_usable(*, timeout: float = 20.0) -> tuple[bool, str]:
    """Whether cv_bridge imports and converts here, and if not, why. Tried once, in a child process: where it was built
    against another NumPy it does not raise, it takes the process down.

    Args:
        timeout: [s] after which the child counts as hung.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-c", _CV_BRIDGE_CHECK], capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"the check of cv_bridge did not finish: {error}"
    if child.returncode == 0:
        return True, ""
    lines = child.stderr.strip().splitlines()
    return False, lines[-1] if lines else f"the check of cv_bridge ended with code {child.returncode}"


def decode(message: Image) -> NDArray[np.uint8]:
    """A picture in an encoding that only cv_bridge knows (Bayer, YUV 4:2:2 ...), `uint8, shape (H, W, 3)`, RGB.

    Raises:
        ImageError: cv_bridge is not usable here, or does not know the encoding either, or the data are too short.
    """
    needed = int(message.step) * int(message.height)
    if needed == 0 or len(message.data) < needed:
        raise ImageError(
            f"the image's data are too short: {len(message.data)} bytes, but {message.height} rows of step "
            f"{message.step} need {needed}"
        )
    usable, why = cv_bridge_usable()
    if not usable:
        raise ImageError(
            f"image encoding '{message.encoding}' is not known; use one of {', '.join(ENCODINGS)} (cv_bridge, which "
            f"knows more, is not usable here: {why})"
        )
    from cv_bridge import CvBridge

    try:
        pixels = CvBridge().imgmsg_to_cv2(message, desired_encoding="rgb8")
    except Exception as error:  # CvBridgeError, OpenCV's own, KeyError
        raise ImageError(f"cv_bridge cannot read image encoding '{message.encoding}': {error}") from None
    return np.array(pixels, np.uint8)
