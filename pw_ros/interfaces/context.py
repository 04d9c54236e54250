"""What the interfaces need of the node that they are part of, so that none of them knows the node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from builtin_interfaces.msg import Time

from pw_core.gaussians import Camera
from pw_core.limits import Limits
from pw_msgs.msg import PhysicalAction
from pw_ros.interfaces.calls import Calls
from pw_ros.interfaces.frames import Frames
from pw_ros.interfaces.gate import Gate, Pass
from pw_ros.worker.process import Worker
from pw_ros.worker.protocol import FrameData
from pw_ros.worker.requests import Film


class Predictions(Protocol):
    """The prediction topics, for who predicts."""

    def predict_actions(self, actions: Sequence[PhysicalAction]) -> None:
        """Whose arrows go with the next predictions."""

    def predict(self, frame: FrameData, began: Time, shown: dict[str, Any], *, drawn: bool = False) -> None:
        """An instant of a running or played trajectory whose t = 0 is at `began`."""

    def show(self, shown: dict[str, Any] | None, began: Time, *, again: bool = False) -> None:
        """What the predicted views show from now on; None: nothing. `again`: the same instant may be drawn anew."""

    def play(
        self, frames: Sequence[FrameData], actions: Sequence[PhysicalAction], trajectory: str, *, rate: float,
        loop: bool,
    ) -> None:  # fmt: skip
        """Start to play `rate` simulated seconds a second, in place of what plays."""

    def stop(self) -> None:
        """End the playback."""

    def later(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do it soon, in the thread that sends pictures."""


class Recordings(Protocol):
    """What cameras recorded."""

    record_id: str

    def films(self, record_id: str, origin: Time) -> list[Film]:
        """Of each camera, stamps [s] from `origin`."""


class NodeContext(Protocol):
    """The world's node. What is not explained here is of `rclpy.node.Node`."""

    closing: bool
    limits: Limits
    calls: Calls
    group: Any
    gate: Gate
    frames: Frames
    worker: Worker

    @property
    def topics(self) -> Predictions:
        """Where predictions are published."""

    @property
    def recorder(self) -> Recordings:
        """Where recordings are."""

    def now(self) -> Time:
        """The node's time."""

    def camera(self, name: str = "") -> Camera:
        """A camera of the selected scene; empty: the first. PWError: NO_SCENE, UNKNOWN_CAMERA."""

    def enter(self, wanted: Pass, *, wait: bool, patience: float = float("inf"), handle: Any = None) -> None:
        """Take the gate for a job or service. PWError: BUSY; CANCELED or SHUTTING_DOWN while it waited."""

    def leave(self, held: Pass) -> None:
        """The job is over, or goes on behind without its client. Twice is once."""

    def settle(self) -> None:
        """Say idle where no job runs."""

    def report(self, **fields: Any) -> None:
        """Change the status and publish it: status, stage, fraction, eta, error_code, error_msg."""

    @property
    def fault(self) -> str:
        """The last error that the status told; empty: none since."""

    def second(self, text: str) -> None:
        """Another node of this one's name began before it."""

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]: ...

    def resolve_topic_name(self, topic: str) -> str: ...

    def get_parameter(self, name: str) -> Any: ...

    def get_logger(self) -> Any: ...

    def get_clock(self) -> Any: ...

    def get_name(self) -> str: ...

    def get_namespace(self) -> str: ...

    def count_subscribers(self, topic: str) -> int: ...

    def create_service(self, kind: Any, name: str, callback: Any, *, callback_group: Any = None) -> Any: ...

    def create_publisher(self, kind: Any, topic: str, qos: Any, *, event_callbacks: Any = None) -> Any: ...

    def create_subscription(
        self, kind: Any, topic: str, callback: Any, qos: Any, *, callback_group: Any = None
    ) -> Any: ...

    def destroy_publisher(self, publisher: Any) -> Any: ...

    def destroy_subscription(self, subscription: Any) -> Any: ...
