"""The mesh of a rigid entity that the deformables meet, in both engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pw_core.scene import Entity


@dataclass(frozen=True, kw_only=True)
class MeshOptions:
    """When a convex hull stands in for a mesh."""

    most_faces: int = 2000
    """Meshes of no more faces are taken as they are: distances to them take seconds at most."""
    convexity_tolerance: float = 0.1
    """The hull's volume may be larger by so much of the mesh's."""


def collision_mesh(entity: Entity, *, options: MeshOptions = MeshOptions()) -> Any:
    """The entity's mesh (trimesh) about its centre of mass; its hull where it has many faces and is nearly convex."""
    import trimesh

    mesh = trimesh.Trimesh(entity.mesh.vertices - entity.origin, entity.mesh.faces, process=True)
    if len(mesh.faces) > options.most_faces:
        hull = mesh.convex_hull
        mesh = hull if abs(hull.volume / max(mesh.volume, 1e-12) - 1) < options.convexity_tolerance else mesh
    return mesh
