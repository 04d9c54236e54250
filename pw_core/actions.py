"""The physical actions a planner can ask for: data, not code. YAML and pw_msgs/PhysicalAction hold the same fields.

Times count from the rollout's start [s]; points, directions and poses are in the scene's world frame (x forward,
y left, z up, [m]); quaternions are wxyz.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from pw_core.limits import LIMITS, shortened

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
"""Beyond 1000 km single precision tells no metres apart."""
Vector = tuple[Coordinate, Coordinate, Coordinate]
Falloff = Literal["none", "linear", "gaussian"]
FALLOFF = "of its strength from the centre outwards: none, linear to 0 at the radius, or a bell"


class _Action(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(default="", max_length=LIMITS.text_chars, description="for reports")
    start: float = Field(default=0.0, ge=0, description="[s] from the rollout's start")
    duration: float = Field(ge=1e-6, description="[s]; shorter than a microsecond is no time that steps resolve")
    entity: str = Field(default="", max_length=LIMITS.text_chars, description="the entity it acts on; empty: all")

    @property
    def end(self) -> float:
        """When it ends [s]."""
        return self.start + self.duration


class _Directed(_Action):
    direction: Vector = Field(description="need not be of unit length, must not be zero")
    magnitude: float = Field(ge=0, le=1e9, description="how strong, in the action's unit")

    @model_validator(mode="after")
    def _has_direction(self) -> _Directed:
        if math.hypot(*self.direction) < 1e-9:
            raise ValueError("direction must not be zero, e.g. [0, 0, -1] for downwards")
        return self

    @property
    def unit(self) -> Vector:
        """The direction at unit length."""
        x, y, z = self.direction
        length = math.hypot(x, y, z)
        return (x / length, y / length, z / length)


class Gravity(_Directed):
    """Replaces the scene's gravity while it lasts; magnitude [m/s²]."""

    type: Literal["gravity"] = "gravity"


class Wind(_Directed):
    """An acceleration field [m/s²]; radius [m] about centre, 0: everywhere."""

    type: Literal["wind"] = "wind"
    center: Vector = Field(default=(0.0, 0.0, 0.0), description="[m], of the region it blows in")
    radius: float = Field(default=0.0, ge=0, le=1e6, description="[m], 0: everywhere")
    falloff: Falloff = Field(default="none", description=FALLOFF)


class _Local(_Directed):
    center: Vector = Field(description="[m], of the region it acts on")
    radius: float = Field(gt=0, le=1e6, description="[m], at least two grid cells")
    falloff: Falloff = Field(default="none", description=FALLOFF)


class Push(_Local):
    """A force held on the region inside the radius; magnitude [N] in all, divided by the mass inside at its start."""

    type: Literal["push"] = "push"


class Poke(_Local):
    """One half-sine pulse of force; magnitude [N] at the peak."""

    type: Literal["poke"] = "poke"


class Pose(BaseModel):
    """Position [m] and orientation wxyz of an entity's frame."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    position: Vector = Field(description="[m]")
    orientation: tuple[float, float, float, float] = Field(
        default=(1.0, 0.0, 0.0, 0.0), description="unit quaternion w, x, y, z"
    )

    @model_validator(mode="after")
    def _is_rotation(self) -> Pose:
        if abs(math.hypot(*self.orientation) - 1) > 1e-2:
            raise ValueError("orientation must be a unit quaternion [w, x, y, z]")
        return self


class Tool(_Action):
    """Moves a rigid entity along timed poses, straight between them; it is let go when the action ends.

    A first time over 0 leaves that long for the way from where the entity is.

    With `relative`, poses are displacements from where the entity is when the action starts (turned about its centre).
    """

    type: Literal["tool"] = "tool"
    entity: str = Field(min_length=1, max_length=LIMITS.text_chars, description="the rigid entity it moves")
    poses: tuple[Pose, ...] = Field(min_length=1, max_length=LIMITS.poses)
    times: tuple[float, ...] = Field(
        max_length=LIMITS.poses, description="[s] from the action's start, increasing, one a pose"
    )
    relative: bool = Field(default=False, description="poses are displacements from where the entity is")

    @model_validator(mode="after")
    def _times_fit(self) -> Tool:
        if len(self.times) != len(self.poses):
            raise ValueError(f"{len(self.poses)} poses but {len(self.times)} times: give one time a pose")
        if self.times[0] < 0:
            raise ValueError(f"times must be >= 0, got {self.times[0]:g}")
        for k, (a, b) in enumerate(zip(self.times, self.times[1:]), 1):
            if b <= a:
                raise ValueError(f"times must increase, but times[{k}] is {b:g} after {a:g}")
        return self


PhysicalAction = Annotated[Gravity | Wind | Push | Poke | Tool, Field(discriminator="type")]
Action = Gravity | Wind | Push | Poke | Tool
_ADAPTER: TypeAdapter[Action] = TypeAdapter(PhysicalAction)


def parse_action(fields: dict[str, object]) -> Action:
    """An action from plain fields, e.g. `{"type": "push", ...}`.

    Raises:
        RolloutError (INVALID_ACTION): unknown type or field, or a value out of range; the message names the field.
    """
    from pydantic import ValidationError

    from pw_core.errors import ErrorCode, RolloutError

    try:
        return _ADAPTER.validate_python(fields)
    except ValidationError as error:
        label = shortened(str(fields.get("name") or fields.get("type") or "?"), LIMITS.name_chars)
        parts = []
        for e in error.errors():
            path = ".".join(str(p) for p in e["loc"][1:]) if len(e["loc"]) > 1 else ""
            parts.append(f"{path}: {e['msg']}" if path else e["msg"])
        raise RolloutError(f"action '{label}': {'; '.join(parts)}", code=ErrorCode.INVALID_ACTION) from None
