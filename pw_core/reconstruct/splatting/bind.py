"""From free Gaussians to bound ones (visual-physical aligned particles): particles in the mesh, appearance moved onto
them, then a photometric fit of the bound set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, Binding, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.splatting.draw import camera_tensors
from pw_core.reconstruct.surface.particles import bind, cover
from pw_core.reconstruct.surface.tsdf import Fused
from pw_core.reconstruct.types import Mask, View

STRAY = 2.5
"""Voxels from the surface beyond which an entity's Gaussian is dropped."""
WIDEST = 0.7
"""Of a bound Gaussian's standard deviations, in particle sizes."""
RATES = {"raw": 5e-3, "quats": 1e-3, "log_scales": 5e-3, "opacities": 3e-2, "sh": 5e-3}


@dataclass(frozen=True)
class Bound:
    """One entity: particles [m] (J, 3), Gaussians, and how they hang on the particles (numbered from 0)."""

    positions: F64
    spacing_m: float
    gaussians: Gaussians
    index: np.ndarray
    weights: np.ndarray
    raw: np.ndarray


def astray(fused: Fused, gaussians: Gaussians) -> NDArray[np.bool_]:
    """(n,): which of an entity's Gaussians are too far outside of its surface to be of it."""
    return np.asarray(fused.distance(gaussians.means.astype(np.float64)) >= STRAY * fused.step)


def bound(fused: Fused, gaussians: Gaussians, entity: EntityConfig, *, volume_m3: float, count: int) -> Bound:
    """Particles on a lattice inside the solid, and the entity's Gaussians hung on them.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): fewer than 30 particles fit in, or no Gaussian is near the surface.
    """
    spacing = (volume_m3 / count) ** (1 / 3)
    low, high = fused.mesh.vertices.min(0), fused.mesh.vertices.max(0)
    axes = [np.arange(a + spacing / 2, b, spacing) for a, b in zip(low, high)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    inside = lattice[fused.distance(lattice) < 0]
    if len(inside) < 30:
        raise ReconstructError(f"entity '{entity.name}': only {len(inside)} particles fit inside it",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    near = ~astray(fused, gaussians) & (fused.distance(gaussians.means.astype(np.float64)) > -STRAY * fused.step)
    near &= gaussians.means[:, 2] > -fused.step
    if not near.any():
        raise ReconstructError(f"entity '{entity.name}': no Gaussian lies on its surface",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
    own = gaussians[near]
    widest = math.log(WIDEST * spacing)
    own = replace(own, log_scales=np.minimum(own.log_scales, widest).astype(np.float32))
    positions = cover_(inside, own.means.astype(np.float64), spacing)
    index, weights, raw = bind(positions, spacing, own, entity)
    return Bound(positions, spacing, own, index, weights, raw)


def cover_(inside: F64, means: F64, spacing: float) -> F64:
    """`particles.cover`, by its own type."""
    from pw_core.reconstruct.surface.particles import Filled

    return cover(Filled(inside, spacing), means)


def refit(
    views: Sequence[View], union: dict[str, Mask], rest: F32, binding: Binding, foreground: Gaussians,
    background: Gaussians, *, steps: int, progress: Progress, device: str = "cpu",
) -> tuple[Binding, Gaussians]:
    """Fit the bound Gaussians to the views, each within its particle; the background stays.

    union: by view, the pixels of all entities; the loss looks there and a little beyond.
    """  # fmt: skip
    import torch

    from pw_core.reconstruct.splatting.losses import picture_loss
    from pw_core.render.background_cache.prepare import prepare, rasterize_over

    if steps == 0:
        return binding, foreground
    degree = foreground.sh_degree

    def tensor(a: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device)

    back: dict[str, Any] = {
        "means": tensor(background.means), "quats": tensor(background.quats),
        "scales": torch.exp(tensor(background.log_scales)), "opacities": torch.sigmoid(tensor(background.opacities)),
        "colors": tensor(background.sh),
    }  # fmt: skip
    prepared, targets, weights = [], [], []
    for v in views:
        view, K = camera_tensors(v.camera, device)
        prepared.append(prepare(**back, viewmat=view[0], K=K[0], width=v.camera.width, height=v.camera.height,
                                sh_degree=degree))  # fmt: skip
        targets.append(tensor(v.image / 255))
        look = ndimage.binary_dilation(union[v.name], iterations=6).astype(np.float32)
        weights.append(tensor(look / max(look.mean(), 1e-6))[..., None])
    anchors, delta = tensor(rest[binding.index[:, 0]]), tensor(binding.delta)[:, None]
    given = {"raw": binding.raw, **{k: v for k, v in foreground.arrays().items() if k != "means"}}
    leaves = {k: tensor(given[k]).requires_grad_() for k in RATES}
    optimiser = torch.optim.Adam([{"params": [leaves[k]], "lr": RATES[k]} for k in RATES], eps=1e-15)
    widest = torch.log(WIDEST * delta)
    for step in range(steps):
        k = step % len(views)
        means = anchors + delta * torch.tanh(leaves["raw"])
        drawn = rasterize_over(
            prepared[k], means, leaves["quats"], torch.exp(leaves["log_scales"]), torch.sigmoid(leaves["opacities"]),
            leaves["sh"], sh_degree=degree,
        )  # fmt: skip
        loss = picture_loss(drawn.rgb[0], targets[k], weights[k])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            leaves["raw"].clamp_(-1.8, 1.8)
            leaves["log_scales"].copy_(torch.minimum(leaves["log_scales"], widest))
        progress(f"bound: step {step + 1} of {steps}", (step + 1) / steps)
    out = {k: v.detach().cpu().numpy() for k, v in leaves.items()}
    new = replace(binding, raw=out["raw"])
    placed = rest[binding.index[:, 0]].astype(np.float32) + new.offsets()
    quats = out["quats"] / np.linalg.norm(out["quats"], axis=1, keepdims=True)
    return new, Gaussians(placed, quats, out["log_scales"], out["opacities"], out["sh"])
