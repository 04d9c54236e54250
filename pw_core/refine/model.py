"""A scene as refinement moves it: particle positions in, Gaussians and pictures out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64, Camera, quats_to_rotations, sh_degree
from pw_core.light.between import Between, shaded
from pw_core.scene import AppearanceParameters, Scene


@dataclass(frozen=True)
class Drawn:
    """The foreground alone, over nothing: rgb (V, H, W, 3) premultiplied 0 to 1, alpha of each entity (V, H, W, E),
    depth [m] (V, H, W), infinite where nothing is seen; features (V, H, W, K), if asked for, blended like colours."""

    rgb: F32
    alpha: F32
    depth: F32
    features: F32 | None = None


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How it is drawn."""

    least_depth_alpha: float = 0.3
    """Less covered pixels have no depth: the mean over a few grazing Gaussians lies on nothing."""


class Model:
    """What of a scene stays the same while refinement looks for where it was."""

    def __init__(
        self, scene: Scene, appearance: AppearanceParameters, *, device: str = "cpu",
        options: ModelOptions = ModelOptions(),
    ) -> None:  # fmt: skip
        self.scene = scene
        self.appearance = appearance
        self.device = device
        self.options = options
        self.near = scene.neighbours()
        self.binding = appearance.bind(scene)
        self.covariances = scene.foreground.covariances()
        self.own = self.binding.index[:, 0]
        self.entity_of = scene.entity_ids[self.own]
        self._between: Between | None = None
        if scene.light is not None and scene.light.key.any() and len(scene.entities) > 1:
            self._between = Between(scene.rest, scene.entities, scene.light)

    def stretch(self, positions: F32, turns: dict[str, F64]) -> F32:
        """Deformation A of each particle, (J, 3, 3); rigid entities have their `turns` (3, 3), exactly."""
        from pw_core.skinning import deformations

        return self._turned(deformations(self.scene.rest, positions, self.near), turns)

    def _turned(self, A: F32, turns: dict[str, F64]) -> F32:
        for name, turn in turns.items():
            A[self.scene.entity(name).particles] = turn
        return A

    def gaussians_at(
        self, positions: F32, turns: dict[str, F64], *, stretch: F32 | None = None
    ) -> tuple[F32, F32]:
        """Means [m] (N, 3) and covariances [m²] (N, 3, 3) for particles at `positions` [m] (J, 3); stretch (J, 3, 3):
        deformables' deformation, where it is known well enough already."""
        from pw_core.skinning import follow

        A = self.stretch(positions, turns) if stretch is None else self._turned(stretch.copy(), turns)
        return follow(self.binding, self.scene.rest, positions, A, self.covariances)

    def share(self, positions: F32) -> F32 | None:
        """Of the Gaussians' brightness at rest (N, 3), what shadows of other entities leave with particles at
        `positions` [m] (J, 3); None where that is all."""
        ratio = None if self._between is None else self._between.ratio(np.asarray(positions, np.float32))
        return None if ratio is None else ratio[self.own]

    def draw(
        self, means: F32, covariances: F32, cameras: tuple[Camera, ...], *, features: F32 | None = None,
        share: F32 | None = None,
    ) -> Drawn:  # fmt: skip
        """The foreground through cameras of one size; features (N, K): more channels to blend; share: see `share`."""
        import torch

        from pw_core.render import rasterize

        def tensor(a: NDArray[np.generic]) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(self.device)

        entities = len(self.scene.entities)
        channels = np.eye(entities, dtype=np.float32)[self.entity_of]
        if features is not None:
            channels = np.concatenate([channels, features], axis=1)
        with torch.no_grad():
            sh = tensor(self.appearance.sh)
            out = rasterize(
                tensor(means), None, None, torch.sigmoid(tensor(self.appearance.opacities)),
                sh if share is None else shaded(sh, tensor(share)),
                tensor(np.stack([c.viewmat for c in cameras])), tensor(np.stack([c.K for c in cameras])),
                cameras[0].width, cameras[0].height, covars=tensor(covariances),
                sh_degree=sh_degree(self.appearance.sh), features=tensor(channels), render_depth="expected",
            )  # fmt: skip
        assert out.features is not None and out.depth is not None
        depth = out.depth[..., 0].cpu().numpy()
        alpha = out.alpha[..., 0].cpu().numpy()
        blended = out.features.cpu().numpy()
        depth = np.where(alpha > self.options.least_depth_alpha, depth, np.inf)
        return Drawn(
            out.rgb.cpu().numpy(), blended[..., :entities], depth,
            None if features is None else blended[..., entities:],
        )  # fmt: skip

    def turns(self, bodies: dict[str, F64]) -> dict[str, F64]:
        """Rotation matrices of bodies given as rows of `Trajectory.bodies` (13,)."""
        return {name: np.asarray(quats_to_rotations(row[3:7])) for name, row in bodies.items()}
