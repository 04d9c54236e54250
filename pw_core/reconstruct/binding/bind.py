"""From free Gaussians to bound ones (visual-physical aligned particles): particles in the mesh, appearance moved onto
them, then a photometric fit of the bound set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, I64, Binding, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.splatting.draw import camera_tensors, gaussian_tensors
from pw_core.reconstruct.surface.particles import Filled, bind, cover
from pw_core.reconstruct.surface.tsdf import TsdfMesh
from pw_core.reconstruct.types import Mask, View


@dataclass(frozen=True, kw_only=True)
class BindOptions:
    """Which Gaussians are bound, and how they are fitted then."""

    stray_voxels: float = 2.5
    """From the surface, beyond which an entity's Gaussian is not of it."""
    least_particles: int = 30
    """Fewer in an entity are no body."""
    most_width_ratio: float = 0.7
    """Of a bound Gaussian's standard deviations, in particle sizes: it moves as one particle does."""
    most_raw: float = 1.8
    """Of raw offsets while they are fitted: tanh is flat beyond, and would let none come back."""
    margin_px: int = 6
    """Round the entities' pixels, in which the fit looks at the pictures."""
    raw_rate: float = 5e-3
    """Adam's step of raw offsets [particle sizes]."""
    quats_rate: float = 1e-3
    """Of quaternions."""
    log_scales_rate: float = 5e-3
    """[log m]"""
    opacities_rate: float = 3e-2
    """[logit]"""
    sh_rate: float = 5e-3
    """Of harmonics."""

    def rates(self) -> dict[str, float]:
        """Adam's steps by tensor."""
        names = ("raw", "quats", "log_scales", "opacities", "sh")
        return {name: getattr(self, f"{name}_rate") for name in names}


@dataclass(frozen=True)
class Bound:
    """One entity: particles [m] (J, 3) laid `spacing_m` apart, or how far each Gaussian (N,) may be from its own, N
    Gaussians, and how they hang on the particles (numbered from 0): index and weights (N, B), raw (N, 3), as in
    `Binding`."""

    positions: F64
    spacing_m: float | F64
    gaussians: Gaussians
    index: I64
    weights: F64
    raw: F64


def off_surface(
    solid: TsdfMesh, gaussians: Gaussians, *, options: BindOptions = BindOptions()
) -> NDArray[np.bool_]:  # fmt: skip
    """(n,): which of an entity's Gaussians are too far outside of its surface to be of it."""
    return np.asarray(solid.distance(gaussians.means.astype(np.float64)) >= options.stray_voxels * solid.step)


def bind_to_particles(
    solid: TsdfMesh, gaussians: Gaussians, entity: EntityConfig, *, volume_m3: float, count: int,
    options: BindOptions = BindOptions(),
) -> Bound:  # fmt: skip
    """About `count` particles on a lattice inside the solid, and the entity's Gaussians hung on them.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): too few particles fit in, or no Gaussian is near the surface.
    """
    spacing = (volume_m3 / count) ** (1 / 3)
    low, high = solid.mesh.vertices.min(0), solid.mesh.vertices.max(0)
    axes = [np.arange(a + spacing / 2, b, spacing) for a, b in zip(low, high)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    inside = lattice[solid.distance(lattice) < 0]
    if len(inside) < options.least_particles:
        raise ReconstructError(f"entity '{entity.name}': only {len(inside)} particles fit inside it",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    near = ~off_surface(solid, gaussians, options=options)
    near &= solid.distance(gaussians.means.astype(np.float64)) > -options.stray_voxels * solid.step
    near &= gaussians.means[:, 2] > min(0.0, low[2]) - solid.step
    if not near.any():
        raise ReconstructError(f"entity '{entity.name}': no Gaussian lies on its surface",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    own = gaussians[near]
    widest = math.log(options.most_width_ratio * spacing)
    own = replace(own, log_scales=np.minimum(own.log_scales, widest).astype(np.float32))
    positions = cover(Filled(inside, spacing), own.means.astype(np.float64))
    return Bound(positions, spacing, own, *bind(positions, spacing, own, entity))


def fit_bound(
    views: Sequence[View], union: Mapping[str, Mask], rest: F32, binding: Binding, foreground: Gaussians,
    background: Gaussians, *, steps: int, progress: Progress, device: str = "cpu",
    options: BindOptions = BindOptions(),
) -> tuple[Binding, Gaussians]:
    """Fit the bound Gaussians to the views, each within its particle; the background stays.

    union: by view, the pixels of all entities; the loss looks there and a little beyond.
    """  # fmt: skip
    import torch

    from pw_core.reconstruct.splatting.losses import picture_loss
    from pw_core.render.background_cache.prepare import rasterize_over

    if steps == 0:
        return binding, foreground

    def tensor(a: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device)

    prepared, targets, weights = _prepare(views, union, background, device, options)
    anchors, delta = tensor(rest[binding.index[:, 0]]), tensor(binding.delta)[:, None]
    given = {"raw": binding.raw, **foreground.arrays()}
    rates = options.rates()
    leaves = {k: tensor(given[k]).clone().requires_grad_() for k in rates}  # the optimiser writes in place
    optimiser = torch.optim.Adam([{"params": [leaves[k]], "lr": rates[k]} for k in rates], eps=1e-15)
    widest = torch.log(options.most_width_ratio * delta)
    for step in range(steps):
        k = step % len(views)
        means = anchors + delta * torch.tanh(leaves["raw"])
        drawn = rasterize_over(
            prepared[k], means, leaves["quats"], torch.exp(leaves["log_scales"]), torch.sigmoid(leaves["opacities"]),
            leaves["sh"], sh_degree=foreground.sh_degree,
        )  # fmt: skip
        loss = picture_loss(drawn.rgb[0], targets[k], weights[k])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            leaves["raw"].clamp_(-options.most_raw, options.most_raw)
            leaves["log_scales"].copy_(torch.minimum(leaves["log_scales"], widest))
        progress(f"bound: step {step + 1} of {steps}", (step + 1) / steps)
    out = {k: v.detach().cpu().numpy() for k, v in leaves.items()}
    new = replace(binding, raw=out["raw"])
    placed = rest[binding.index[:, 0]].astype(np.float32) + new.offsets()
    quats = out["quats"] / np.linalg.norm(out["quats"], axis=1, keepdims=True)
    return new, Gaussians(placed, quats, out["log_scales"], out["opacities"], out["sh"])


def _prepare(
    views: Sequence[View], union: Mapping[str, Mask], background: Gaussians, device: str, options: BindOptions
) -> tuple[list[Any], list[Any], list[Any]]:
    """For each view: the background as drawn, the picture (H, W, 3), and what of it counts (H, W, 1)."""
    import torch

    from pw_core.render.background_cache.prepare import prepare

    names = ("means", "quats", "scales", "opacities", "colors")
    tensors: dict[str, Any] = dict(zip(names, gaussian_tensors(background, device)))
    prepared, targets, weights = [], [], []
    for v in views:
        view, K = camera_tensors(v.camera, device)
        prepared.append(prepare(**tensors, viewmat=view[0], K=K[0], width=v.camera.width, height=v.camera.height,
                                sh_degree=background.sh_degree))  # fmt: skip
        targets.append(torch.from_numpy((v.image / 255).astype(np.float32)).to(device))
        near = ndimage.binary_dilation(union[v.name], iterations=options.margin_px).astype(np.float32)
        near[v.unseen] = 0
        weights.append(torch.from_numpy(near / max(near.mean(), 1e-6)).to(device)[..., None])
    return prepared, targets, weights
