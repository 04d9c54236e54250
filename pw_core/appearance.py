"""How a scene looks in a given physical state: bound Gaussians follow their particles, the background stays, and what
shadows the particles cast moves over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import ErrorCode, RenderError
from pw_core.gaussians import F32, F64, I64, Camera, quats_to_rotations
from pw_core.limits import LIMITS, Limits
from pw_core.scene import AppearanceParameters, PhysicsState, Scene

if TYPE_CHECKING:
    from pw_core.light.occlusion import Shade


@dataclass(frozen=True)
class View:
    """A picture: rgb uint8 (H, W, 3), depth [m] float32 (H, W) along the optical axis, alpha float32 (H, W)."""

    rgb: NDArray[np.uint8]
    depth: F32
    alpha: F32


@dataclass(frozen=True)
class EntityPose:
    """position [m] (3,), orientation wxyz (4,), linear [m/s] and angular [rad/s] velocity (3,), bounds [m] (2, 3).

    A deformable's pose is its centroid and the rotation of its mean deformation since the reconstruction.
    """

    name: str
    kind: str
    position: F64
    orientation: F64
    linear: F64
    angular: F64
    bounds: F64


def placed_positions(scene: Scene, physics: PhysicsState) -> F32:
    """Particle positions [m] (J, 3), those of rigid entities where their bodies are."""
    out = physics.particles.positions.copy()
    for e in scene.entities:
        body = physics.bodies.get(e.name)
        if body is not None:
            turn = quats_to_rotations(body.orientation)
            out[e.particles] = (scene.rest[e.particles] - e.origin) @ turn.T + body.position
    return out


def total_deformations(scene: Scene, now: F32, physics: PhysicsState, near: I64) -> F32:
    """Deformation of each particle since the binding (J, 3, 3), particles being at `now` [m] (J, 3); near (J, 12):
    their neighbours at rest."""
    from pw_core.skinning import deformations

    A = deformations(scene.rest, now, near)
    for e in scene.entities:
        body = physics.bodies.get(e.name)
        if body is not None:  # exact, where least squares would round
            A[e.particles] = quats_to_rotations(body.orientation)
    return A


def particle_colors(scene: Scene) -> NDArray[np.uint8]:
    """RGB (J, 3): the mean of what hangs on a particle; an inner particle has that of its nearest outer one."""
    from scipy.spatial import cKDTree

    own = scene.binding.index[:, 0]
    n = len(scene.rest)
    total = np.zeros((n, 3))
    np.add.at(total, own, scene.foreground.colors())
    count = np.bincount(own, minlength=n)
    seen = np.flatnonzero(count)
    if len(seen) == 0:
        return np.full((n, 3), 128, np.uint8)
    mean = total[seen] / count[seen, None]
    nearest = cKDTree(scene.rest[seen]).query(scene.rest)[1]
    return np.asarray((mean[nearest] * 255).round(), np.uint8)


def entity_poses(scene: Scene, physics: PhysicsState) -> list[EntityPose]:
    """Where every entity is."""
    from scipy.spatial.transform import Rotation

    positions = placed_positions(scene, physics)
    out = []
    for e in scene.entities:
        now = positions[e.particles].astype(np.float64)
        bounds = np.stack([now.min(0), now.max(0)])
        body = physics.bodies.get(e.name)
        if body is not None:
            out.append(EntityPose(e.name, e.kind, body.position, body.orientation, body.linear, body.angular, bounds))
            continue
        rest = scene.rest[e.particles].astype(np.float64)
        centre, velocity = now.mean(0), physics.particles.velocities[e.particles].astype(np.float64)
        arm = now - centre
        turn, _ = Rotation.align_vectors(arm, rest - rest.mean(0))
        xyzw = turn.as_quat()
        inertia = (arm**2).sum() * np.eye(3) - arm.T @ arm
        linear = velocity.mean(0)
        spin = np.linalg.pinv(inertia) @ np.cross(arm, velocity - linear).sum(0)
        out.append(EntityPose(e.name, e.kind, centre, xyzw[[3, 0, 1, 2]], linear, spin, bounds))
    return out


def check_view(camera: Camera, *, limits: Limits = LIMITS) -> None:
    """That its picture can be drawn.

    Raises:
        RenderError (INVALID_VIEW): which of size, lens and pose is wrong, and what would be right.
    """
    wrong = ""
    focal = np.array([camera.K[0, 0], camera.K[1, 1]])
    turn = camera.viewmat[:3, :3]
    if not (camera.width >= 1 and camera.height >= 1 and camera.width * camera.height <= limits.view_pixels):
        wrong = f"is {camera.width} x {camera.height} px: give 1 to {limits.view_pixels} pixels in all"
    elif not (np.isfinite(camera.K).all() and (focal > 0).all() and (np.abs(camera.K) < 1e7).all()):
        wrong = f"has a focal length of {focal[0]:g} x {focal[1]:g} px: K must be finite, its focal lengths above 0"
    elif not (np.isfinite(camera.viewmat).all() and np.allclose(turn @ turn.T, np.eye(3), atol=1e-3)):
        wrong = "has a pose that is no rotation and position"
    if wrong:
        raise RenderError(f"camera '{camera.name}' {wrong}", code=ErrorCode.INVALID_VIEW)


class Appearance:
    """Draws one scene; keeps what does not change from frame to frame.

    Args:
        prepared_cameras: backgrounds that are kept, one a camera; the oldest leaves first.
        prepared_pixels: of those backgrounds together, so that a few large pictures do not hold memory for good: each
            takes some 50 bytes, and one that is larger by itself is not kept. The default holds one of a 4K film.
    """

    def __init__(
        self, scene: Scene, *, device: str = "cpu", prepared_cameras: int = 8, prepared_pixels: int = 3840 * 2160
    ) -> None:
        import torch

        from pw_core.skinning import Resting

        self.scene = scene
        self.device = device
        self.prepared_cameras = prepared_cameras
        self.prepared_pixels = prepared_pixels
        self._near = scene.neighbours()
        self._resting = Resting(scene)
        self._covariances = scene.foreground.covariances()
        b = scene.background
        self._background: dict[str, Any] = {
            "means": self._tensor(b.means), "quats": None, "scales": None, "covars": self._tensor(b.covariances()),
            "opacities": torch.sigmoid(self._tensor(b.opacities)),
        }  # fmt: skip
        self._sh_degree = scene.foreground.sh_degree
        self._prepared: dict[bytes, tuple[Any, int]] = {}
        self._grounds: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()  # of what is prepared
        self._caster = self._between = None
        if scene.light is not None:
            from pw_core.light.between import Between
            from pw_core.light.cast import Caster

            self._caster = Caster(scene.rest, scene.entities, scene.light)
            if len(scene.entities) > 1 and scene.light.key.any():
                self._between = Between(scene.rest, scene.entities, scene.light)
        self._reconstructed = scene.initial_appearance()
        self._show(self._reconstructed)

    def _show(self, appearance: AppearanceParameters) -> None:
        """Draw with these offsets and colours from now on."""
        import torch

        self._shown = appearance
        self._binding = appearance.bind(self.scene)
        self._opacities = torch.sigmoid(self._tensor(appearance.opacities))
        self._colors = self._tensor(appearance.sh)
        if self._background.get("of") is not appearance.background_sh:
            self._background |= {"of": appearance.background_sh, "colors": self._tensor(appearance.background_sh)}
            self._prepared.clear()

    def _tensor(self, array: NDArray[Any]) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)

    def foreground(self, physics: PhysicsState) -> tuple[F32, F32]:
        """Means [m] (N, 3) and covariances [m²] (N, 3, 3) of the bound Gaussians."""
        return self._following(placed_positions(self.scene, physics), physics)

    def _following(self, now: F32, physics: PhysicsState) -> tuple[F32, F32]:
        """Gaussians of particles that are `now` at [m] (J, 3), which are put where they are drawn (`Resting`)."""
        from pw_core.skinning import follow

        A = total_deformations(self.scene, now, physics, self._near)
        means, covariances = follow(self._binding, self.scene.rest, now, A, self._covariances)
        self._resting.lower(means, now)
        return means, covariances

    def render(self, camera: Camera, physics: PhysicsState, *, appearance: AppearanceParameters | None = None) -> View:
        """The picture that `camera` takes.

        Args:
            appearance: as refinement left it; None: as reconstructed.

        Raises:
            RenderError (INVALID_VIEW): a camera that cannot be drawn (size, lens, pose).
        """
        from pw_core.kernels.threads import beside
        from pw_core.render.background_cache.prepare import rasterize_over

        check_view(camera)
        wanted = self._reconstructed if appearance is None else appearance
        if wanted is not self._shown:
            self._show(wanted)
        now = placed_positions(self.scene, physics)
        means, covariances = self._following(now, physics)  # which puts `now` where it is drawn: before shadows
        shade = None if self._caster is None else beside(self._caster.shade, now)
        prepared = self._prepare(camera)
        drawn = rasterize_over(
            prepared, self._tensor(means), None, None, self._opacities, self._shaded(now),
            covars=self._tensor(covariances), sh_degree=self._sh_degree, render_depth="expected",
            cover=self._caster is not None,
        )  # fmt: skip
        assert drawn.depth is not None
        rgb = self._picture(drawn, camera, prepared, shade)
        return View(rgb, drawn.depth[0, ..., 0].cpu().numpy(), drawn.alpha[0, ..., 0].cpu().numpy())

    def _shaded(self, now: F32) -> Any:
        """Colours (N, K, 3) of the bound Gaussians under the shadows that entities, particles at [m] (J, 3), cast on
        each other."""
        ratio = None if self._between is None else self._between.ratio(now)
        if ratio is None:
            return self._colors
        from pw_core.light.between import shaded

        return shaded(self._colors, self._tensor(ratio[self._binding.index[:, 0]]))

    def _picture(
        self, drawn: Any, camera: Camera, prepared: Any, shade_of: Callable[[], Shade] | None
    ) -> NDArray[np.uint8]:  # fmt: skip
        """What was drawn, in 8 bits, its background under the particles' shadows, which are waited for."""
        import torch

        rgb = drawn.rgb[0]
        if shade_of is not None:
            from pw_core.light.overlay import laid_over, laid_over_on_cuda

            ground, places = self._ground(camera, prepared)
            cover, shade = drawn.cover[0, ..., 0], shade_of()
            if not rgb.is_cuda:
                return laid_over(rgb.contiguous().numpy(), cover.numpy(), ground, places, shade)
            rgb = laid_over_on_cuda(rgb, cover, ground, places, shade)
        return np.asarray((rgb * 255).round_().clamp_(0, 255).to(torch.uint8).cpu().numpy())

    def _ground(self, camera: Camera, prepared: Any) -> tuple[Any, Any]:
        """The background alone (H, W, 3) and where its pixels take their shade from (H, W, 3), kept as long as what was
        prepared."""
        import torch

        from pw_core.light.overlay import receivers

        found = self._grounds.get(prepared)
        if found is None:
            assert self.scene.light is not None
            rgb, depth = prepared.picture()
            y, x = np.mgrid[: camera.height, : camera.width] + 0.5
            points = camera.unproject(np.stack([x, y], -1), depth.cpu().numpy().astype(np.float64))
            places = receivers(points, self.scene.light)
            on_cpu = not rgb.is_cuda
            found = (rgb.numpy(), places) if on_cpu else (rgb, torch.from_numpy(places).to(rgb.device))
            self._grounds[prepared] = found
        return found

    def _prepare(self, camera: Camera) -> Any:
        from pw_core.render.background_cache.prepare import prepare

        key = camera.K.tobytes() + camera.viewmat.tobytes()
        key += f"{camera.width}x{camera.height}".encode()
        if key in self._prepared:
            return self._prepared[key][0]
        pixels = camera.width * camera.height
        if pixels <= self.prepared_pixels:
            while self._prepared and (
                len(self._prepared) >= self.prepared_cameras
                or sum(n for _, n in self._prepared.values()) + pixels > self.prepared_pixels
            ):
                self._prepared.pop(next(iter(self._prepared)))
        still = {k: v for k, v in self._background.items() if k != "of"}
        made = prepare(
            **still, viewmat=self._tensor(camera.viewmat), K=self._tensor(camera.K),
            width=camera.width, height=camera.height, sh_degree=self._sh_degree,
        )  # fmt: skip
        if pixels <= self.prepared_pixels:
            self._prepared[key] = made, pixels
        return made
