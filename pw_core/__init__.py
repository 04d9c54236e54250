"""PerpetualWonder in plain Python: photos to scenes, actions to trajectories, views of both. Never imports ROS."""
