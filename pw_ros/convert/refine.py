"""A refine goal's settings for the core, and what the core found as messages: pure functions that need no node."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from builtin_interfaces.msg import Time

from pw_core.errors import ErrorCode, PWError
from pw_msgs.msg import ParameterEstimate, RefineFigures

UNITS = {
    "youngs_modulus_pa": ("stiffness", "Pa"), "viscosity_pa_s": ("viscosity", "Pa s"),
    "yield_stress_pa": ("yield_stress", "Pa"), "floor_friction": ("friction", "1"),
    "wind_x": ("wind_x", "m/s^2"), "wind_y": ("wind_y", "m/s^2"), "wind_z": ("wind_z", "m/s^2"),
}  # fmt: skip
"""How `pw_core.calibrate.constants` calls a constant: its name and unit in messages."""


def figures_of(figures: Mapping[str, float], when: str, *, loss: float = math.nan) -> RefineFigures:
    """Figures of a corrected state, "before" its refinement or "after" it; what was not measured is NaN."""
    moved = when == "after"
    return RefineFigures(
        loss=loss, psnr=figures.get(f"psnr_image_{when}", math.nan), psnr_masked=figures.get(f"psnr_{when}", math.nan),
        mask_iou=figures.get(f"mask_iou_{when}", math.nan),
        mean_correction=figures.get("moved_mean_m", 0.0) if moved else 0.0,
        max_correction=figures.get("moved_max_m", 0.0) if moved else 0.0,
    )  # fmt: skip


def estimate_to_message(estimate: Any, applied: Mapping[str, float]) -> ParameterEstimate:
    """A fitted constant; `applied`: the constants of the corrected state."""
    entity, _, key = estimate.name.rpartition(".")
    name, unit = UNITS.get(key, (key, ""))
    deviation = estimate.error if key.startswith("wind") else estimate.error * abs(estimate.value)
    return ParameterEstimate(
        name=name, entity=entity, unit=unit, before=estimate.before, after=estimate.value,
        deviation=deviation if estimate.observable else math.inf, applied=estimate.name in applied,
    )  # fmt: skip


def goal_to_changes(request: Any) -> dict[str, Any]:
    """Fields of RefineConfig that a goal sets.

    Raises:
        PWError: INVALID_STRENGTH; INVALID_TARGET for weights.
    """
    changes: dict[str, Any] = {"seed": int(request.seed), "estimate": tuple(request.estimate)}
    if request.iterations:
        changes["iterations"] = int(request.iterations)
    if request.prompt:
        changes["prompt"] = request.prompt
    strengths = [None if v.strength < 0 else round(float(v.strength), 6) for v in request.views]
    if any(s is not None and not 0 <= s <= 1 for s in strengths):
        text = f"views: strengths {strengths}, expected 0 to 1 each (or below 0: as configured)"
        raise PWError(text, code=ErrorCode.INVALID_STRENGTH)
    if any(s is not None for s in strengths):
        changes["strengths"] = tuple(strengths)
    weights = [float(v.weight) for v in request.views]
    if any(not (math.isfinite(w) and w > 0) for w in weights) or len(set(weights[1:])) > 1:
        text = f"views: weights {weights}, expected above 0, and the same for all views but the first"
        raise PWError(text, code=ErrorCode.INVALID_TARGET)
    if len(set(weights)) > 1:
        changes["side_weight"] = weights[1] / weights[0]
    return changes


def nanoseconds_of(stamp: Time) -> int:
    """[ns]."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
