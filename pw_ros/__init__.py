"""ROS 2 surface of PerpetualWonder: translation only, no numerics."""
