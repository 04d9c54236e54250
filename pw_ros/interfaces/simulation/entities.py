"""Entities: which there are, where they are, and put elsewhere. From the last snapshot, so that they answer while
anything runs."""

from __future__ import annotations

from typing import Any

from simulation_interfaces.msg import Result
from simulation_interfaces.srv import SetEntityState

from pw_core.appearance import EntityPose
from pw_core.errors import ErrorCode, PWError
from pw_core.gaussians import quats_to_rotations
from pw_core.scene import Entity
from pw_ros.convert.geometry import finite, matrix_to_wxyz, pose_to_matrix
from pw_ros.convert.simulation import box_to_bounds, chosen_parts, entity_to_simulation, pose_to_simulation
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.simulation.answers import Declined, SimulationServices
from pw_ros.interfaces.simulation.filters import passing
from pw_ros.worker.scene_requests import SetEntityRequest


class EntityServices(SimulationServices):
    """They wait for no simulation; what moves an entity, for a running goal that is to move the head too."""

    def __init__(self, node: NodeContext, prefix: str) -> None:
        handlers = {
            "GetEntities": self.get_entities, "GetEntitiesStates": self.get_entities_states,
            "GetEntityState": self.get_entity_state, "GetEntityInfo": self.get_entity_info,
            "GetEntityBounds": self.get_entity_bounds, "SetEntityState": self.set_entity_state,
        }  # fmt: skip
        super().__init__(node, prefix, handlers)

    def get_entities(self, request: Any, response: Any) -> None:
        """Names."""
        response.entities = passing(self.scene(), request.filters)

    def get_entities_states(self, request: Any, response: Any) -> None:
        """Names and states, of one instant."""
        snapshot = self.scene()
        response.entities = passing(snapshot, request.filters)
        poses = {p.name: p for p in snapshot.poses}
        response.states = [self._state(poses[name]) for name in response.entities]

    def get_entity_state(self, request: Any, response: Any) -> None:
        """One state."""
        response.state = self._state(self._of(request.entity)[1])

    def get_entity_info(self, request: Any, response: Any) -> None:
        """What it is."""
        response.info = entity_to_simulation(self._of(request.entity)[0])

    def get_entity_bounds(self, request: Any, response: Any) -> None:
        """The box of its particles along the axes of its own frame."""
        entity, pose = self._of(request.entity)
        own = self.scene().positions[entity.particles] - pose.position
        turned = own @ quats_to_rotations(pose.orientation)
        response.bounds = box_to_bounds(turned.min(0), turned.max(0))

    def set_entity_state(self, request: Any, response: Any) -> None:
        """A new state of the world, committed. Accelerations come from forces and are passed over."""
        self._of(request.entity)
        pose, twist, acceleration = chosen_parts(request)
        asked: dict[str, Any] = {}
        try:
            world = self.node.frames.to_world(request.state.header.frame_id)
            if pose:
                matrix = pose_to_matrix(request.state.pose, what="state.pose", code=ErrorCode.INVALID_FRAME)
                matrix = matrix if world is None else world @ matrix
                asked |= {"position": matrix[:3, 3], "orientation": matrix_to_wxyz(matrix[:3, :3])}
        except PWError as error:
            raise Declined(SetEntityState.Response.INVALID_POSE, str(error)) from None
        if twist:
            for name in ("linear", "angular"):
                v = getattr(request.state.twist, name)
                along = finite([v.x, v.y, v.z], f"state.twist.{name}", ErrorCode.INVALID_ACTION)
                asked[name] = along if world is None else world[:3, :3] @ along
        if asked:
            try:
                self.move(SetEntityRequest(entity=request.entity, **asked))
            except PWError as error:
                if error.code != ErrorCode.OUT_OF_BOUNDS:
                    raise
                raise Declined(SetEntityState.Response.INVALID_POSE, str(error)) from None
        elif acceleration:
            text = "accelerations come from forces and cannot be set"
            raise Declined(Result.RESULT_FEATURE_UNSUPPORTED, text)

    def _of(self, name: str) -> tuple[Entity, EntityPose]:
        snapshot = self.scene()
        poses = {p.name: p for p in snapshot.poses}
        for entity in snapshot.entities:
            if entity.name == name and name in poses:
                return entity, poses[name]
        raise PWError(f"entity '{name}' is none of {', '.join(poses)}", code=ErrorCode.UNKNOWN_ENTITY)

    def _state(self, pose: EntityPose) -> Any:
        return pose_to_simulation(pose, frame_id=self.node.frames.frame_id, stamp=self.node.now())
