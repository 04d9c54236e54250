"""What a planner can want of an entity: terms of an objective, as data. YAML and messages hold the same fields.

A term measures one instant in a unit of its own, 0 where it is satisfied; an objective weighs and adds them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from pw_core.actions import Vector
from pw_core.config import Part
from pw_core.errors import ErrorCode, PlanError
from pw_core.gaussians import F64
from pw_core.plan.moment import Measure, Moment, Setting

When = Literal["end", "along", "worst"]
"""The last instant; the mean over the way; the worst instant of the way."""


class Term(Part):
    """Base of all. weight multiplies the measure, whose unit each term names."""

    sees_deformation: ClassVar[bool] = False
    """Whether its measure looks at C, F, Jp of particles: a batch on a GPU fetches them only where a term says so."""
    name: str = Field(default="", description="how results call it; empty: its type")
    weight: float = Field(default=1.0, gt=0, description="cost per unit of the measure")
    when: When = "end"

    @property
    def label(self) -> str:
        """How results call it."""
        return self.name or str(getattr(self, "type", type(self).__name__))

    @abstractmethod
    def prepare(self, setting: Setting) -> Measure:
        """How to measure instants of a candidate from there.

        Raises:
            PlanError: UNKNOWN_ENTITY, INVALID_OBJECTIVE; the message names the term and what would be right.
        """


class Reach(Term):
    """An entity's centroid (of a rigid one: its frame's origin) is to be at a place: distance [m].

    With `orientation`, of a rigid entity: plus `metres_per_radian` times the angle to it [rad].
    """

    type: Literal["reach"] = "reach"
    entity: str
    position: Vector = Field(description="[m]")
    axes: tuple[bool, bool, bool] = Field(default=(True, True, True), description="which of x, y, z count")
    orientation: tuple[float, float, float, float] | None = Field(default=None, description="wxyz, of a rigid entity")
    metres_per_radian: float = Field(default=0.05, ge=0, description="what a radian of misalignment costs [m]")

    @model_validator(mode="after")
    def _some_axis(self) -> Reach:
        if not any(self.axes):
            raise ValueError("axes must leave at least one of x, y, z")
        return self

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        own = setting.particles(self.entity, term=self.label)
        goal, counts = np.array(self.position), np.array(self.axes)
        if self.orientation is not None and self.entity not in setting.start.physics.bodies:
            raise PlanError(
                f"{self.label}: entity '{self.entity}' is deformable and has no orientation to reach; use `shape`",
                code=ErrorCode.INVALID_OBJECTIVE,
            )
        wanted = None if self.orientation is None else np.array(self.orientation) / np.linalg.norm(self.orientation)

        def measure(moment: Moment) -> float:
            body = moment.physics.bodies.get(self.entity)
            at = body.position if body is not None else moment.positions[own].astype(np.float64).mean(0)
            away = float(np.linalg.norm((at - goal)[counts]))
            if wanted is None or body is None:
                return away
            angle = 2 * np.arccos(min(1.0, abs(float(body.orientation @ wanted))))
            return away + self.metres_per_radian * float(angle)

        return measure


class _Region(Term):
    """A box between two corners, or a ball [m]."""

    entity: str
    low: Vector | None = Field(default=None, description="the box's lowest corner [m]")
    high: Vector | None = Field(default=None, description="the box's highest corner [m]")
    center: Vector | None = Field(default=None, description="the ball's centre [m]")
    radius: float = Field(default=0.0, ge=0, description="the ball's radius [m]")

    @model_validator(mode="after")
    def _one_region(self) -> _Region:
        box, ball = self.low is not None and self.high is not None, self.center is not None and self.radius > 0
        if box == ball:
            raise ValueError("give a box (low and high) or a ball (center and radius), one of the two")
        if box and self.low is not None and self.high is not None and not all(
            a < b for a, b in zip(self.low, self.high)
        ):  # fmt: skip
            raise ValueError(f"low {list(self.low)} must lie below high {list(self.high)} on every axis")
        return self

    def depth_inside(self, positions: F64) -> F64:
        """How far positions [m] (n, 3) lie inside the region [m] (n,); below 0 outside."""
        if self.center is not None:
            return np.asarray(self.radius - np.linalg.norm(positions - np.array(self.center), axis=1))
        return np.asarray(np.minimum(positions - np.array(self.low), np.array(self.high) - positions).min(1))


class StayIn(_Region):
    """All of an entity is to be in the region: the share of it outside, 0 to 1, plus `slope` per metre of its mean
    distance outside, so that a search is led there from afar."""

    type: Literal["stay_in"] = "stay_in"
    slope: float = Field(default=1.0, ge=0, description="[1/m]")

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        own = setting.particles(self.entity, term=self.label)

        def measure(moment: Moment) -> float:
            depth = self.depth_inside(moment.positions[own].astype(np.float64))
            return float((depth < 0).mean() + self.slope * np.maximum(-depth, 0).mean())

        return measure


class StayOut(_Region):
    """Nothing of an entity is to be in the region: the share of it inside, 0 to 1, plus `slope` per metre of its mean
    depth inside."""

    type: Literal["stay_out"] = "stay_out"
    slope: float = Field(default=1.0, ge=0, description="[1/m]")

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        own = setting.particles(self.entity, term=self.label)

        def measure(moment: Moment) -> float:
            depth = self.depth_inside(moment.positions[own].astype(np.float64))
            return float((depth > 0).mean() + self.slope * np.maximum(depth, 0).mean())

        return measure


class Cover(Term):
    """An entity is to cover a rectangle of the table: the share of its cells with nothing of it above, 0 to 1."""

    type: Literal["cover"] = "cover"
    entity: str
    low: tuple[float, float] = Field(description="x and y [m] of the rectangle's lowest corner")
    high: tuple[float, float] = Field(description="x and y [m] of its highest corner")
    cells: int = Field(default=24, ge=2, le=512, description="along the longer side")

    @model_validator(mode="after")
    def _ordered(self) -> Cover:
        return _ordered_rectangle(self)

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        columns = Columns(setting, self.entity, self.low, self.high, cells=self.cells, term=self.label)
        return lambda moment: float((columns.heights(moment) <= 0).mean())


class Thickness(Term):
    """An entity is to be `height` thick over a rectangle: mean deviation of its height [m] over the rectangle's cells
    (with `only_where_it_is`, over those that it covers)."""

    type: Literal["thickness"] = "thickness"
    entity: str
    height: float = Field(gt=0, description="[m] above the table")
    low: tuple[float, float] = Field(description="x and y [m] of the rectangle's lowest corner")
    high: tuple[float, float] = Field(description="x and y [m] of its highest corner")
    cells: int = Field(default=16, ge=2, le=512, description="along the longer side")
    only_where_it_is: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Thickness:
        return _ordered_rectangle(self)

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        columns = Columns(setting, self.entity, self.low, self.high, cells=self.cells, term=self.label)

        def measure(moment: Moment) -> float:
            heights = columns.heights(moment)
            counted = heights[heights > 0] if self.only_where_it_is else heights
            # An entity that left the rectangle is as far from any thickness as one can be there.
            return float(np.abs(counted - self.height).mean()) if len(counted) else self.height

        return measure


class Undisturbed(Term):
    """Entities (empty: all but those the actions name) are to stay where they were: their particles' mean way [m]."""

    type: Literal["undisturbed"] = "undisturbed"
    entities: tuple[str, ...] = ()

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        acted_on = {a.entity for a in setting.actions}
        names = self.entities or tuple(e.name for e in setting.scene.entities if e.name not in acted_on)
        if not names:
            return lambda moment: 0.0
        slices = [setting.particles(n, term=self.label) for n in names]
        index = np.concatenate([np.arange(s.start, s.stop) for s in slices])
        before = setting.start.positions[index].astype(np.float64)
        return lambda moment: float(np.linalg.norm(moment.positions[index] - before, axis=1).mean())


class AtRest(Term):
    """An entity (empty: every one that is no tool) is to be at rest: root mean square speed of its particles [m/s]."""

    type: Literal["at_rest"] = "at_rest"
    entity: str = ""

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        scene = setting.scene
        names = [self.entity] if self.entity else [e.name for e in scene.entities if e.kind != "tool"]
        slices = [setting.particles(n, term=self.label) for n in names]
        index = np.concatenate([np.arange(s.start, s.stop) for s in slices])
        return lambda moment: float(np.sqrt((moment.velocities[index].astype(np.float64) ** 2).sum(1).mean()))


class Effort(Term):
    """Acting is to cost: the actions' impulse, magnitude times duration ([N s] of pushes and pokes, a poke's half sine
    by its mean; [m/s] of winds and gravity), and a tool's way [m]. The same at every instant."""

    type: Literal["effort"] = "effort"

    def prepare(self, setting: Setting) -> Measure:
        """See Term."""
        total = 0.0
        for action in setting.actions:
            if action.type == "tool":
                places = np.array([p.position for p in action.poses])
                total += float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
            else:
                total += action.magnitude * action.duration * (2 / np.pi if action.type == "poke" else 1.0)
        return lambda moment: total


R = TypeVar("R", "Cover", "Thickness")


class Columns:
    """Heights of an entity above the table over the cells of a rectangle."""

    def __init__(
        self, setting: Setting, entity: str, low: tuple[float, float], high: tuple[float, float], *, cells: int,
        term: str,
    ) -> None:  # fmt: skip
        self._own = setting.particles(entity, term=term)
        self._low = np.array(low)
        size = np.array(high) - self._low
        # A cell narrower than a particle would be empty between two of them.
        self._size = setting.scene.entity(entity).particle_size_m
        self._cell = max(float(size.max()) / cells, self._size)
        self.shape = tuple(np.maximum(np.ceil(size / self._cell - 1e-9).astype(int), 1).tolist())

    def heights(self, moment: Moment) -> F64:
        """Of the highest particle over each cell, its own size included [m] (n,); 0 where there is none."""
        p = moment.positions[self._own].astype(np.float64)
        at = np.floor((p[:, :2] - self._low) / self._cell).astype(int)
        inside = ((at >= 0) & (at < self.shape)).all(1)
        out = np.zeros(self.shape)
        np.maximum.at(out, (at[inside, 0], at[inside, 1]), p[inside, 2] + self._size / 2)
        return out.ravel()


def _ordered_rectangle(term: R) -> R:
    if not all(a < b for a, b in zip(term.low, term.high)):
        raise ValueError(f"low {list(term.low)} must lie below high {list(term.high)} on both axes")
    return term
