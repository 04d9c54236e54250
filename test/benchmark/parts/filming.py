"""A film of a hidden world by a renderer that is not ours: Genesis's mesh rasteriser, with a camera's noise.

The hidden entities are triangle meshes that follow their particles, coloured per vertex as the Gaussians nearby are.
What stands behind is one still picture a view, the scene's background.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pw_core.gaussians import Camera
from pw_core.refine.model import Model
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.scene import Scene, Trajectory

NOISE = 3.0
KEY = np.array([0, 255, 0], np.float32)
"""Green: no entity of the example scenes is."""


class Filming:
    """Cameras on a hidden world. Genesis must have been started."""

    def __init__(self, scene: Scene, cameras: tuple[Camera, ...]) -> None:
        import genesis as gs

        self.scene, self.cameras = scene, cameras
        self.model = Model(scene, scene.initial_appearance())
        self._background = ShadowGain(scene, self.model.appearance, cameras, scene.rest[None], device="cpu")
        self._stage = gs.Scene(
            show_viewer=False, show_FPS=False,
            vis_options=gs.options.VisOptions(
                ambient_light=(0.85, 0.85, 0.85), shadow=False, background_color=(0, 1, 0)
            ),
        )  # fmt: skip
        self._shots = [self._shot(c) for c in cameras]
        self._stage.build()
        for shot, camera in zip(self._shots, cameras, strict=True):
            pose = np.linalg.inv(camera.viewmat) @ np.diag([1.0, -1, -1, 1])  # the rasteriser looks along -z, y up
            shot.set_pose(transform=pose)
        self._skins = [self._skin(e) for e in scene.entities]

    def _shot(self, camera: Camera) -> Any:
        fov = float(np.degrees(2 * np.arctan(camera.height / 2 / camera.K[1, 1])))
        # Only a debug camera draws debug meshes.
        return self._stage.add_camera(res=(camera.width, camera.height), fov=fov, near=0.02, far=10.0, debug=True)

    def _skin(self, entity: Any) -> tuple[Any, NDArray[np.int64], NDArray[np.uint8]]:
        """Fine mesh vertices, the particles that each follows, and its colour."""
        import trimesh

        mesh = trimesh.Trimesh(entity.mesh.vertices, entity.mesh.faces, process=True)
        size = float(np.ptp(mesh.vertices, axis=0).max())
        while len(mesh.faces) < 40_000 and mesh.edges_unique_length.max() > size / 150:
            mesh = mesh.subdivide()
        rest = self.scene.rest[entity.particles]
        near = cKDTree(rest).query(mesh.vertices, k=4)[1] + entity.particles.start
        own = self.scene.foreground[np.arange(entity.gaussians.start, entity.gaussians.stop)]
        colour = own.colors()[cKDTree(own.means).query(mesh.vertices, k=3)[1]].mean(1)
        return mesh, near, (colour * 255).astype(np.uint8)

    def film(self, trajectory: Trajectory, *, seed: int) -> NDArray[np.uint8]:
        """Pictures (V, T, H, W, 3)."""
        import trimesh

        rng = np.random.default_rng(seed)
        h, w = self.cameras[0].height, self.cameras[0].width
        out = np.zeros((len(self.cameras), len(trajectory), h, w, 3), np.uint8)
        for t in range(len(trajectory)):
            positions = trajectory.positions[t]
            A = self.model.stretch(positions, self.model.turns({n: r[t] for n, r in trajectory.bodies.items()}))
            self._stage.clear_debug_objects()
            for mesh, near, colour in self._skins:
                arm = mesh.vertices[:, None] - self.scene.rest[near]
                placed = (positions[near] + np.einsum("vkij,vkj->vki", A[near], arm)).mean(1)
                skin = trimesh.Trimesh(placed, mesh.faces, process=False)
                skin.visual.vertex_colors = np.concatenate([colour, np.full((len(colour), 1), 255, np.uint8)], 1)
                self._stage.draw_debug_mesh(skin)
            for v, shot in enumerate(self._shots):
                rgb = np.asarray(shot.render(rgb=True)[0])[..., :3].astype(np.float32)
                # Debug meshes have no depth, so a key colour tells where nothing stands; edges hold a part of it.
                free = np.clip((rgb[..., 1] - rgb[..., [0, 2]].max(-1)) / 255, 0, 1)[..., None]
                picture = rgb - free * KEY + free * self._background.plain(v) * 255
                out[v, t] = np.clip(picture + rng.normal(0, NOISE, picture.shape), 0, 255)
        return out
