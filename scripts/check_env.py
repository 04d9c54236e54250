"""Fail now, and say what, rather than in the middle of a demo: import the parts that are known to break one another.

rclpy's message modules are compiled against one NumPy and refuse another major version, so a message with an array
field is filled; two OpenCV packages in one environment overwrite each other's files, so a call is made.
"""

import sys
from importlib import metadata


def main() -> int:
    try:
        import rclpy  # noqa: F401
        from geometry_msgs.msg import PoseWithCovariance
        from rclpy.serialization import deserialize_message, serialize_message

        message = deserialize_message(serialize_message(PoseWithCovariance()), PoseWithCovariance)
        import cv2
        import numpy as np
        import torch

        assert message.covariance.shape == (36,)
        assert cv2.cvtColor(np.zeros((2, 2, 3), np.uint8), cv2.COLOR_RGB2GRAY).shape == (2, 2)
        assert float(torch.ones(2).numpy().sum()) == 2.0
    except Exception as error:
        print(f"    the environment does not work: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    names = {name.lower() for name in metadata.packages_distributions().get("cv2", [])}
    if len(names) > 1:
        print(f"    more than one OpenCV is installed: {sorted(names)}; keep only the headless one", file=sys.stderr)
        return 1
    print(f"    rclpy, torch {torch.__version__}, NumPy {np.__version__}, OpenCV {cv2.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
