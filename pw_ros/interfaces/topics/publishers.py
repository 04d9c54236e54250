"""The topics: head state and prediction as particles, markers and views; status and diagnostics."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from pw_msgs.msg import PhysicalAction, WorldStatus
from pw_ros.convert.clouds import particles_to_cloud
from pw_ros.convert.geometry import seconds_to_time, time_after
from pw_ros.convert.markers import scene_to_markers
from pw_ros.convert.reports import pose_to_state, status_to_message
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.topics.namesakes import Namesakes
from pw_ros.interfaces.topics.playback import Playback
from pw_ros.interfaces.topics.things import EntityTopics, PredictedSplats, SplatTopics, path_type
from pw_ros.interfaces.topics.views import HeadView, PredictedView
from pw_ros.qos import LATCHED
from pw_ros.worker.protocol import FrameData, Snapshot


class Publishers:
    """All topics of the node."""

    def __init__(self, node: NodeContext) -> None:
        self.node = node
        self._namesakes = Namesakes(node)
        self._particles = node.create_publisher(PointCloud2, "~/particles", LATCHED)
        self._entities = node.create_publisher(MarkerArray, "~/entities", LATCHED)
        self._predicted_particles = node.create_publisher(PointCloud2, "~/prediction/particles", LATCHED)
        self._predicted_entities = node.create_publisher(MarkerArray, "~/prediction/entities", LATCHED)
        self._status = node.create_publisher(WorldStatus, "~/status", LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        clock = node.get_parameter("publish_clock").value
        self._clock = node.create_publisher(Clock, "/clock", 1) if clock else None
        self._views: list[HeadView] = []
        self._predicted: list[PredictedView] = []
        self._cameras: tuple[Any, ...] = ()
        self._things = EntityTopics(node, ())
        self._splats, self._predicted_splats = SplatTopics(node), PredictedSplats(node)
        if path_type() is None:
            node.get_logger().info("nav_msgs is not installed: paths of predictions are left out")
        self._actions: Sequence[PhysicalAction] = ()
        self._had_scene = False
        self._lock = threading.Lock()
        self._sent: tuple[str, float, str] | None = None
        self._playing: Playback | None = None
        # Pictures come in on the worker's reader, which must go on reading: they are converted and sent here.
        self._sending = ThreadPoolExecutor(1, thread_name_prefix="views")

    # --- the head -----------------------------------------------------------------------------------------------------

    def head(self, snapshot: Snapshot) -> None:
        """The world changed. Where it is in the same state as before (one was saved, a what-if came or went), nothing
        is sent again: whoever asked for that waits for this."""
        now = (snapshot.scene_id, snapshot.created, snapshot.head)
        if now == self._sent:
            return
        self._sent = now
        key = (snapshot.scene_id, snapshot.created, tuple(c.name for c in snapshot.cameras))
        if key != self._cameras:
            self.stop()
        with self._lock:
            if key != self._cameras:
                for view in [*self._views, *self._predicted]:
                    view.destroy()
                self._views = [HeadView(self.node, c, "") for c in snapshot.cameras]
                self._predicted = [PredictedView(self.node, c, "prediction/") for c in snapshot.cameras]
                self._things.destroy()
                self._things = EntityTopics(self.node, [e.name for e in snapshot.entities])
                self._cameras = key
                self._predicted_splats.show(None, Time())
                self.node.frames.publish_cameras(snapshot.cameras)
            for view in self._views:
                view.changed()
        self.tell_time()
        self._splats.changed()
        if snapshot.scene_id or self._had_scene:  # of no scene once nothing, so that what was there goes
            stamp = self.node.now()
            frame = FrameData(0.0, 0.0, snapshot.positions, snapshot.velocities, snapshot.poses)
            self._publish(frame, stamp, self._particles, self._entities, ())
            self._things.head(snapshot.poses, stamp)
            self.node.frames.publish_entities(snapshot.poses)
        self._had_scene = bool(snapshot.scene_id)

    def _publish(self, frame: FrameData, stamp: Time, cloud: Any, markers: Any, actions: Sequence[Any]) -> None:
        snapshot, frame_id = self.node.worker.snapshot, self.node.frames.frame_id
        fits = len(snapshot.entity_ids) == len(frame.positions)
        cloud.publish(
            particles_to_cloud(
                frame.positions,
                velocities=frame.velocities,
                colors=snapshot.colors if fits else None,
                entities=snapshot.entity_ids if fits else None,
                frame_id=frame_id,
                stamp=stamp,
            )
        )
        states = [pose_to_state(p, frame_id=frame_id, stamp=stamp) for p in frame.poses]
        markers.publish(scene_to_markers(states, actions, frame_id=frame_id, stamp=stamp))

    # --- predictions --------------------------------------------------------------------------------------------------

    def predict_actions(self, actions: Sequence[PhysicalAction]) -> None:
        """Whose arrows go with the next predictions."""
        self.stop()
        self._actions = actions

    def predict(self, frame: FrameData, began: Time, shown: dict[str, Any], *, drawn: bool = False) -> None:
        """An instant of a running or played trajectory whose t = 0 is at `began`; shown: how its views are drawn,
        unless they are `drawn` already and the caller sends them."""
        at = time_after(began, frame.time_s)
        self._publish(frame, at, self._predicted_particles, self._predicted_entities, self._actions)
        self._things.predict(frame, began)
        if drawn:
            with self._lock:
                self._predicted_splats.show(shown, began)
        else:
            self.show(shown, began)

    def show(self, shown: dict[str, Any] | None, began: Time, *, again: bool = False) -> None:
        """What the predicted views show from now on; None: nothing. `again`: the same instant may be drawn anew."""
        with self._lock:
            for view in self._predicted:
                view.show(shown, began, again=again)
            self._predicted_splats.show(None if again else shown, began)  # a refinement's are not known before its end

    def play(self, frames: Sequence[FrameData], actions: Sequence[PhysicalAction], trajectory: str,
             *, rate: float, loop: bool) -> None:  # fmt: skip
        """Start to play `rate` simulated seconds a second, in place of what plays."""
        self.predict_actions(actions)
        self._playing = Playback(self.node, frames, trajectory, rate=rate, loop=loop, views=self.predicted_views)

    def predicted_views(self) -> list[PredictedView]:
        """Of the scene's cameras as they are now."""
        with self._lock:
            return list(self._predicted)

    def stop(self) -> None:
        """End the playback."""
        if self._playing is not None:
            self._playing.stop()
            self._playing = None

    def later(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do it soon, in the thread that sends pictures."""
        with contextlib.suppress(RuntimeError):  # shut down
            self._sending.submit(self._guarded, work, *arguments)

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # a publisher that was destroyed meanwhile, or a bug: the next picture comes
            if not self.node.closing:
                self.node.get_logger().error(f"{work.__qualname__}: {type(error).__name__}: {error}")

    def close(self) -> None:
        """End what runs beside the executor."""
        self.stop()
        self._sending.shutdown(wait=True, cancel_futures=True)

    # --- regularly ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Called at view_rate."""
        stamp = self.node.now()
        with self._lock:
            for view in self._views:
                view.tick(stamp)
            if self._playing is None:
                for predicted in self._predicted:
                    predicted.tick()
            self._predicted_splats.tick()
            self._things.tick()
        self._splats.tick()
        self.node.frames.publish_entities(self.node.worker.snapshot.poses)

    def tell_time(self) -> None:
        """/clock, if it is on: simulated time of the head, so it stands still but for commits, and jumps at a reset."""
        if self._clock is not None:
            self._clock.publish(Clock(clock=seconds_to_time(self.node.worker.snapshot.head_time)))

    def status(self, fields: dict[str, Any]) -> None:
        """Publish the world's status."""
        self._status.publish(status_to_message(**fields, frame_id=self.node.frames.frame_id, stamp=self.node.now()))

    def diagnose(self) -> None:
        """Called once a second."""
        node = self.node
        shared = self._namesakes.look()
        if shared and self._namesakes.give_way:
            node.second(f"another node is called {self._namesakes.name} and was there before")
        contested = node.frames.contested()
        if contested:
            node.get_logger().error(contested, throttle_duration_sec=10.0)
        problem = shared or contested or node.fault
        level = {"failed": DiagnosticStatus.ERROR, "starting": DiagnosticStatus.WARN}.get(
            node.worker.state, DiagnosticStatus.ERROR if problem else DiagnosticStatus.OK
        )
        values = {
            "worker": node.worker.state, "worker pid": node.worker.pid, "worker starts": node.worker.starts,
            "job": node.gate.running or "none", "waiting": node.gate.waiting,
            "scene": node.worker.snapshot.scene_id or "none", "states": len(node.worker.snapshot.states),
            "calls": node.calls.count, "store": node.get_parameter("store").value,
            "memory MB": _memory_mb(node.worker.pid), "pictures skipped": sum(v.skipped for v in self._predicted),
            "last fault": node.fault or "none", **self._namesakes.told(),
        }  # fmt: skip
        status = DiagnosticStatus(level=level, name=f"{node.get_name()}: world", message=problem or node.worker.state)
        status.hardware_id = str(node.get_parameter("device").value)
        status.values = [KeyValue(key=k, value=str(v)) for k, v in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = node.now()
        self._diagnostics.publish(message)


def _memory_mb(worker: int) -> str:
    """Resident memory of the node and of its worker [MB]."""
    import psutil

    sizes = []
    for pid in (os.getpid(), worker):
        with contextlib.suppress(psutil.Error):
            sizes.append(f"{psutil.Process(pid).memory_info().rss / 1e6:.0f}")
    return " + ".join(sizes)
