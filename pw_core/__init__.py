"""PerpetualWonder in plain Python: photos to scenes, actions to trajectories, views of both. Never imports ROS."""

import os

# Threads of torch's OpenMP spin for milliseconds after each of its parallel operations, on the cores that our own
# kernels' threads want then: on 16 cores a backward pass takes 56 ms instead of 21. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
