"""A rollout as the worker runs it: ids, frames and views out as events. No ROS here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from pw_core.gaussians import Camera
from pw_core.scene import PhysicsState
from pw_ros.worker.context import Context
from pw_ros.worker.looking import frame_of
from pw_ros.worker.protocol import Began, Picture, Progressed, Viewed
from pw_ros.worker.requests import RolledOut, RolloutRequest

if TYPE_CHECKING:
    from pw_core.rollout import Rollout

Seen = Sequence[tuple[float, PhysicsState]]
"""Frames of a rollout: time [s] and physics."""


def rollout(context: Context, request: RolloutRequest) -> RolledOut:
    """See RolloutRequest."""
    try:
        return _rollout(context, request)
    finally:
        context.used = frozenset()


def _rollout(context: Context, request: RolloutRequest) -> RolledOut:
    world, desk = context.world, context.desk

    def progress(stage: str, fraction: float) -> None:
        # No cancelling here: the kernels will be wanted by the next goal.
        desk.event(Progressed(stage, fraction))

    with world.lock:
        origin = world.state(request.start).id
        context.used = frozenset([origin])
        running = world.rollout(
            request.actions, request.duration, start=origin, frame_interval=request.frame_interval, progress=progress
        )
    seen: list[tuple[float, PhysicsState]] = []
    try:
        ended = _step(context, running, origin, seen)
    finally:
        desk.stepping, context.live = False, None
        context.pending, context.drop_pending = frozenset(), False
    if ended.canceled:
        return ended
    _look(context, request, origin, seen)
    committed = request.commit and not desk.canceled and context.commit_unless_canceled(ended.state_id)
    return ended._replace(canceled=not committed and desk.canceled, committed=committed)


def _step(context: Context, running: Rollout, origin: str, seen: list[tuple[float, PhysicsState]]) -> RolledOut:
    """To the end or until it is called off; `seen` gets the frames."""
    scene, desk, ids = context.world.scene, context.desk, RolledOut()
    assert scene is not None
    with desk.serving():
        first = next(running)
    desk.stepping = True
    for frame in chain([first], running):
        if desk.canceled:
            _call_off(context, running, known=bool(seen))
            return ids._replace(canceled=True)
        if not seen:
            ids = RolledOut(running.trajectory.id, running.end.id)
            context.pending = frozenset(ids[:2])
            desk.event(Began(ids.trajectory_id, ids.state_id))
        seen.append((frame.time_s, frame.physics))
        context.live = (*seen[-1], origin)
        desk.event(frame_of(scene, frame.time_s, frame.fraction, frame.physics))
        desk.serve()
    return ids


def _call_off(context: Context, running: Rollout, *, known: bool) -> None:
    """Keep what a cancelled rollout has as a what-if, unless nobody knows of it, or wants it any more."""
    with context.world.lock:
        gone = context.drop_pending or not context.used <= {s.id for s in context.world.states()}
        if known and not gone:
            running.close()
        else:
            running.discard()


def _look(context: Context, request: RolloutRequest, origin: str, seen: Seen) -> None:
    """Draw what the cameras see of some instants."""
    cameras: Sequence[Camera] = request.cameras
    if not cameras:
        return
    count = min(request.max_views or len(seen), len(seen))
    for k in np.unique(np.linspace(len(seen) - 1, 0, count).round().astype(int)):
        for camera in cameras:
            view = context.world.render(camera, physics=seen[k][1], state=origin)
            context.desk.event(Viewed(camera, Picture(view.rgb, None, seen[k][0])))
            context.desk.serve()
