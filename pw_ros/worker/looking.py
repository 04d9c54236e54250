"""What changes nothing: the world as it is, pictures, trajectories. No ROS here."""

from __future__ import annotations

import math
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import SH_C0
from pw_core.rollout import frames_between, nearest_frame
from pw_core.scene import PhysicsState, Scene, Trajectory
from pw_ros.worker.context import Context
from pw_ros.worker.protocol import FrameData, Picture, Snapshot
from pw_ros.worker.requests import ConfigRequest, Frames, RenderRequest, TrajectoryRequest
from pw_ros.worker.scene_requests import Splats, SplatsRequest

if TYPE_CHECKING:
    from pw_core.appearance import EntityPose
    from pw_core.config import SceneConfig


def snapshot(context: Context) -> Snapshot:
    """See Snapshot."""
    world = context.world
    with world.lock:
        scene = world.scene
        if scene is None:
            return Snapshot()
        head, states, committed = world.state(""), world.states(), frozenset(world.committed)
    shown = context.shown
    if shown is None or shown[0] is not scene or shown[1] != head.id:  # most calls leave the head where it is
        shown = context.shown = (scene, head.id, placed(scene, head.physics), poses_of(scene, head.physics))
    _, _, positions, poses = shown
    return Snapshot(
        scene_id=scene.id,
        title=scene.config.title,
        created=min((s.created for s in states), default=0.0),
        cameras=tuple(scene.cameras),
        entities=tuple(replace(e, mesh=cast(Any, None)) for e in scene.entities),
        states=tuple(s.outline() for s in states),
        head=head.id,
        committed=committed,
        positions=positions,
        velocities=head.physics.particles.velocities,
        colors=_colors(context, scene),
        entity_ids=scene.entity_ids,
        poses=poses,
    )


def _colors(context: Context, scene: Scene) -> NDArray[np.uint8] | None:
    if context.colors is None or context.colors[0] is not scene:
        try:
            colors = context.world.particle_colors()
        except Exception:
            traceback.print_exc()  # white particles are better than no world
            colors = None
        context.colors = (scene, colors)
    return context.colors[1]


def placed(scene: Scene, physics: PhysicsState) -> NDArray[np.float32]:
    """Positions [m] (J, 3), those of rigid entities where their bodies are."""
    from pw_core.appearance import placed_positions

    return placed_positions(scene, physics)


def poses_of(scene: Scene, physics: PhysicsState) -> tuple[EntityPose, ...]:
    """Where every entity is."""
    from pw_core.appearance import entity_poses

    return tuple(entity_poses(scene, physics))


def frame_of(scene: Scene, time_s: float, fraction: float, physics: PhysicsState) -> FrameData:
    """An instant, ready to be sent."""
    return FrameData(time_s, fraction, placed(scene, physics), physics.particles.velocities, poses_of(scene, physics))


def splats(context: Context, request: SplatsRequest) -> Splats:
    """See SplatsRequest."""
    if request.trajectory or request.live:
        return _predicted_splats(context, request)
    from pw_core.export.content import Content, opacities_of

    world = context.world
    with world.lock:
        scene, head = world.scene, world.state()
    assert scene is not None
    if context.content is None or context.content[0] is not head:
        context.content = (head, next(Content.of_state(scene, head).frames()))
    frame = context.content[1]
    g = frame.background if request.background else frame.things
    colors = (g.colors() * 255).round().astype(np.uint8)
    return Splats(g.means, colors, np.exp(g.log_scales.max(1)), opacities_of(g))


def _predicted_splats(context: Context, request: SplatsRequest) -> Splats:
    """Those of the things, which follow their particles; none, and no time, where nothing runs."""
    from scipy.special import expit

    from pw_core.export.content import Content

    world = context.world
    at, physics, state = _instant(context, request)
    with world.lock:
        scene, start = world.scene, world.state(state)
    assert scene is not None
    if physics is None:
        nothing = np.zeros((0, 3), np.float32)
        return Splats(nothing, nothing.astype(np.uint8), nothing[:, 0], nothing[:, 0], at)
    had = context.following
    if had is None or had[0] is not scene or had[1] != start.id:
        had = context.following = (scene, start.id, Content.of_state(scene, start))
    content = had[2]
    means, covariances = content.follow(physics)
    sizes = np.sqrt(np.maximum(np.linalg.eigvalsh(covariances)[:, -1], 0))
    colors = (np.clip(0.5 + SH_C0 * content.looks.sh[:, 0], 0, 1) * 255).round().astype(np.uint8)
    return Splats(means, colors, sizes, np.asarray(expit(content.looks.opacities), np.float32), at)


def config(context: Context, request: ConfigRequest) -> SceneConfig:
    """See ConfigRequest."""
    return context.world.config(request.name)


def render(context: Context, request: RenderRequest) -> Picture:
    """See RenderRequest."""
    correcting = context.correcting
    if request.live and correcting is not None and not request.trajectory:
        return correcting(request.camera)
    at, physics, state = _instant(context, request)
    view = context.world.render(request.camera, physics=physics, state=state or request.state)
    seen = np.where(view.alpha > 0.5, view.depth, np.nan).astype(np.float32) if request.depth else None
    return Picture(view.rgb, seen, at)


def _instant(context: Context, request: RenderRequest | SplatsRequest) -> tuple[float, PhysicsState | None, str]:
    """Time [s], physics, and the id of the state whose appearance it has. No physics: a state's own; where a live
    instant was asked for that is over or has not begun, with no time (NaN)."""
    if request.trajectory:
        found = context.world.trajectory(request.trajectory)
        at = float(found.times[nearest_frame(found, request.time_s)])
        return at, context.world.physics_at(found, at), _appearance_of(context, found)
    if request.live:
        return (math.nan, None, "") if context.live is None else context.live
    return 0.0, None, ""


def _appearance_of(context: Context, trajectory: Trajectory) -> str:
    """Id of the state whose appearance a trajectory's frames have: what it started from, or what a correction found."""
    parents = {s.id: s.parent for s in context.world.states()}
    if parents.get(trajectory.end, trajectory.start) != trajectory.start:
        return trajectory.end
    return trajectory.start if trajectory.start in parents else ""  # a deleted state's trajectory stays


def trajectory(context: Context, request: TrajectoryRequest) -> Frames:
    """See TrajectoryRequest."""
    world = context.world
    with world.lock:
        found, scene = world.trajectory(request.trajectory), world.scene
    assert scene is not None
    end = float(found.times[-1]) or 1.0
    chosen = frames_between(found, request.start, request.end, stride=request.stride)
    times = [float(found.times[k]) for k in chosen]
    frames = [frame_of(scene, t, t / end, world.physics_at(found, t)) for t in times]
    return Frames(found, frames)
