"""A recording for the Rerun viewer: Gaussians on a timeline, particles, poses, cameras.

`sim_time` is the timeline, in seconds from the start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.export.content import Content, opacities_of
from pw_core.gaussians import Gaussians

TIMELINE = "sim_time"
_COEFFICIENTS = 15  # of degrees 1 to 3, which is what Rerun holds


def write_rrd(content: Content, path: Path) -> None:
    """`world/things` and `world/background` (splats), `world/particles`, `world/entities/<name>`,
    `world/cameras/<name>`."""
    import rerun as rr

    recording = rr.RecordingStream("perpetual_wonder", recording_id=f"{content.scene.id}_{path.stem}")
    # Rerun's own file sink waits for ever on a disk that is full: the bytes are written by ourselves, all at once, for
    # read in parts they have no valid end.
    memory = recording.memory_recording()
    _log(content, recording)
    path.write_bytes(memory.drain_as_bytes() or b"")
    recording.disconnect()


def _log(content: Content, recording: Any) -> None:
    """All of it, frame by frame."""
    import rerun as rr

    recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    for camera in content.scene.cameras:
        pose = np.linalg.inv(camera.viewmat)
        lens = rr.Pinhole(image_from_camera=camera.K, resolution=[camera.width, camera.height])
        place = rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
        recording.log(f"world/cameras/{camera.name}", lens, place, static=True)
    radii = np.empty(len(content.scene.rest), np.float32)
    for e in content.scene.entities:
        radii[e.particles] = e.particle_size_m / 2
    background = None
    for frame in content.frames():
        recording.set_time(TIMELINE, duration=frame.time_s)
        if background is None:
            recording.log("world/background", _splats(frame.background))
        elif frame.background is not background:  # shadows move, nothing else does
            recording.log("world/background", rr.GaussianSplats3D.from_fields(colors=_colors(frame.background)))
        background = frame.background
        recording.log("world/things", _splats(frame.things))
        points = rr.Points3D(frame.positions, colors=content.particle_colors, radii=radii)
        recording.log("world/particles", points)
        for pose_ in frame.poses:
            w, x, y, z = pose_.orientation
            place = rr.Transform3D(translation=pose_.position, quaternion=rr.Quaternion(xyzw=[x, y, z, w]))
            recording.log(f"world/entities/{pose_.name}", place)


def _splats(g: Gaussians) -> Any:
    import rerun as rr

    quats = g.quats / np.linalg.norm(g.quats, axis=1, keepdims=True)
    more: dict[str, Any] = {}
    if g.sh_degree:
        view_dependent = np.zeros((len(g), _COEFFICIENTS, 3), np.float32)
        view_dependent[:, : g.sh.shape[1] - 1] = g.sh[:, 1 : _COEFFICIENTS + 1]
        more = {"sh_coefficients": view_dependent, "spherical_harmonics_degree": g.sh_degree}
    return rr.GaussianSplats3D(
        g.means, scales=np.exp(g.log_scales), quaternions=quats[:, [1, 2, 3, 0]],
        colors=_colors(g), **more,
    )  # fmt: skip


def _colors(g: Gaussians) -> NDArray[np.uint8]:
    """RGBA (N, 4)."""
    rgba = np.concatenate([g.colors(), opacities_of(g)[:, None]], axis=1)
    return np.asarray((rgba * 255).round(), np.uint8)
