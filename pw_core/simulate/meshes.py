"""The mesh of a rigid entity that the deformables meet, in both engines."""

from __future__ import annotations

from typing import Any

from pw_core.scene import Entity

_MOST_FACES = 2000
_NEARLY_CONVEX = 0.1  # of its volume may a mesh of more faces gain, for its hull to stand in


def collision_mesh(entity: Entity) -> Any:
    """The entity's mesh (trimesh) about its centre of mass; its hull where it has many faces and is nearly convex."""
    import trimesh

    mesh = trimesh.Trimesh(entity.mesh.vertices - entity.origin, entity.mesh.faces, process=True)
    if len(mesh.faces) > _MOST_FACES:
        hull = mesh.convex_hull
        mesh = hull if abs(hull.volume / max(mesh.volume, 1e-12) - 1) < _NEARLY_CONVEX else mesh
    return mesh
