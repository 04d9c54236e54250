"""2D Gaussians (surfels; Huang et al. 2024, "2D Gaussian Splatting"): axes from covariances, and the slow reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pw_core.render.projected import Projected, quats_to_rotations

FILTER_INV_SQUARE, EXTENT = 2.0, 3.33
"""gsplat's constants: a surfel counts by the nearer of its own plane and a round blot of half a pixel's variance, and
is drawn so many standard deviations far."""


class _Eigen(torch.autograd.Function):
    """Eigenvalues, falling, and eigenvectors of symmetric matrices, whose gradient stays finite where two meet.

    1 / (difference of eigenvalues) becomes d / (d^2 + small): a disc with two equal axes gets the gradients of its size
    and its normal, and none for a shear in its plane, which axes and scales cannot express to first order.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrices)
        values, vectors = values.flip(-1), vectors.flip(-1)
        ctx.save_for_backward(values, vectors)
        return values, vectors

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_values: Tensor, v_vectors: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        gap = values[..., None, :] - values[..., :, None]
        small = (1e-4 * values[..., :1, None]) ** 2 + torch.finfo(values.dtype).tiny
        inner = vectors.transpose(-1, -2) @ v_vectors * (gap / (gap**2 + small)) + torch.diag_embed(v_values)
        outer = vectors @ inner @ vectors.transpose(-1, -2)
        return 0.5 * (outer + outer.transpose(-1, -2))


def axes_of(covars: Tensor) -> tuple[Tensor, Tensor]:
    """quats [..., 4] (wxyz) and scales [m], [..., 3], largest first, of covariances [m^2], [..., 3, 3].

    The third axis is the one of least extent: the normal of the surfel that lies in the covariance. The upper triangle
    counts. Differentiable; gradients go to the upper triangle.
    """
    upper = torch.triu(covars)
    values, vectors = _Eigen.apply(upper + torch.triu(covars, 1).transpose(-1, -2))
    # A right-handed frame; the sign of an axis means nothing to a surfel.
    sign = torch.ones_like(values)
    sign = torch.cat([sign[..., :2], torch.linalg.det(vectors.detach())[..., None].sign()], -1)
    scales = values.clamp_min(torch.finfo(values.dtype).tiny).sqrt()
    return _quats(vectors * sign[..., None, :]), scales


def _quats(r: Tensor) -> Tensor:
    """Quaternions wxyz [..., 4] of rotation matrices [..., 3, 3], through their largest component (Shepperd 1978)."""
    m = {(j, k): r[..., j, k] for j in range(3) for k in range(3)}
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    wx, wy, wz = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    # Four times each squared component; row k below is 4 q_k q.
    ww, xx = 1 + m[0, 0] + m[1, 1] + m[2, 2], 1 + m[0, 0] - m[1, 1] - m[2, 2]
    yy, zz = 1 - m[0, 0] + m[1, 1] - m[2, 2], 1 - m[0, 0] - m[1, 1] + m[2, 2]
    rows = torch.stack([torch.stack(row, -1) for row in
                        ((ww, wx, wy, wz), (wx, xx, xy, xz), (wy, xy, yy, yz), (wz, xz, yz, zz))], -2)  # fmt: skip
    largest = torch.stack([ww, xx, yy, zz], -1).argmax(-1)
    row = rows.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4))[..., 0, :]
    return torch.nn.functional.normalize(row, dim=-1)


def project(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, viewmat: Tensor, K: Tensor, width: int,
    height: int, *, near: float, far: float, radius_clip: float,
) -> tuple[Projected, Tensor]:  # fmt: skip
    """What `blend` needs, and half the squared distance [N, H, W] of each pixel's ray from each surfel.

    means [N, 3], quats [N, 4], scales [N, 3] (the third is not used), opacities [N], viewmat [4, 4], K [3, 3]. The
    conics are left empty. A ray meets the surfel's plane at (u, v), in standard deviations from its centre.
    """
    rot, shift = viewmat[:3, :3], viewmat[:3, 3]
    at = means @ rot.T + shift
    depths = at[:, 2]
    tangents = rot @ quats_to_rotations(quats)[:, :, :2] * scales[:, None, :2]
    rows = K @ torch.cat([tangents, at[..., None]], -1)  # surfel (u, v, 1) to homogeneous pixel
    m0, m1, m2 = rows.unbind(-2)
    signs = means.new_tensor([1.0, 1.0, -1.0])
    size = (signs * m2 * m2).sum(-1)
    drawn = (depths > near) & (depths < far) & (opacities >= 0) & (size != 0)
    f = signs / torch.where(drawn, size, 1)[:, None]
    centre = torch.stack([(f * m0 * m2).sum(-1), (f * m1 * m2).sum(-1)], -1)
    with torch.no_grad():
        extent = centre**2 - torch.stack([(f * m0 * m0).sum(-1), (f * m1 * m1).sum(-1)], -1)
        radii = torch.ceil(EXTENT * extent.clamp_min(1e-4).sqrt())
        on_screen = (centre + radii > 0).all(-1) & (centre - radii < centre.new_tensor([width, height])).all(-1)
        drawn = drawn & on_screen & (radii > radius_clip).any(-1)
    xs = torch.arange(width, dtype=means.dtype, device=means.device) + 0.5
    ys = torch.arange(height, dtype=means.dtype, device=means.device) + 0.5
    across = xs[None, None, :, None] * m2[:, None, None] - m0[:, None, None]
    down = ys[None, :, None, None] * m2[:, None, None] - m1[:, None, None]
    crossed = torch.linalg.cross(*torch.broadcast_tensors(across, down), dim=-1)
    w = crossed[..., 2]
    uv = crossed[..., :2] / torch.where(w == 0, 1, w)[..., None]
    in_plane = torch.where(w == 0, torch.inf, (uv**2).sum(-1))
    pixels = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)
    blot = FILTER_INV_SQUARE * ((centre[:, None, None] - pixels) ** 2).sum(-1)
    empty = means.new_zeros(len(means), 0)
    projected = Projected(centre, empty, depths, opacities, torch.where(drawn[:, None], radii, 0).int(), drawn)
    return projected, 0.5 * torch.minimum(in_plane, blot)
