"""The CUDA path: the same inputs and outputs through gsplat 1.5.3, 3D and 2D Gaussians, frames and cameras in one call.

gsplat's own entries (`rasterization`, `rasterization_2dgs`) check and arrange what `rasterize` has checked and arranged
already, and the second adds normals from depth; beside a frame of a third of a millisecond both count. So this calls
the stages that they are made of: project, cut into tiles, blend.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pw_core.errors import RenderError
from pw_core.render.checks import Inputs

TILE = 16
CHUNK = 32
# The numbers of channels that gsplat's 2DGS kernels are compiled for. Others it fills up with uninitialised memory,
# whose NaNs reach the gradients: fill up with zeros here.
_CHANNELS_2D = (1, 2, 3, 4, 8, 16, CHUNK)


class Projected(NamedTuple):
    """Gaussians in front of each camera: radii and centres [px] (*b, C, N, 2), depths [m] and opacities (*b, C, N).

    shape: conics (*b, C, N, 3), or for surfels the pair of ray transforms (*b, C, N, 3, 3) and normals (*b, C, N, 3).
    """

    radii: Tensor
    centres: Tensor
    depths: Tensor
    opacities: Tensor
    shape: Any


def rasterize_gsplat(
    inputs: Inputs,
    *,
    depth: bool,
    near: float,
    far: float,
    eps2d: float,
    antialiased: bool,
    radius_clip: float,
    median: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor]:
    """Colour [..., C, H, W, 3], alpha, sum of weight times depth, median depth, features and radii; see `rasterize`."""
    i, b = inputs, inputs.batch
    if i.means.dtype != torch.float32:
        raise RenderError(f"means: backend 'gsplat' draws float32 only, got {i.means.dtype}")
    surfels = i.model == "2dgs"
    if median and not surfels:
        raise RenderError(
            "render_depth 'median': gsplat's 3D Gaussian kernels have none; use 'expected', model '2dgs', or backend "
            "'cpu'"
        )
    try:
        import gsplat
    except ImportError as error:
        raise RenderError(
            f"backend 'gsplat' needs the package gsplat 1.5.3 (pip install gsplat==1.5.3): {error}"
        ) from error
    views, ks = _full(i.viewmats, 3, b), _full(i.Ks, 3, b)
    if surfels:
        p = _project_surfels(gsplat, i, views, ks, near, far, radius_clip)
    else:
        p = _project(gsplat, i, views, ks, near, far, eps2d, antialiased, radius_clip)
    values = _values(gsplat, i, views, p)
    n_values = values.shape[-1]
    if surfels:
        spare = _spare_channels(n_values + depth)
        values = torch.nn.functional.pad(values, (0, spare)) if spare else values
    if depth:
        # The depth comes last: 2DGS takes its median depth from there.
        values = torch.cat([values, p.depths[..., None]], -1)
    across, down = -(-i.width // TILE), -(-i.height // TILE)
    images = p.depths.numel() // max(1, p.depths.shape[-1])
    _, keys, ids = gsplat.isect_tiles(p.centres, p.radii, p.depths, TILE, across, down, n_images=images)
    offsets = gsplat.isect_offset_encode(keys, images, across, down).view(*p.depths.shape[:-1], down, across)
    where = (i.width, i.height, TILE, offsets, ids)
    median_depth: Tensor | None = None
    parts: list[Tensor] = []
    alphas: list[Tensor] = []
    for some in values.split(CHUNK, -1) if values.shape[-1] > CHUNK else (values,):
        if surfels:
            rays, normals = p.shape
            part, alpha, _, _, median_depth = gsplat.rasterize_to_pixels_2dgs(
                p.centres, rays, some, p.opacities, normals, torch.zeros_like(p.centres), *where
            )
        else:
            part, alpha = gsplat.rasterize_to_pixels(p.centres, p.shape, some, p.opacities, *where)
        parts.append(part)
        alphas.append(alpha)
    pictures, alpha = parts[0] if len(parts) == 1 else torch.cat(parts, -1), alphas[0]
    # Each slice costs microseconds, which count beside a frame of a third of a millisecond.
    if not depth and pictures.shape[-1] == 3:
        return pictures, alpha, None, None, None, p.radii
    depth_sum = pictures[..., -1:] if depth else None
    return pictures[..., :3], alpha, depth_sum, median_depth, pictures[..., 3:n_values], p.radii


def _full(x: Tensor, trailing: int, batch: tuple[int, ...]) -> Tensor:
    """`x` with all of the batch's leading axes, contiguous: gsplat broadcasts nothing."""
    if x.dim() == len(batch) + trailing and x.shape[: len(batch)] == batch:
        return x.contiguous()
    return x.expand(*batch, *x.shape[x.dim() - trailing :]).contiguous()


def _spare_channels(needed: int) -> int:
    """How many empty channels make `needed` a number that the 2DGS kernels take."""
    if needed > CHUNK:
        return -needed % CHUNK
    return next(k for k in _CHANNELS_2D if k >= needed) - needed


def _project(
    gsplat: Any, i: Inputs, views: Tensor, ks: Tensor, near: float, far: float, eps2d: float, antialiased: bool,
    radius_clip: float,
) -> Projected:  # fmt: skip
    covars = quats = scales = None
    if i.covars is None:
        assert i.quats is not None and i.scales is not None
        quats, scales = _full(i.quats, 2, i.batch), _full(i.scales, 2, i.batch)
    else:
        upper = i.covars.flatten(-2)[..., [0, 1, 2, 4, 5, 8]]
        covars = _full(upper, 2, i.batch)
    opacities = _full(i.opacities, 1, i.batch)
    radii, centres, depths, conics, kept = gsplat.fully_fused_projection(
        _full(i.means, 2, i.batch), covars, quats, scales, views, ks, i.width, i.height, eps2d=eps2d, near_plane=near,
        far_plane=far, radius_clip=radius_clip, calc_compensations=antialiased, opacities=opacities,
    )  # fmt: skip
    opacities = opacities[..., None, :].expand_as(depths)
    return Projected(radii, centres, depths, opacities if kept is None else opacities * kept, conics)


def _project_surfels(
    gsplat: Any, i: Inputs, views: Tensor, ks: Tensor, near: float, far: float, radius_clip: float
) -> Projected:
    quats, scales = i.quats, i.scales
    if i.covars is not None:
        from pw_core.render.surfels import axes_of

        quats, scales = axes_of(i.covars)
    assert quats is not None and scales is not None
    radii, centres, depths, rays, normals = gsplat.fully_fused_projection_2dgs(
        _full(i.means, 2, i.batch), _full(quats, 2, i.batch), _full(scales, 2, i.batch), views, ks, i.width, i.height,
        near_plane=near, far_plane=far, radius_clip=radius_clip,
    )  # fmt: skip
    opacities = i.opacities.expand(*i.batch, i.opacities.shape[-1])[..., None, :].expand_as(depths)
    return Projected(radii, centres, depths, opacities, (rays, normals))


def _values(gsplat: Any, i: Inputs, views: Tensor, p: Projected) -> Tensor:
    """What each camera blends of each Gaussian: colours, then features, (*b, C, N, D)."""
    lead = (*p.depths.shape,)
    colors = i.colors
    if i.sh_degree is None:
        values = colors.expand(*i.batch, *colors.shape[-2:])[..., None, :, :].expand(*lead, colors.shape[-1])
    else:
        centre = torch.inverse(views)[..., :3, 3]
        rays = i.means.expand(*i.batch, *i.means.shape[-2:])[..., None, :, :] - centre[..., None, :]
        sh = colors.expand(*i.batch, *colors.shape[-3:])[..., None, :, :, :].expand(*lead, *colors.shape[-2:])
        values = gsplat.spherical_harmonics(i.sh_degree, rays, sh, masks=(p.radii > 0).all(-1))
        values = torch.clamp_min(values + 0.5, 0.0)
    if i.features is not None:
        feats = i.features.expand(*i.batch, *i.features.shape[-2:])[..., None, :, :]
        values = torch.cat([values, feats.expand(*lead, feats.shape[-1])], -1)
    return values
