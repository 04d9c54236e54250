"""The store's scenes: ~/list_scenes, ~/select_scene, ~/restore_scene."""

from __future__ import annotations

from typing import Any

from pw_msgs.msg import ReplacedScene, SceneInfo
from pw_ros.convert.geometry import seconds_to_time
from pw_ros.convert.reports import entity_to_info
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.services.answering import READ_TIMEOUT, ServiceGroup
from pw_ros.worker.protocol import Snapshot
from pw_ros.worker.requests import ReplacedRequest, RestoreReplacedRequest, ScenesRequest, SelectRequest


class SceneServices(ServiceGroup):
    """They wait for no simulation; what selects a scene is not beside a running goal."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(
            node,
            {
                "ListScenes": self.list_scenes, "SelectScene": self.select_scene, "RestoreScene": self.restore_scene,
            },
        )  # fmt: skip

    def list_scenes(self, request: Any, response: Any) -> None:
        """Of the store and the configurations, and what was replaced."""
        snapshot = self.node.worker.snapshot
        for entry in self.node.worker.call(ScenesRequest(), timeout=READ_TIMEOUT):
            if entry.id == snapshot.scene_id and entry.reconstructed:
                response.scenes.append(self._info(snapshot))
            else:
                response.scenes.append(
                    SceneInfo(
                        scene_id=entry.id,
                        title=entry.title,
                        reconstructed=entry.reconstructed,
                        created=seconds_to_time(entry.created),
                    )
                )
        response.replaced = [
            ReplacedScene(
                id=r.id, scene_id=r.scene_id, replaced=seconds_to_time(r.replaced), states=r.states, size=r.size
            )
            for r in self.node.worker.call(ReplacedRequest(), timeout=READ_TIMEOUT)
        ]
        response.selected = snapshot.scene_id

    def restore_scene(self, request: Any, response: Any) -> None:
        """Put a replaced scene back and work on it."""
        self.move(RestoreReplacedRequest(request.id, request.replace), alone=True)
        response.scene = self._info(self.scene())

    def select_scene(self, request: Any, response: Any) -> None:
        """Work on another scene."""
        self.move(SelectRequest(request.scene_id), alone=True)
        response.scene = self._info(self.scene())

    def _info(self, snapshot: Snapshot) -> SceneInfo:
        return SceneInfo(
            scene_id=snapshot.scene_id,
            title=snapshot.title,
            reconstructed=True,
            selected=True,
            frame_id=self.node.frames.frame_id,
            head_state=snapshot.head,
            cameras=[c.name for c in snapshot.cameras],
            entities=[entity_to_info(e) for e in snapshot.entities],
            created=seconds_to_time(snapshot.created),
        )
