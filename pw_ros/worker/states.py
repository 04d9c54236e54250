"""States and scenes, whatever runs: done in a thread of their own, under the World's lock. No ROS here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pw_core.errors import ErrorCode, PWError
from pw_ros.worker.context import Context
from pw_ros.worker.requests import (
    CommitRequest,
    DeleteRequest,
    LimitRequest,
    Moved,
    ReplacedRequest,
    ResetRequest,
    RestoreReplacedRequest,
    RestoreRequest,
    SaveRequest,
    ScenesRequest,
    SelectRequest,
)

if TYPE_CHECKING:
    from pw_core.store import ReplacedScene
    from pw_core.world import SceneEntry


def commit(context: Context, request: CommitRequest) -> Moved:
    """See CommitRequest."""
    _not_pending(context, request.state_id)
    world = context.world
    with world.lock:
        before = world.head
        world.commit(world.state(request.state_id).id)
        return Moved(world.head, before)


def restore(context: Context, request: RestoreRequest) -> Moved:
    """See RestoreRequest."""
    _not_pending(context, request.state_id)
    world = context.world
    with world.lock:
        before = world.head
        labelled = [s.id for s in world.states() if s.label and s.label == request.state_id]
        world.restore(labelled[-1] if labelled else request.state_id)
        return Moved(world.head, before)


def reset(context: Context, request: ResetRequest) -> str:
    """See ResetRequest. What the running goal uses, and what kept states came from, is not dropped."""
    world = context.world
    with world.lock:
        root = world.reset().id
        if request.drop_uncommitted:
            context.drop_pending = context.desk.canceled and bool(context.pending)
            kept = {*world.committed, *context.in_use}
            for state in reversed(world.states()):
                if state.id in kept or state.label:
                    kept.add(state.parent)
                else:
                    world.delete(state.id)
        return root


def delete(context: Context, request: DeleteRequest) -> list[str]:
    """See DeleteRequest."""
    _not_pending(context, request.state_id)
    world, code = context.world, ErrorCode.STATE_IN_USE
    with world.lock:
        states, doomed = world.states(), [world.state(request.state_id).id]
        for each in doomed if request.recursive else ():
            doomed += [s.id for s in states if s.parent == each]
        if world.head in doomed:
            text = f"the head '{world.head}' is state '{request.state_id}' or came from it: not deleted"
            raise PWError(text, code=code)
        if used := context.in_use.intersection(doomed):
            raise PWError(f"the running goal uses state '{min(used)}': not deleted", code=code)
        for each in reversed(doomed):
            world.delete(each)
        return doomed[::-1]


def save(context: Context, request: SaveRequest) -> str:
    """See SaveRequest."""
    _not_pending(context, request.state_id)
    return context.world.save(request.state_id, request.label).id


def limit(context: Context, request: LimitRequest) -> None:
    """See LimitRequest."""
    with context.world.lock:
        context.world.max_uncommitted_states = request.max_uncommitted_states


def scenes(context: Context, request: ScenesRequest) -> list[SceneEntry]:
    """See ScenesRequest."""
    return list(context.world.scenes())


def select(context: Context, request: SelectRequest) -> None:
    """See SelectRequest."""
    context.world.select(request.scene_id)


def replaced(context: Context, request: ReplacedRequest) -> list[ReplacedScene]:
    """See ReplacedRequest."""
    return list(context.world.replaced())


def restore_replaced(context: Context, request: RestoreReplacedRequest) -> None:
    """See RestoreReplacedRequest."""
    context.world.restore_replaced(request.replaced_id, replace=request.replace)


def _not_pending(context: Context, state_id: str) -> None:
    if state_id in context.pending:
        text = f"state '{state_id}' is the end of the rollout that runs: wait for its result, or cancel it"
        raise PWError(text, code=ErrorCode.BUSY)
