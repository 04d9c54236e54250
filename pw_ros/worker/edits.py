"""The head changed by hand, whatever runs: done in a thread of their own, under the World's lock. No ROS here."""

from __future__ import annotations

from pw_core.tree import ROOT
from pw_ros.worker.context import Context
from pw_ros.worker.requests import Moved
from pw_ros.worker.scene_requests import RewindRequest, SetEntityRequest, UnselectRequest


def set_entity(context: Context, request: SetEntityRequest) -> Moved:
    """See SetEntityRequest."""
    from pw_core.world.edits import with_entity

    world = context.world
    with world.lock:
        before = world.state()
        assert world.scene is not None
        physics = with_entity(
            world.scene, before.physics, request.entity, position=request.position, orientation=request.orientation,
            linear=request.linear, angular=request.angular,
        )  # fmt: skip
        return Moved(world.edit(physics, commit=True).id, before.id)


def rewind(context: Context, request: RewindRequest) -> Moved:
    """See RewindRequest."""
    world = context.world
    with world.lock:
        before, root = world.state(), world.state(ROOT)
        physics = root.physics if request.physics else before.physics
        return Moved(world.edit(physics, time_s=0.0 if request.time else None, commit=True).id, before.id)


def unselect(context: Context, request: UnselectRequest) -> None:
    """See UnselectRequest."""
    context.world.unselect()
