"""Templates: actions in which some numbers are free, and the candidates that they can become.

In the plain fields of an action any number may be `{"free": [low, high]}`; with `"log": true` it is spread evenly over
its logarithm. Numbers that share a `"name"` are one number. Two fields have forms of their own:

    direction: {azimuth_deg: ..., elevation_deg: ...}       0 is the world's x axis, 90 its y axis; elevation upwards
    center: {on: entity, azimuth_deg: ..., height: ..., inset: ...}   on its surface: height 0 at its foot, 1 at its
                                                                      top; `inset` [m] inside it
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action, parse_action
from pw_core.errors import ErrorCode, PlanError, RolloutError
from pw_core.gaussians import F64
from pw_core.plan.moment import Setting


@dataclass(frozen=True)
class Free:
    """A free number: where it stands, its range, and whether it is spread over its logarithm."""

    name: str
    low: float
    high: float
    log: bool = False

    def at(self, u: float) -> float:
        """Its value at `u`, 0 to 1."""
        if self.log:
            return float(self.low * (self.high / self.low) ** u)
        return float(self.low + (self.high - self.low) * u)

    def inverse(self, value: float) -> float:
        """Which u gives that value; the nearer end for one out of range."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


class Template:
    """Action sequences with free numbers.

    Args:
        actions: plain fields of each action, as `parse_action` takes them, with free numbers.

    Raises:
        PlanError (INVALID_TEMPLATE): no list of actions, none in it, no free number, or a range that is upside down.
    """

    def __init__(self, actions: Sequence[Mapping[str, Any]]) -> None:
        if isinstance(actions, (str, Mapping)) or not all(isinstance(a, Mapping) for a in actions):
            raise PlanError(f"a template is a list of actions, each with its fields; got {actions!r:.80}",
                            code=ErrorCode.INVALID_TEMPLATE)  # fmt: skip
        if not actions:
            raise PlanError("the template has no actions", code=ErrorCode.INVALID_TEMPLATE)
        self.actions = [dict(a) for a in actions]
        self.free: list[Free] = []
        self._find(self.actions, "actions")
        if not self.free:
            raise PlanError(
                'nothing in the template is free: write a number as {"free": [low, high]}, or evaluate the actions as '
                "they are", code=ErrorCode.INVALID_TEMPLATE,
            )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Of the free numbers, in the order of a point's coordinates."""
        return [f.name for f in self.free]

    def values(self, point: NDArray[np.floating]) -> dict[str, float]:
        """The free numbers at a point of the unit cube (d,), by name."""
        return {f.name: f.at(float(u)) for f, u in zip(self.free, point)}

    def point(self, values: Mapping[str, float]) -> F64:
        """The point of the unit cube (d,) nearest to those values; the middle for what they do not name."""
        return np.array([f.inverse(values[f.name]) if f.name in values else 0.5 for f in self.free])

    def at(self, point: NDArray[np.floating], setting: Setting) -> tuple[Action, ...]:
        """The actions at a point of the unit cube (d,), for a rollout from there.

        Raises:
            PlanError (INVALID_TEMPLATE): the fields make no action, or name no entity; says which action.
        """
        values = self.values(point)
        out = []
        for i, fields in enumerate(self.actions):
            filled = _filled(fields, values, f"actions.{i}")
            try:
                out.append(parse_action(_resolved(filled, setting)))
            except RolloutError as error:
                raise PlanError(f"template, action {i}: {error}", code=ErrorCode.INVALID_TEMPLATE) from None
        return tuple(out)

    def _find(self, node: Any, path: str) -> None:
        if isinstance(node, Mapping) and "free" in node:
            found = _free(node, path)
            known = {f.name: f for f in self.free}
            if found.name not in known:
                self.free.append(found)
            elif known[found.name] != found:
                raise PlanError(f"template: '{found.name}' has two ranges", code=ErrorCode.INVALID_TEMPLATE)
        elif isinstance(node, Mapping):
            for key, value in node.items():
                self._find(value, f"{path}.{key}")
        elif isinstance(node, Sequence) and not isinstance(node, str):
            for i, value in enumerate(node):
                self._find(value, f"{path}.{i}")


def _free(node: Mapping[str, Any], path: str) -> Free:
    span = node["free"]
    unknown = set(node) - {"free", "name", "log"}
    try:
        low, high = (float(v) for v in span)
    except (TypeError, ValueError):
        raise PlanError(f"template, {path}: free must be [low, high], got {span!r:.80}",
                        code=ErrorCode.INVALID_TEMPLATE) from None  # fmt: skip
    log = bool(node.get("log", False))
    why = ""
    if unknown:
        why = f"knows free, name and log, not {', '.join(sorted(unknown))}"
    elif not (math.isfinite(low) and math.isfinite(high) and low < high):
        why = f"needs a low below its high, got [{low:g}, {high:g}]"
    elif log and low <= 0:
        why = f"is spread over its logarithm, so its low must be over 0, got {low:g}"
    if why:
        raise PlanError(f"template, {path}: a free number {why}", code=ErrorCode.INVALID_TEMPLATE)
    return Free(str(node.get("name") or path.removeprefix("actions.")), low, high, log)


def _filled(node: Any, values: Mapping[str, float], path: str) -> Any:
    if isinstance(node, Mapping):
        if "free" in node:
            return values[str(node.get("name") or path.removeprefix("actions."))]
        return {k: _filled(v, values, f"{path}.{k}") for k, v in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_filled(v, values, f"{path}.{i}") for i, v in enumerate(node)]
    return node


def _resolved(fields: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """Directions by angles and centres on surfaces as plain vectors."""
    direction, center = fields.get("direction"), fields.get("center")
    if isinstance(direction, Mapping):
        fields = {**fields, "direction": _unit(direction)}
    if isinstance(center, Mapping):
        fields = {**fields, "center": on_surface(setting, **_only(center, "center"))}
    return fields


def _unit(angles: Mapping[str, Any]) -> tuple[float, float, float]:
    extra = set(angles) - {"azimuth_deg", "elevation_deg"}
    if extra or "azimuth_deg" not in angles:
        raise PlanError(f"template: direction takes azimuth_deg and elevation_deg, got {_listed(angles)}",
                        code=ErrorCode.INVALID_TEMPLATE)  # fmt: skip
    _check_numbers(angles, "direction")
    a, e = math.radians(angles["azimuth_deg"]), math.radians(angles.get("elevation_deg", 0.0))
    return (math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e))


def _only(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    known = {"on", "azimuth_deg", "height", "inset"}
    if set(fields) - known or "on" not in fields:
        raise PlanError(f"template: {what} takes on, azimuth_deg, height and inset, got {_listed(fields)}",
                        code=ErrorCode.INVALID_TEMPLATE)  # fmt: skip
    _check_numbers({k: v for k, v in fields.items() if k != "on"}, what)
    return dict(fields)


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, fields))) or "nothing"


def _check_numbers(fields: Mapping[str, Any], what: str) -> None:
    for key, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise PlanError(f"template: {what}.{key} must be a finite number, got {value!r:.40}",
                            code=ErrorCode.INVALID_TEMPLATE)  # fmt: skip


def on_surface(
    setting: Setting, *, on: str, azimuth_deg: float = 0.0, height: float = 0.5, inset: float = 0.0
) -> tuple[float, float, float]:
    """The place [m] (3,) on an entity's outside where a ray from its middle at that azimuth and height leaves it.

    Args:
        on: the entity. height: 0 at its foot, 1 at its top. inset [m]: how far inside the surface.
    """
    p = setting.start.positions[setting.particles(on, term="template")].astype(np.float64)
    low, high = p[:, 2].min(), p[:, 2].max()
    z = low + height * (high - low)
    size = setting.scene.entity(on).particle_size_m
    layer = p[np.abs(p[:, 2] - z) <= max(1.5 * size, 0.05 * (high - low))]
    layer = layer if len(layer) else p
    middle = layer[:, :2].mean(0)
    a = math.radians(azimuth_deg)
    out = np.array([math.cos(a), math.sin(a)])
    rel = layer[:, :2] - middle
    near = np.abs(rel @ np.array([-out[1], out[0]])) <= 1.5 * size
    reach = float((rel[near] @ out).max()) if near.any() else float((rel @ out).max())
    x, y = middle + out * max(reach + size / 2 - inset, 0.0)
    return (float(x), float(y), float(z))
