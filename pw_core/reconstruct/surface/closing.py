"""Volumes to meshes without holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trimesh


def largest_closed_part(mesh: trimesh.Trimesh) -> trimesh.Trimesh | None:
    """Of a mesh's watertight parts the one with the largest volume; None where there is none."""
    parts = mesh.split(only_watertight=True)
    return max(parts, key=lambda m: abs(m.volume)) if len(parts) else None
