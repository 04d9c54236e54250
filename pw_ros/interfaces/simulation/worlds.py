"""Worlds: scenes of the store, and configurations that scenes can be made from; their URI is their id."""

from __future__ import annotations

from typing import Any

from simulation_interfaces.srv import GetCurrentWorld, LoadWorld, UnloadWorld

from pw_core.errors import ErrorCode, PWError
from pw_core.world.scenes import SceneEntry
from pw_ros.convert.simulation import asked_resource, passes_tags, world_to_message
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.gate import Pass
from pw_ros.interfaces.services.answering import READ_TIMEOUT, Readers
from pw_ros.interfaces.simulation.answers import Declined, SimulationServices, unsupported
from pw_ros.interfaces.simulation.running import RunningServices
from pw_ros.worker.requests import ConfigRequest, ReconstructRequest, ScenesRequest, SelectRequest
from pw_ros.worker.scene_requests import UnselectRequest


class WorldServices(SimulationServices):
    """What changes the world is not beside a running goal."""

    def __init__(self, node: NodeContext, prefix: str, readers: Readers, running: RunningServices) -> None:
        self._readers, self._running = readers, running
        handlers = {
            "GetAvailableWorlds": self.get_available_worlds, "GetCurrentWorld": self.get_current_world,
            "LoadWorld": self.load_world, "UnloadWorld": self.unload_world,
        }  # fmt: skip
        super().__init__(node, prefix, handlers)

    def get_available_worlds(self, request: Any, response: Any) -> None:
        """Those of the store and its configurations."""
        text = f"no other sources are searched: {', '.join(request.additional_sources)}"
        if request.additional_sources and not request.continue_on_error:
            raise unsupported(text)
        entries = self.node.worker.call(ScenesRequest(), timeout=READ_TIMEOUT)
        made = [self._world(entry) for entry in entries]
        response.worlds = [world for world in made if passes_tags(list(world.tags), request.filter)]
        if request.additional_sources:
            response.result.error_message = text

    def get_current_world(self, request: Any, response: Any) -> None:
        """The selected scene."""
        response.world = self._current(GetCurrentWorld.Response.NO_WORLD_LOADED)

    def load_world(self, request: Any, response: Any) -> None:
        """Select a scene, or make it of its configuration; its head goes to the reconstruction, no state is lost."""
        asked, kind = asked_resource(request), LoadWorld.Response
        if not asked.uri:
            if asked.resource_string:
                raise unsupported("a world needs pictures: ~/reconstruct makes one of a configuration and those")
            raise Declined(kind.NO_RESOURCE, "uri is empty: the id of a scene or configuration")
        entries = {e.id: e for e in self.node.worker.call(ScenesRequest(), timeout=READ_TIMEOUT)}
        entry = entries.get(asked.uri)
        if entry is None:
            text = f"'{asked.uri}' is no scene or configuration; there are: {', '.join(entries) or 'none'}"
            if "/" in asked.uri or "." in asked.uri:
                raise Declined(kind.UNSUPPORTED_FORMAT, f"{text}. Worlds of files come by ~/reconstruct")
            raise PWError(text, code=ErrorCode.UNKNOWN_SCENE)
        self._running.loading = True
        try:
            if entry.reconstructed:
                self.move(SelectRequest(entry.id), alone=True)
            else:
                self._make(entry.id)
        finally:
            self._running.loading = False
        self._running.stop()
        response.world = self._current(kind.NO_RESOURCE)

    def _make(self, name: str) -> None:
        node, held = self.node, Pass("reconstruct")
        job = None
        node.enter(held, wait=False)
        try:
            job = node.worker.submit(ReconstructRequest(config=self._readers.read(ConfigRequest(name))))
            node.report(status="reconstructing", stage="starting", fraction=0.0)
            job.future.result()
        finally:
            if job is None or job.done:
                node.leave(held)

    def unload_world(self, request: Any, response: Any) -> None:
        """Work on no scene; it stays in the store."""
        self._current(UnloadWorld.Response.NO_WORLD_LOADED)
        self.move(UnselectRequest(), alone=True)

    def _current(self, none: int) -> Any:
        snapshot = self.node.worker.snapshot
        if not snapshot.scene_id:
            raise Declined(none, "no world is loaded")
        return self._world(SceneEntry(snapshot.scene_id, snapshot.title, True, None, snapshot.created))

    def _world(self, entry: SceneEntry) -> Any:
        tags = ["reconstructed" if entry.reconstructed else "configuration"]
        return world_to_message(entry.id, uri=entry.id, description=entry.title, tags=tags)
