"""world_node: parameters, the worker, and what translates between it and ROS. No numerics."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from rclpy.action import ActionServer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import Camera
from pw_ros import parameters
from pw_ros.interfaces import simulation
from pw_ros.interfaces.actions.evaluate import EvaluateServer
from pw_ros.interfaces.actions.export import ExportServer
from pw_ros.interfaces.actions.plan import PlanServer
from pw_ros.interfaces.actions.refine import RefineServer
from pw_ros.interfaces.actions.rollout import RolloutServer
from pw_ros.interfaces.calls import Calls
from pw_ros.interfaces.frames import Frames
from pw_ros.interfaces.gate import Gate, Pass
from pw_ros.interfaces.services.answering import Readers
from pw_ros.interfaces.services.looking import LookingServices
from pw_ros.interfaces.services.reconstruct import ReconstructServices
from pw_ros.interfaces.services.record import Recorder
from pw_ros.interfaces.services.scenes import SceneServices
from pw_ros.interfaces.services.states import StateServices
from pw_ros.interfaces.topics.publishers import Publishers
from pw_ros.middleware import use_large_pictures
from pw_ros.worker.process import Worker
from pw_ros.worker.protocol import Snapshot, WorkerOptions

THREADS = 20
"""Of the executor: five goals (one runs, four wait), a reconstruction, six readers, and room for what must answer."""

ANSWERS_WITHIN = 1.5
"""[s] in which a node that ends answers who waits; then it ends without."""

CLOCK_PERIOD = 0.1
"""[s] of wall time after which /clock is repeated, for who came late."""


class WorldNode(Node):
    """The node `perpetual_wonder`. Spin it with a MultiThreadedExecutor; call `close` before destroying it."""

    def __init__(self, **options: Any) -> None:
        super().__init__("perpetual_wonder", **options)
        parameters.declare(self)
        self.group = ReentrantCallbackGroup()
        self.closing = False
        self.refused = ""
        self.gate, self.calls = Gate(), Calls()
        self.limits = parameters.limits_of(self)
        self._status_lock = threading.Lock()
        self._status: dict[str, Any] = {"status": "starting"}
        self.frames = Frames(self, self._value("frame_id"), self._value("frame_prefix"))
        self.topics = Publishers(self)
        self._built = threading.Event()
        self.worker = Worker(
            WorkerOptions(
                store=self._value("store"),
                config_dirs=tuple(d for d in self._value("config_dirs") if d),
                device=self._value("device"),
                max_uncommitted_states=self._value("max_uncommitted_states"),
                keep_replaced=self._value("keep_replaced"),
                scene=self._value("scene"),
                input_roots=tuple(r for r in self._value("input_roots") if r),
                export_root=self._value("export_root"),
                ray_address=self._value("ray_address"),
                studio_port=self._value("studio_port"),
                world_factory=self._value("world_factory"),
            ),
            on_snapshot=self._changed,
            on_state=self._worker_is,
            on_note=self._noted,
        )
        self.rollouts = RolloutServer(self)
        self.recorder = Recorder(self)
        self.refinements = RefineServer(self)
        self.evaluations = EvaluateServer(self)
        self.plans = PlanServer(self)
        self.exports = ExportServer(self)
        readers = Readers(self)
        self.answers = (
            ReconstructServices(self, readers),
            LookingServices(self, readers),
            StateServices(self),
            SceneServices(self),
            simulation.serve(self, readers),
        )
        # In wall time, also where the node takes its time from /clock, which may stand still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._view_timer = self.create_timer(
            1.0 / self._value("view_rate"), self.topics.tick, callback_group=self.group, clock=steady
        )
        self.create_timer(1.0, self.topics.diagnose, callback_group=self.group, clock=steady)
        if self._value("publish_clock"):
            self.create_timer(CLOCK_PERIOD, self.topics.tell_time, callback_group=self.group, clock=steady)
        self.add_post_set_parameters_callback(self._parameters_set)
        self._built.set()
        self._publish_status()

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def now(self) -> Time:
        """The node's time."""
        return self.get_clock().now().to_msg()

    def camera(self, name: str = "") -> Camera:
        """A camera of the selected scene; empty: the first.

        Raises:
            PWError: NO_SCENE, UNKNOWN_CAMERA.
        """
        cameras = {c.name: c for c in self.worker.snapshot.cameras}
        if not cameras:
            raise PWError("no scene is selected: reconstruct or select one first", code=ErrorCode.NO_SCENE)
        wanted = name or next(iter(cameras))
        if wanted not in cameras:
            raise PWError(
                f"camera '{name}' is not in the scene; there are: {', '.join(cameras)}", code=ErrorCode.UNKNOWN_CAMERA
            )
        return cameras[wanted]

    # --- one job at a time --------------------------------------------------------------------------------------------

    def enter(self, wanted: Pass, *, wait: bool, patience: float = float("inf"), handle: Any = None) -> None:
        """Take the gate for a job or service; `leave` gives it back.

        Raises:
            PWError: BUSY; CANCELED or SHUTTING_DOWN while it waited.
        """
        stopped = self.gate.enter(
            wanted, wait=wait, patience=patience,
            stopped=lambda: self.closing or (handle is not None and handle.is_cancel_requested),
        )  # fmt: skip
        if stopped == "busy":
            runs = self.gate.blocks(wanted) or "another job"
            text = f"{wanted.name}: {runs} is running, {self.gate.waiting} more wait: try again later"
            raise PWError(text, code=ErrorCode.BUSY)
        if stopped == "stopped":
            if self.closing:
                raise PWError("the node shuts down", code=ErrorCode.SHUTTING_DOWN)
            raise PWError("canceled while it waited for another job", code=ErrorCode.CANCELED)

    def leave(self, held: Pass) -> None:
        """The job is over, or goes on behind without its client. Twice is once."""
        self.gate.leave(held)
        self.settle()

    def settle(self) -> None:
        """Say idle where no job runs."""
        if self.worker.state == "ready" and not self.gate.running:
            self.report(status="idle", stage="", fraction=None)

    # --- status -------------------------------------------------------------------------------------------------------

    def report(self, **fields: Any) -> None:
        """Change the status and publish it: status, stage, fraction, eta, error_code, error_msg."""
        with self._status_lock:
            self._status = {**self._status, "eta": None, **fields}
        self._publish_status()

    @property
    def fault(self) -> str:
        """The last error that the status told; empty: none since."""
        return str(self._status.get("error_msg", "")) if self._status.get("error_code") else ""

    def second(self, text: str) -> None:
        """Another node of this one's name began before it: this one gives way, where the parameter says so."""
        if self.get_parameter("refuse_second").value:
            self.refused = text

    def _publish_status(self) -> None:
        if self.closing or not self._built.is_set():
            return
        snapshot = self.worker.snapshot
        with self._status_lock:
            self.topics.status(
                {
                    **self._status,
                    "scene_id": snapshot.scene_id,
                    "head_state": snapshot.head,
                    "head_time": snapshot.head_time,
                    "goals_waiting": self.gate.waiting,
                }
            )

    def _changed(self, snapshot: Snapshot) -> None:
        self._built.wait()  # the worker may be quicker than the rest of __init__
        if self.closing:
            return
        try:
            self.topics.head(snapshot)
            self._publish_status()
        except Exception as error:  # this is the worker's reader: it must go on
            self.get_logger().error(f"publishing the world failed: {type(error).__name__}: {error}")

    def _worker_is(self, state: str, why: str) -> None:
        self._built.wait()
        if self.closing:
            return
        if why:
            self.get_logger().warning(why)
        if state == "ready":
            self.settle()
        else:
            code = ErrorCode.WORKER_DIED if why else ErrorCode.NONE
            status = "error" if state == "failed" else "starting"
            self.report(status=status, stage="", fraction=None, error_code=int(code), error_msg=why)

    def _noted(self, code: int, text: str) -> None:
        self._built.wait()
        if self.closing:
            return
        if code:
            self.get_logger().warning(text)
            self.report(error_code=code, error_msg=text)
        else:
            self.get_logger().info(text)
            self.report(stage=text)

    def _parameters_set(self, changed: list[Any]) -> None:
        for parameter in changed:
            if parameter.name == "view_rate":
                self._view_timer.timer_period_ns = int(1e9 / parameter.value)
            elif parameter.name == "max_uncommitted_states":
                self.worker.limit_states(parameter.value)

    def end(self, spin: Callable[[], None]) -> None:
        """Answer every client that waits (SHUTTING_DOWN), which needs the executor to be spun meanwhile, and close."""
        self.closing = True
        ending = threading.Thread(target=self.worker.close, args=(0.5,), name="ending")
        ending.start()
        until = time.monotonic() + ANSWERS_WITHIN
        while (self.calls.count or ending.is_alive()) and time.monotonic() < until:
            spin()
        sent = time.monotonic() + 0.2  # answers are there: let them out
        while time.monotonic() < sent:
            spin()
        ending.join(1.0)
        self.close()

    def close(self) -> None:
        """End the worker and what waits for it. Twice is once."""
        self.closing = True
        self.worker.close()
        self.topics.close()

    def destroy_node(self) -> None:
        """With its action servers, which rclpy leaves alone: they would keep the node in the graph until Python's
        garbage is collected."""
        for each in list(self.waitables):
            if isinstance(each, ActionServer):
                each.destroy()
        super().destroy_node()


def main(args: list[str] | None = None) -> int:
    """`world_node`: run until Ctrl-C or SIGTERM; more of them change nothing."""
    transport = use_large_pictures(parameters.config_folder() / "fastdds.xml")  # before the middleware starts
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    executor = MultiThreadedExecutor(THREADS)
    _start_threads(executor)
    node = None
    try:
        node = WorldNode()
        executor.add_node(node)
        node.get_logger().info(transport)
        node.get_logger().info(f"scenes are in {node.get_parameter('store').value}")
        while rclpy.ok() and not stop.is_set() and not node.refused:
            try:
                executor.spin_once(timeout_sec=0.2)
            except ExternalShutdownException:
                break
            except Exception as error:  # a bug in one callback is no reason to take the world down
                node.get_logger().error(f"{type(error).__name__}: {error}")
        if node.refused:
            raise ValueError(node.refused)
        node.end(lambda: _spin(executor))
    except ValueError as error:
        print(f"world_node: {error}")
        return 2
    finally:
        if node is not None:
            node.close()
        executor.shutdown(timeout_sec=2.0)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # Python puts ours back to "die" while it leaves; this one it keeps
    return 0


def _start_threads(executor: MultiThreadedExecutor) -> None:
    """All of them now: it would start another one, with a stack and an arena of its own, whenever more calls than ever
    before came at once, so that a node would still grow after days."""
    pool, all_there = getattr(executor, "_executor", None), threading.Barrier(THREADS)
    if pool is None:
        return
    for _ in range(THREADS):
        pool.submit(all_there.wait)


def _spin(executor: MultiThreadedExecutor) -> None:
    with suppress(Exception):  # told by the callback's own guard; the end goes on
        executor.spin_once(timeout_sec=0.05)


if __name__ == "__main__":
    raise SystemExit(main())
