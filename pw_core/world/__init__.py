"""World, the one object that knows all parts: scenes, states, rollouts, plans, refinements, pictures."""

from __future__ import annotations

from pw_core.world.scenes import SceneEntry
from pw_core.world.world import World

__all__ = ["SceneEntry", "World"]
