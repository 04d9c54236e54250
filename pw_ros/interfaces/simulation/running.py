"""What the simulation is doing, and back to its start. It moves by steps alone, so it never plays: it is stopped at the
reconstruction, and paused anywhere else, or where it was told so."""

from __future__ import annotations

from typing import Any

from simulation_interfaces.msg import Result, SimulationState
from simulation_interfaces.srv import ResetSimulation, SetSimulationState

from pw_core.tree import ROOT
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.simulation.answers import Declined, SimulationServices, unsupported
from pw_ros.worker.requests import ResetRequest
from pw_ros.worker.scene_requests import RewindRequest

NAMES = {
    SimulationState.STATE_STOPPED: "stopped", SimulationState.STATE_PLAYING: "playing",
    SimulationState.STATE_PAUSED: "paused", SimulationState.STATE_QUITTING: "quitting",
}  # fmt: skip


class RunningServices(SimulationServices):
    """They wait for no simulation; a reset, for a running goal that is to move the head too."""

    def __init__(self, node: NodeContext, prefix: str) -> None:
        self.loading = False
        self._paused: tuple[str, float] | None = None
        handlers = {
            "GetSimulationState": self.get_simulation_state, "SetSimulationState": self.set_simulation_state,
            "ResetSimulation": self.reset_simulation,
        }  # fmt: skip
        super().__init__(node, prefix, handlers)

    @property
    def state(self) -> int:
        """One of SimulationState's."""
        snapshot = self.node.worker.snapshot
        if self.loading or self.node.gate.running == "reconstruct":
            return int(SimulationState.STATE_LOADING_WORLD)
        if not snapshot.scene_id:
            return int(SimulationState.STATE_NO_WORLD)
        at_start = snapshot.head == ROOT and self._paused != (snapshot.scene_id, snapshot.created)
        return int(SimulationState.STATE_STOPPED if at_start else SimulationState.STATE_PAUSED)

    def need_paused(self) -> None:
        """Before a step. Declined: it is not."""
        if self.state == SimulationState.STATE_STOPPED:
            raise Declined(Result.RESULT_OPERATION_FAILED, "the simulation is stopped: set it to STATE_PAUSED first")
        self.scene()

    def stop(self) -> None:
        """The head goes back to the reconstruction; no state is lost."""
        self.move(ResetRequest())
        self._paused = None

    def get_simulation_state(self, request: Any, response: Any) -> None:
        """See `state`."""
        response.state.state = self.state

    def set_simulation_state(self, request: Any, response: Any) -> None:
        """Stop or pause it."""
        wanted, now = request.state.state, self.state
        if wanted not in (SimulationState.STATE_STOPPED, SimulationState.STATE_PAUSED):
            name = NAMES.get(wanted, f"state {wanted}")
            raise unsupported(f"{name}: this world moves by steps (StepSimulation, SimulateSteps) and ~/rollout alone")
        if now == SimulationState.STATE_LOADING_WORLD:
            raise Declined(Result.RESULT_INCORRECT_STATE, "a world is being loaded")
        snapshot = self.scene()
        if wanted == now:
            raise Declined(SetSimulationState.Response.ALREADY_IN_TARGET_STATE, f"it is {NAMES[now]} already")
        if wanted == SimulationState.STATE_STOPPED:
            self.stop()
        else:
            self._paused = (snapshot.scene_id, snapshot.created)

    def reset_simulation(self, request: Any, response: Any) -> None:
        """Time, physics or both as reconstructed; a paused simulation stays paused."""
        kind, scope = ResetSimulation.Request, request.scope or ResetSimulation.Request.SCOPE_ALL
        snapshot, was = self.scene(), self.state
        both = kind.SCOPE_TIME | kind.SCOPE_STATE
        if scope != kind.SCOPE_ALL and scope & ~both:
            raise unsupported(f"scope {scope}: nothing can be spawned here, so time (1), state (2), both or all alone")
        if scope & both == both:
            self.move(ResetRequest())
            if was == SimulationState.STATE_PAUSED:
                self._paused = (snapshot.scene_id, snapshot.created)
        else:
            self.move(RewindRequest(time=bool(scope & kind.SCOPE_TIME), physics=bool(scope & kind.SCOPE_STATE)))
