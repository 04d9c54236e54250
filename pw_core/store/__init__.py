"""Scenes, states and trajectories on disk: whole or not at all, and nothing is lost that was not thrown away."""

from pw_core.store.check import Fault
from pw_core.store.replaced import ReplacedScene
from pw_core.store.store import Store
from pw_core.store.trajectory_files import write_trajectory

__all__ = ["Fault", "ReplacedScene", "Store", "write_trajectory"]
