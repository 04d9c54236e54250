"""Entities and worlds in the words of ROS's simulation_interfaces, of the installed release. Pure functions."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Accel, Twist, Vector3
from simulation_interfaces.msg import (
    Bounds,
    EntityCategory,
    EntityInfo,
    EntityState,
    Resource,
    TagsFilter,
    WorldResource,
)
from std_msgs.msg import Header

from pw_core.appearance import EntityPose
from pw_core.gaussians import F64
from pw_core.scene import Entity
from pw_ros.convert.geometry import arrays_to_pose, xyz_to_vector


def pose_to_simulation(pose: EntityPose, *, frame_id: str, stamp: Time) -> EntityState:
    """Where an entity is and how it moves; accelerations are not known and zero."""
    return EntityState(
        header=Header(frame_id=frame_id, stamp=stamp),
        pose=arrays_to_pose(pose.position, pose.orientation),
        twist=Twist(linear=xyz_to_vector(pose.linear), angular=xyz_to_vector(pose.angular)),
        acceleration=Accel(),
    )


def tags_of(entity: Entity) -> list[str]:
    """Its kind (deformable, rigid, tool) and the model of its material."""
    return [entity.kind, *([entity.material.model] if entity.material.model != entity.kind else [])]


def entity_to_simulation(entity: Entity) -> EntityInfo:
    """What an entity is: an object of no particular category, told apart by tags."""
    count = entity.particles.stop - entity.particles.start
    text = f"{entity.kind}, {entity.material.model}, {entity.mass_kg:.3g} kg, {count} particles"
    category = EntityCategory(category=EntityCategory.CATEGORY_OBJECT)
    return EntityInfo(category=category, description=text, tags=tags_of(entity))


def box_to_bounds(low: F64, high: F64) -> Bounds:
    """A box [m] between two corners (3,)."""
    return Bounds(type=Bounds.TYPE_BOX, points=[xyz_to_vector(high), xyz_to_vector(low)])


def bounds_to_points(bounds: Bounds) -> list[tuple[float, float, float]]:
    """The points of bounds."""
    return [_xyz(p) for p in bounds.points]


def _xyz(v: Vector3) -> tuple[float, float, float]:
    return float(v.x), float(v.y), float(v.z)


def passes_tags(tags: list[str], wanted: TagsFilter) -> bool:
    """Whether something with these tags is among the wanted."""
    have = [tag in tags for tag in wanted.tags]
    return not have or (all(have) if wanted.filter_mode == TagsFilter.FILTER_MODE_ALL else any(have))


def resource_field(kind: Any) -> str:
    """What a type calls the world's resource: `world_resource` from 2.1 on, `level_resource` before; empty: it has its
    parts as fields of its own."""
    fields = kind.get_fields_and_field_types()
    return next((name for name in ("world_resource", "level_resource") if name in fields), "")


def world_to_message(name: str, *, uri: str, description: str, tags: list[str], kind: Any = WorldResource) -> Any:
    """A world that can be loaded."""
    more = {resource_field(kind): Resource(uri=uri)}
    return kind(name=name, description=description, tags=tags, **more)


def asked_resource(request: Any) -> Any:
    """What LoadWorld names: something with `uri` and `resource_string`."""
    field = resource_field(type(request))
    return getattr(request, field) if field else request


def chosen_parts(request: Any) -> tuple[bool, bool, bool]:
    """Whether SetEntityState sets pose, twist and acceleration: as its flags say from 2.1 on, all before."""
    if hasattr(request, "set_pose"):
        return bool(request.set_pose), bool(request.set_twist), bool(request.set_acceleration)
    return True, True, True
