"""What ~/evaluate and ~/plan have in common: candidates in, what is told of them as they run, the best at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from builtin_interfaces.msg import Time
from rclpy.action.server import ServerGoalHandle

from pw_core.errors import ErrorCode, PWError
from pw_core.plan.candidates import Candidate as CoreCandidate
from pw_msgs.msg import Candidate, EntityTrack
from pw_msgs.msg import KeptCandidate as KeptMessage
from pw_ros.convert.actions import message_to_action
from pw_ros.convert.plans import named_numbers, score_to_message
from pw_ros.convert.reports import poses_to_tracks
from pw_ros.interfaces.actions.goals import DETACH_AFTER, KEEP_WITHIN, GoalServer, Running
from pw_ros.interfaces.context import NodeContext
from pw_ros.worker.protocol import Event, Progressed, Scored, Track
from pw_ros.worker.requests import KeptCandidate

T = TypeVar("T")


class CandidateServer(GoalServer[T]):
    """Serves goals that run candidates, one at a time with all others."""

    def tell(
        self, handle: ServerGoalHandle, running: Running[T], stamp: Time, feedback: Callable[[Scored], Any]
    ) -> Scored | None:  # fmt: skip
        """Follow the job to its end, or until a cancelled one has kept its best; the last that was told of it. What is
        cancelled before there is anything to keep ends at once."""
        node, last = self.node, None

        def heard(event: Event) -> None:
            nonlocal last
            if isinstance(event, Progressed):
                node.report(status="compiling", stage=event.stage, fraction=event.fraction)
            elif isinstance(event, Scored):
                last = event
                message = feedback(event)
                message.evaluated, message.best_cost, message.eta = event.evaluated, event.best_cost, event.eta_s
                message.best_tracks = self.tracks(event.track, stamp)
                handle.publish_feedback(message)
                fraction = event.evaluated / event.total if event.total else None
                eta = event.eta_s if event.eta_s >= 0 else None
                node.report(status="planning", stage=f"{event.evaluated} candidates", fraction=fraction, eta=eta)

        node.report(status="planning", stage="starting", fraction=None)
        node.topics.predict_actions(())
        self.follow(handle, running, heard, patience=lambda: KEEP_WITHIN if last is not None else DETACH_AFTER)
        return last

    def tracks(self, track: Track | None, stamp: Time) -> list[EntityTrack]:
        """One an entity; none of no track."""
        if track is None:
            return []
        return poses_to_tracks(track.times, track.poses, frame_id=self.node.frames.frame_id, stamp=stamp)

    def kept(self, kept: KeptCandidate, stamp: Time) -> KeptMessage:
        """One of the best."""
        return KeptMessage(
            score=score_to_message(kept.score), state_id=kept.state_id, trajectory_id=kept.trajectory_id,
            tracks=self.tracks(kept.track, stamp),
        )  # fmt: skip


def candidate_of(node: NodeContext, message: Candidate, index: int) -> CoreCandidate:
    """A candidate of a goal. PWError: INVALID_CANDIDATES, INVALID_ACTION, INVALID_FRAME; the message names it."""
    what = f"candidate {index}"
    constants = named_numbers(
        message.constants, message.constant_values, f"{what}: constants", ErrorCode.INVALID_CANDIDATES
    )
    try:
        actions = [message_to_action(a, to_world=node.frames.to_world(a.header.frame_id)) for a in message.actions]
    except PWError as error:
        raise PWError(f"{what}, {error}", code=error.code) from None
    return CoreCandidate(tuple(actions), constants)
