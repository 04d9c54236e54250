"""Which entities a filter lets pass."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np
from simulation_interfaces.msg import Bounds, EntityCategory, Result

from pw_core.appearance import EntityPose
from pw_ros.convert.simulation import bounds_to_points, passes_tags, tags_of
from pw_ros.interfaces.simulation.answers import Declined, unsupported
from pw_ros.worker.protocol import Snapshot

MATCH_WITHIN = 2.0
"""[s] for a regular expression; some would take for ever."""
MATCH_MEMORY_KB = 262144
"""For the same reason: what the process that matches may take."""


def passing(snapshot: Snapshot, filters: Any) -> list[str]:
    """Names of the entities that pass all parts of a filter.

    Raises:
        Declined: no regular expression, bounds that are none, or of a type that is not supported.
    """
    poses = {p.name: p for p in snapshot.poses}
    names = [e.name for e in snapshot.entities if e.name in poses]
    if filters.filter:
        found = matching(names, filters.filter)
        names = [n for n in names if n in found]
    if filters.categories and EntityCategory.CATEGORY_OBJECT not in {c.category for c in filters.categories}:
        return []
    tagged = {e.name for e in snapshot.entities if passes_tags(tags_of(e), filters.tags)}
    return [n for n in names if n in tagged and _overlaps(poses[n], filters.bounds)]


def matching(names: Sequence[str], pattern: str) -> set[str]:
    """Those in which a POSIX extended regular expression is found. grep knows that language, and can be ended where an
    expression takes for ever."""
    if re.fullmatch(r"[\w-]+", pattern, flags=re.ASCII):
        return {n for n in names if pattern in n}
    script = f'ulimit -v {MATCH_MEMORY_KB}; exec grep -E -e "$1"'
    given = "".join(f"{n}\n" for n in names)
    try:
        found = subprocess.run(
            ["sh", "-c", script, "sh", pattern], input=given, capture_output=True, text=True, timeout=MATCH_WITHIN,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Declined(Result.RESULT_OPERATION_FAILED, f"filter '{pattern}': {type(error).__name__}") from None
    if found.returncode > 1:
        text = f"filter '{pattern}' is no POSIX extended regular expression: {found.stderr.strip()}"
        raise Declined(Result.RESULT_OPERATION_FAILED, text)
    return set(found.stdout.splitlines())


def _overlaps(pose: EntityPose, bounds: Any) -> bool:
    """Whether an entity's box overlaps with bounds; empty ones are everywhere."""
    if bounds.type == Bounds.TYPE_EMPTY:
        return True
    if bounds.type not in (Bounds.TYPE_BOX, Bounds.TYPE_SPHERE):
        raise unsupported("filters by bounds: boxes and spheres alone")
    points = np.array(bounds_to_points(bounds), np.float64).reshape(-1, 3)
    if len(points) != 2 or not np.isfinite(points).all():
        raise Declined(Result.RESULT_OPERATION_FAILED, "bounds of a box or sphere are two points")
    low, high = pose.bounds
    if bounds.type == Bounds.TYPE_BOX:
        return bool((low <= points.max(0)).all() and (high >= points.min(0)).all())
    nearest = np.clip(points[0], low, high)
    return bool(np.linalg.norm(nearest - points[0]) <= points[1, 0])
