"""The tree of a scene's states: ~/commit, ~/restore_state, ~/list_states, ~/delete_state, ~/save_state, ~/reset."""

from __future__ import annotations

from typing import Any

from pw_core.errors import ErrorCode, PWError
from pw_ros.convert.reports import state_to_info
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.services.answering import ServiceGroup
from pw_ros.worker.requests import CommitRequest, DeleteRequest, ResetRequest, RestoreRequest, SaveRequest


class StateServices(ServiceGroup):
    """They wait for no simulation; what moves the head, for a running goal that is to move it too."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(
            node,
            {
                "Commit": self.commit, "RestoreState": self.restore_state, "ListStates": self.list_states,
                "DeleteState": self.delete_state, "SaveState": self.save_state, "Reset": self.reset,
            },
        )  # fmt: skip

    def commit(self, request: Any, response: Any) -> None:
        """Move the head."""
        done = self.move(CommitRequest(request.state_id))
        response.state_id, response.previous_head = done.state_id, done.previous_head

    def restore_state(self, request: Any, response: Any) -> None:
        """Move the head, to a state on disk too."""
        done = self.move(RestoreRequest(request.state_id))
        response.state_id, response.previous_head = done.state_id, done.previous_head

    def list_states(self, request: Any, response: Any) -> None:
        """From the last snapshot, so it answers while anything runs."""
        snapshot = self.scene()
        if request.scene_id not in ("", snapshot.scene_id):
            raise PWError(
                f"scene '{request.scene_id}' is not the selected one, '{snapshot.scene_id}': select it first",
                code=ErrorCode.UNKNOWN_SCENE,
            )
        response.states = [
            state_to_info(
                s,
                committed=s.id in snapshot.committed,
                head=s.id == snapshot.head,
                saved=s.id in snapshot.committed or bool(s.label),
            )
            for s in snapshot.states
        ]
        response.head_state = snapshot.head

    def delete_state(self, request: Any, response: Any) -> None:
        """Forget states."""
        response.deleted = self.node.worker.call(DeleteRequest(request.state_id, request.recursive))

    def save_state(self, request: Any, response: Any) -> None:
        """Keep a state."""
        response.state_id = self.node.worker.call(SaveRequest(request.state_id, request.label))
        response.path = f"{self.scene().scene_id}/states/{response.state_id}.safetensors"

    def reset(self, request: Any, response: Any) -> None:
        """Back to the reconstruction."""
        response.state_id = self.move(ResetRequest(request.drop_uncommitted))
