"""The rasteriser written for reading: every Gaussian at every pixel, torch operations only, gradients by autograd.

What the fast kernels must agree with. Memory grows as N x H x W: for tests and small pictures. Equations: Kerbl et
al. 2023 ("3D Gaussian Splatting"), Zwicker et al. 2001 ("EWA splatting"), with gsplat's constants.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pw_core.render import surfels
from pw_core.render.projected import Projected, quats_to_rotations

ALPHA_MIN, ALPHA_MAX, T_MIN = 1.0 / 255.0, 0.999, 1e-4
"""gsplat's constants: what is fainter is not drawn, nothing is opaque, and where blending ends."""


def covariances(quats: Tensor, scales: Tensor) -> Tensor:
    """Covariance matrices [m^2], shape [..., 3, 3], of Gaussians with axes `quats` [..., 4] and deviations `scales`
    [m], [..., 3]."""
    axes = quats_to_rotations(quats) * scales[..., None, :]
    return axes @ axes.transpose(-1, -2)


def sh_colors(sh: Tensor, directions: Tensor, degree: int) -> Tensor:
    """Colours [..., N, 3] from harmonics [..., N, K, 3] seen along `directions` [..., N, 3]; not below zero."""
    x, y, z = torch.nn.functional.normalize(directions, dim=-1).unbind(-1)
    basis = [torch.full_like(x, 0.2820947917738781)]
    if degree >= 1:
        c = 0.48860251190292
        basis += [-c * y, c * z, -c * x]
    if degree >= 2:
        c = 1.092548430592079
        basis += [c * x * y, -c * y * z, 0.9461746957575601 * z * z - 0.3153915652525201, -c * x * z]
        basis += [0.5462742152960395 * (x * x - y * y)]
    if degree >= 3:
        band = 0.4570457994644658 - 2.285228997322329 * z * z
        c = 1.445305721320277
        basis += [-0.5900435899266435 * y * (3 * x * x - y * y), 2 * c * x * y * z, y * band]
        basis += [z * (1.865881662950577 * z * z - 1.119528997770346), x * band, c * z * (x * x - y * y)]
        basis += [-0.5900435899266435 * x * (x * x - 3 * y * y)]
    values = torch.stack(basis, dim=-1)[..., None]
    return torch.clamp_min((values * sh[..., : len(basis), :]).sum(-2) + 0.5, 0.0)


def project(
    means: Tensor, covars: Tensor, opacities: Tensor, viewmat: Tensor, K: Tensor, width: int, height: int, *,
    near: float, far: float, eps2d: float, radius_clip: float, antialiased: bool,
) -> Projected:  # fmt: skip
    """EWA projection of means [N, 3], covars [N, 3, 3] by viewmat [4, 4] and K [3, 3]."""
    rot, shift = viewmat[:3, :3], viewmat[:3, 3]
    x, y, z = (means @ rot.T + shift).unbind(-1)
    in_range = (z >= near) & (z <= far)
    z_safe = torch.where(in_range, z, torch.ones_like(z))
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    margin_x, margin_y = 0.3 * 0.5 * width / fx, 0.3 * 0.5 * height / fy
    ux = torch.minimum((width - cx) / fx + margin_x, torch.maximum(-cx / fx - margin_x, x / z_safe))
    uy = torch.minimum((height - cy) / fy + margin_y, torch.maximum(-cy / fy - margin_y, y / z_safe))
    zero = torch.zeros_like(z)
    jac = torch.stack([fx / z_safe, zero, -fx * ux / z_safe, zero, fy / z_safe, -fy * uy / z_safe], -1).reshape(
        -1, 2, 3
    )
    upper = torch.triu(covars)
    sym = upper + torch.triu(covars, 1).transpose(-1, -2)
    cov2d = jac @ (rot @ sym @ rot.T) @ jac.transpose(-1, -2)
    blurred = cov2d + eps2d * torch.eye(2, dtype=means.dtype)
    det_raw = cov2d[:, 0, 0] * cov2d[:, 1, 1] - cov2d[:, 0, 1] ** 2
    det = blurred[:, 0, 0] * blurred[:, 1, 1] - blurred[:, 0, 1] ** 2
    drawn = in_range & (det > 0) & (opacities >= ALPHA_MIN)
    if antialiased:
        opacities = opacities * torch.sqrt(torch.clamp_min(det_raw / det, 1e-12))
        drawn = drawn & (opacities >= ALPHA_MIN)
    means2d = torch.stack([fx * x / z_safe + cx, fy * y / z_safe + cy], -1)
    conics = torch.linalg.inv(torch.where(drawn[:, None, None], blurred, torch.eye(2, dtype=means.dtype)))
    with torch.no_grad():
        extent = torch.sqrt(2 * torch.log(torch.clamp_min(opacities / ALPHA_MIN, 1.0)))
        size = torch.stack([blurred[:, 0, 0], blurred[:, 1, 1]], -1)
        radii = torch.ceil(extent[:, None] * torch.sqrt(torch.clamp_min(size, 0.0)))
        on_screen = (means2d + radii > 0).all(-1) & (means2d - radii < means2d.new_tensor([width, height])).all(-1)
        drawn = drawn & on_screen & (radii > radius_clip).any(-1)
    return Projected(means2d, conics, z, opacities, torch.where(drawn[:, None], radii, 0).to(torch.int32), drawn)


def exponents(p: Projected, width: int, height: int) -> Tensor:
    """Half the squared Mahalanobis distance [N, H, W] of each pixel from each Gaussian."""
    xs = torch.arange(width, dtype=p.means2d.dtype) + 0.5
    ys = torch.arange(height, dtype=p.means2d.dtype) + 0.5
    pixels = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)
    delta = p.means2d[:, None, None] - pixels
    return 0.5 * torch.einsum("nhwi,nij,nhwj->nhw", delta, p.conics, delta)


def blend(p: Projected, sigma: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Blend values [N, D] by exponents sigma [N, H, W], front to back: sums [H, W, D], alpha [H, W, 1] and median depth
    [H, W, 1] (0 where nothing is)."""
    order = torch.argsort(torch.where(p.drawn, p.depths, torch.inf), stable=True)[: int(p.drawn.sum())]
    sigma = sigma[order]
    alpha = torch.clamp_max(p.opacities[order][:, None, None] * torch.exp(-sigma), ALPHA_MAX)
    alpha = torch.where((sigma >= 0) & (alpha >= ALPHA_MIN), alpha, torch.zeros_like(alpha))
    after = torch.cumprod(1 - alpha, dim=0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]])
    counts = (alpha > 0) & (after > T_MIN)
    weights = torch.where(counts, alpha * before, torch.zeros_like(alpha))
    depths = p.depths[order]
    median = values.new_zeros(sigma.shape[1:])
    for k in range(len(order)):
        median = torch.where(counts[k] & (before[k] > 0.5), depths[k], median)
    return torch.einsum("nhw,nd->hwd", weights, values[order]), weights.sum(0)[..., None], median[..., None]


def rasterize_one(
    means: Tensor, shape: Tensor | tuple[Tensor, Tensor], opacities: Tensor, colors: Tensor, features: Tensor | None,
    viewmat: Tensor, K: Tensor, width: int, height: int, *, sh_degree: int | None, near: float, far: float,
    eps2d: float, radius_clip: float, antialiased: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """One image: colour [H, W, 3], alpha, sum of weight times depth, median depth [H, W, 1], features [H, W, F],
    radii [N, 2]. shape: covariances [N, 3, 3] of 3D Gaussians, or quats [N, 4] and scales [N, 3] of surfels."""
    if isinstance(shape, tuple):
        p, sigma = surfels.project(means, *shape, opacities, viewmat, K, width, height, near=near, far=far,
                                   radius_clip=radius_clip)  # fmt: skip
    else:
        p = project(means, shape, opacities, viewmat, K, width, height, near=near, far=far, eps2d=eps2d,
                    radius_clip=radius_clip, antialiased=antialiased)  # fmt: skip
        sigma = exponents(p, width, height)
    if sh_degree is not None:
        campos = -torch.linalg.solve(viewmat[:3, :3], viewmat[:3, 3])
        colors = sh_colors(colors, means - campos, sh_degree)
    feats = means.new_zeros(means.shape[0], 0) if features is None else features
    sums, alpha, median = blend(p, sigma, torch.cat([colors, p.depths[:, None], feats], -1))
    return sums[..., :3], alpha, sums[..., 3:4], median, sums[..., 4:], p.radii
