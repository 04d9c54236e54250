"""What the node's services have in common: errors in the same two fields everywhere, and how the worker is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pw_core.errors import ErrorCode, PWError
from pw_core.limits import shortened
from pw_msgs import srv
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.gate import Pass
from pw_ros.interfaces.limits import check_request
from pw_ros.naming import snake_case
from pw_ros.worker.protocol import Snapshot
from pw_ros.worker.requests import Request

T = TypeVar("T")
Handler = Callable[[Any, Any], None]
"""Reads a request and fills in the response; a PWError says why not."""

READ_TIMEOUT = 60.0
"""[s] a call that only reads waits for the worker before it answers BUSY."""
PATIENCE = 5.0
"""[s] a service waits for a running goal that is to move the head too, before it answers BUSY."""
MAX_READERS = 6
"""Calls that may wait for the worker at a time, so that they never take all of the executor's threads."""


class ServiceGroup:
    """Services that belong together.

    Args:
        handlers: by the name of the service's type.
        types: the module of the types.
        prefix: of the services' names.
    """

    def __init__(
        self, node: NodeContext, handlers: Mapping[str, Handler], *, types: Any = srv, prefix: str = "~/"
    ) -> None:
        self.node = node
        for name, handler in handlers.items():
            answer = self._guard(handler)
            node.create_service(getattr(types, name), prefix + snake_case(name), answer, callback_group=node.group)

    def _guard(self, handler: Handler) -> Callable[[Any, Any], Any]:
        def answer(request: Any, response: Any) -> Any:
            try:
                if self.node.closing:
                    raise PWError("the node shuts down", code=ErrorCode.SHUTTING_DOWN)
                check_request(request, limits=self.node.limits)
                with self.node.calls:
                    handler(request, response)
            except PWError as error:
                self.refuse(response, error)
            except Exception as error:
                text = shortened(f"{handler.__name__}: {type(error).__name__}: {error}")
                self.node.get_logger().error(text)
                self.refuse(response, PWError(text, code=ErrorCode.NODE_UNKNOWN))
            return response

        return answer

    def refuse(self, response: Any, error: PWError) -> None:
        """Write into the response why there is no other."""
        response.error_code, response.error_msg = int(error.code), str(error)

    def move(self, request: Request[T], *, alone: bool = False) -> T:
        """Do what changes the head, or (`alone`) the scene: at once, or after the running goal where that is about to
        move the head too."""
        node = self.node
        wanted = Pass(request.what(), alone=alone, moves_head=True, service=True)
        node.enter(wanted, wait=node.get_parameter("busy_policy").value == "wait", patience=PATIENCE)
        try:
            return node.worker.call(request)
        finally:
            node.leave(wanted)

    def scene(self) -> Snapshot:
        """The selected scene. PWError (NO_SCENE) if there is none."""
        snapshot = self.node.worker.snapshot
        if not snapshot.scene_id:
            raise PWError("no scene is selected: reconstruct or select one first", code=ErrorCode.NO_SCENE)
        return snapshot


class Readers:
    """Asks the worker for what takes long to read, so many at a time."""

    def __init__(self, node: NodeContext) -> None:
        self.node = node
        self._free = threading.Semaphore(MAX_READERS)

    def read(self, request: Request[T], *, timeout: float = READ_TIMEOUT) -> T:
        """The worker's answer. PWError: BUSY where too many wait, or after `timeout` [s]; what the worker raised."""
        if not self._free.acquire(blocking=False):
            text = f"{request.what()}: {MAX_READERS} calls wait for the worker already"
            raise PWError(text, code=ErrorCode.BUSY)
        try:
            return self.node.worker.call(request, timeout=timeout)
        finally:
            self._free.release()
