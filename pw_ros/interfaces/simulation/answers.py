"""How these services answer: in their own codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulation_interfaces import srv
from simulation_interfaces.msg import Result

from pw_core.errors import ErrorCode, PWError
from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.services.answering import Handler, ServiceGroup

CODES = {
    ErrorCode.UNKNOWN_ENTITY: Result.RESULT_NOT_FOUND,
    ErrorCode.UNKNOWN_SCENE: Result.RESULT_NOT_FOUND,
    ErrorCode.NO_SCENE: Result.RESULT_INCORRECT_STATE,
}
"""What our errors are called there; all others are RESULT_OPERATION_FAILED."""


class Declined(PWError):
    """Not done, for a reason that has a code of its own there."""

    def __init__(self, result: int, text: str) -> None:
        super().__init__(text)
        self.result = result


class SimulationServices(ServiceGroup):
    """Services of simulation_interfaces; those that the installed release does not have are left out."""

    def __init__(self, node: NodeContext, prefix: str, handlers: Mapping[str, Handler]) -> None:
        known = {name: handler for name, handler in handlers.items() if hasattr(srv, name)}
        super().__init__(node, {n: _well(h) for n, h in known.items()}, types=srv, prefix=prefix)

    def refuse(self, response: Any, error: PWError) -> None:
        """See ServiceGroup."""
        tell(response, error)


def _well(handler: Handler) -> Handler:
    """What it answers is well unless it says otherwise."""

    def answer(request: Any, response: Any) -> None:
        handler(request, response)
        if hasattr(response, "result") and response.result.result == Result.RESULT_FEATURE_UNSUPPORTED:
            response.result.result = Result.RESULT_OK

    answer.__name__ = handler.__name__
    return answer


def tell(answer: Any, error: PWError) -> None:
    """Write into a response, or an action's result, why there is no other."""
    if hasattr(answer, "result"):  # GetSimulatorFeatures has none
        code = error.result if isinstance(error, Declined) else CODES.get(ErrorCode(error.code))
        answer.result.result = Result.RESULT_OPERATION_FAILED if code is None else code
        answer.result.error_message = str(error)


def unsupported(text: str) -> Declined:
    """Of what cannot be done here."""
    return Declined(Result.RESULT_FEATURE_UNSUPPORTED, text)
