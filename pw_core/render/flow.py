"""Optical flow between two states of the same Gaussians: where what a pixel shows moves to, and whether it is still
seen there.

A pixel's flow is the blend, with the weights that make its colour, of its Gaussians' motion. A Gaussian carries a pixel
that is off its centre along by the deformation of its neighbourhood. Its centre's displacement alone would be wrong by
(deformation - 1) times that offset, which does not average out: of equally deep Gaussians the one drawn first counts
most, wherever the pixel lies in it. Where deformations are not given, they are fitted to the neighbours' centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pw_core.errors import RenderError
from pw_core.render.entry import rasterize


@dataclass(frozen=True)
class Flow:
    """forward, backward [px], shape [C, H, W, 2] (x right, y down): from each pixel of the first (second) picture to
    where its
    content is in the other one. forward_visible, backward_visible, shape [C, H, W]: whether it is seen there; False
    too where
    the picture is empty."""

    forward: Tensor
    backward: Tensor
    forward_visible: Tensor
    backward_visible: Tensor


def optical_flow(
    means: Tensor,
    covars: Tensor,
    means_after: Tensor,
    covars_after: Tensor,
    opacities: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    viewmats_after: Tensor | None = None,
    deformations: Tensor | None = None,
    tolerance: float = 1.0,
    min_alpha: float = 0.5,
) -> Flow:
    """Flow from one state to another.

    Args:
        means, means_after: centres [m], shape [N, 3].
        covars, covars_after: covariances [m^2], shape [N, 3, 3].
        opacities: 0 to 1, shape [N].
        viewmats, Ks: cameras, shapes [C, 4, 4] and [C, 3, 3]; viewmats_after: of the second state, when the camera
        moves.
        deformations: what took each Gaussian's neighbourhood from the first state to the second, shape [N, 3, 3];
            None: `local_deformations`, which a caller who knows better saves (half a second for 200k Gaussians).
        tolerance: forward and backward flow may disagree by this many pixels before a pixel counts as hidden.
        min_alpha: less covered pixels count as empty.
    """
    for name, x, shape in (("means_after", means_after, means.shape), ("covars_after", covars_after, covars.shape)):
        if x.shape != shape:
            raise RenderError(f"{name}: expected shape {list(shape)}, got {list(x.shape)}")
    after = viewmats if viewmats_after is None else viewmats_after
    if deformations is None:
        deformations = local_deformations(means, means_after)
    there = _one_way(means, covars, means_after, opacities, viewmats, after, Ks, width, height, deformations)
    inverse = torch.linalg.inv(deformations)
    back = _one_way(means_after, covars_after, means, opacities, after, viewmats, Ks, width, height, inverse)
    return Flow(
        forward=there[0],
        backward=back[0],
        forward_visible=_visible(there, back, tolerance, min_alpha),
        backward_visible=_visible(back, there, tolerance, min_alpha),
    )


def local_deformations(means: Tensor, means_after: Tensor, *, neighbours: int = 12) -> Tensor:
    """What took each Gaussian's neighbourhood from `means` to `means_after` [m], shape [N, 3]: matrices [N, 3, 3].

    Weighted least squares over the nearest neighbours' offsets. A neighbour whose offset changed by more than its
    length is of another body, which slides past: its weight falls with the fourth power of that strain. Where
    neighbours lie in a plane, a ridge leaves the missing direction as it was.
    """
    from scipy.spatial import cKDTree

    n = means.shape[0]
    count = min(neighbours, n - 1)
    eye = torch.eye(3, dtype=means.dtype, device=means.device)
    if count < 1:
        return eye.expand(n, 3, 3)
    points = means.detach().cpu().numpy()
    near = torch.from_numpy(cKDTree(points).query(points, k=count + 1, workers=-1)[1]).to(means.device)
    d = means[near] - means[:, None]  # the first is the Gaussian itself, or lies on it: no length, no weight
    after = means_after[near] - means_after[:, None]
    strain = (after - d).norm(dim=-1) / d.norm(dim=-1).clamp_min(1e-12)
    w = (1 / (1 + strain**4))[..., None]
    moment = (w * d).transpose(-1, -2) @ d
    ridge = (1e-4 * moment.diagonal(dim1=-2, dim2=-1).sum(-1) + 1e-18)[:, None, None] * eye
    return ((w * after).transpose(-1, -2) @ d + ridge) @ torch.linalg.inv(moment + ridge)


def _project(means: Tensor, view: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel positions [C, N, 2] and Jacobians d pixel / d world [C, N, 2, 3] of centres [N, 3]."""
    cam = torch.einsum("cij,nj->cni", view[:, :3, :3], means) + view[:, None, :3, 3]
    z = cam[..., 2].clamp_min(0.01)  # nearer ones, and those behind, are not drawn: any finite value will do
    fx, fy = K[:, None, 0, 0], K[:, None, 1, 1]
    pixels = torch.stack([fx * cam[..., 0] / z + K[:, None, 0, 2], fy * cam[..., 1] / z + K[:, None, 1, 2]], -1)
    zero = torch.zeros_like(z)
    rows = [fx / z, zero, -fx * cam[..., 0] / z**2, zero, fy / z, -fy * cam[..., 1] / z**2]
    jac = torch.stack([r.expand_as(z) for r in rows], -1).reshape(*z.shape, 2, 3)
    return pixels, jac @ view[:, None, :3, :3]


def _one_way(
    means: Tensor, covars: Tensor, means_to: Tensor, opacities: Tensor, view: Tensor, view_to: Tensor, K: Tensor,
    width: int, height: int, deformations: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Flow [C, H, W, 2] and alpha [C, H, W] of the first state's picture."""
    start, jac = _project(means, view, K)
    end, jac_to = _project(means_to, view_to, K)
    eye = torch.eye(2, dtype=means.dtype, device=means.device)
    # A pixel p near the projected centre q shows the surface point that the Gaussian's plane has there: its 3D offset
    # is the regression of offset on pixel offset, cov J^T (J cov J^T)^-1 (p - q). Carried over: G (p - q), with
    # G = J' A cov J^T (...)^-1.
    cross = covars @ jac.transpose(-1, -2)
    spread = jac @ cross
    # Thin ones seen from the side spread along a line: a millionth of that across keeps the inverse within float32.
    ridge = 1e-9 + 1e-6 * spread.diagonal(dim1=-2, dim2=-1).sum(-1)
    gain = jac_to @ deformations @ cross @ torch.linalg.inv(spread + ridge[..., None, None] * eye)
    slope = gain - eye
    # end - start + slope (p - q): blend the constant and the slope, then apply the slope at the pixel.
    constant = end - start - (slope @ start[..., None])[..., 0]
    features = torch.cat([constant, slope.flatten(-2)], -1)
    xs = torch.arange(width, dtype=means.dtype, device=means.device) + 0.5
    ys = torch.arange(height, dtype=means.dtype, device=means.device) + 0.5
    at = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)
    flows, alphas = [], []
    for cam in range(view.shape[0]):
        drawn = rasterize(means, None, None, opacities, features[cam], view[cam : cam + 1], K[cam : cam + 1], width,
                          height, covars=covars)  # fmt: skip
        mean = drawn.rgb[0] / drawn.alpha[0].clamp_min(1e-10)
        flows.append(mean[..., :2] + (mean[..., 2:].unflatten(-1, (2, 2)) @ at[..., None])[..., 0])
        alphas.append(drawn.alpha[0, ..., 0])
    return torch.stack(flows), torch.stack(alphas)


def _visible(there: tuple[Tensor, Tensor], back: tuple[Tensor, Tensor], tolerance: float, min_alpha: float) -> Tensor:
    """Whether following the flow there and back returns to the pixel."""
    flow, alpha = there
    _, height, width, _ = flow.shape
    xs = torch.arange(width, dtype=flow.dtype, device=flow.device) + 0.5
    ys = torch.arange(height, dtype=flow.dtype, device=flow.device) + 0.5
    goal = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1) + flow
    size = torch.tensor([width, height], dtype=flow.dtype, device=flow.device)
    inside = ((goal >= 0) & (goal < size)).all(-1)
    grid = goal / size * 2 - 1  # align_corners=False: pixel centres at +0.5, as ours
    both = torch.cat([back[0], back[1][..., None]], -1).permute(0, 3, 1, 2)
    sampled = torch.nn.functional.grid_sample(both, grid, mode="bilinear", padding_mode="border", align_corners=False)
    returned = (flow + sampled[:, :2].permute(0, 2, 3, 1)).norm(dim=-1)
    return inside & (alpha >= min_alpha) & (sampled[:, 2] >= min_alpha) & (returned <= tolerance)
