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
from pw_core.render.checks import Inputs, Options
from pw_core.render.surfels import axes_of

TILE = 16
CHUNK = 32
# The numbers of channels that gsplat's 2DGS kernels are compiled for. Others it fills up with uninitialised memory,
# whose NaNs reach the gradients: fill up with zeros here.
_CHANNELS_2D = (1, 2, 3, 4, 8, 16, CHUNK)


class _Seen(NamedTuple):
    """Gaussians as the cameras see them, [*b, C, N, ...]: radii and centres [px], depths [m], opacities, and what their
    shape is told by: conics of 3D Gaussians; ray transforms and normals of surfels."""

    radii: Tensor
    centres: Tensor
    depths: Tensor
    opacities: Tensor
    conics: Tensor | None = None
    rays: Tensor | None = None
    normals: Tensor | None = None


def rasterize_gsplat(
    inputs: Inputs, options: Options, *, depth: bool, median: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor]:
    """Colour [..., C, H, W, 3], alpha, sum of weight times depth, median depth, features and radii; see `rasterize`."""
    i, b = inputs, inputs.batch
    surfels = i.model == "2dgs"
    gsplat = _gsplat(i, median=median)
    views, ks = (i.viewmats, i.Ks) if i.whole else (_full(i.viewmats, 3, b), _full(i.Ks, 3, b))
    seen = (_seen_surfels if surfels else _seen_gaussians)(gsplat, i, options, views, ks)
    values = _values(gsplat, i, views, seen.radii, seen.depths)
    n_values = values.shape[-1]
    if surfels:
        spare = _spare_channels(n_values + depth)
        values = torch.nn.functional.pad(values, (0, spare)) if spare else values
    if depth:
        # The depth comes last: 2DGS takes its median depth from there.
        values = torch.cat([values, seen.depths[..., None]], -1)
    pictures, alpha, median_depth = _blended(gsplat, i, seen, values)
    # Each slice costs microseconds, which count beside a frame of a third of a millisecond.
    if not depth and pictures.shape[-1] == 3:
        return pictures, alpha, None, None, None, seen.radii
    depth_sum = pictures[..., -1:] if depth else None
    return pictures[..., :3], alpha, depth_sum, median_depth, pictures[..., 3:n_values], seen.radii


def _gsplat(i: Inputs, *, median: bool) -> Any:
    """The package; RenderError where it is not there, or cannot draw what is asked for."""
    if i.means.dtype != torch.float32:
        raise RenderError(f"means: backend 'gsplat' draws float32 only, got {i.means.dtype}")
    if median and i.model != "2dgs":
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
    return gsplat


def _seen_surfels(gsplat: Any, i: Inputs, o: Options, views: Tensor, ks: Tensor) -> _Seen:
    means, opacities, quats, scales = i.means, i.opacities, i.quats, i.scales
    if i.covars is not None:
        quats, scales = axes_of(i.covars)
    assert quats is not None and scales is not None
    if not i.whole:
        means, opacities = _full(means, 2, i.batch), _full(opacities, 1, i.batch)
        quats, scales = _full(quats, 2, i.batch), _full(scales, 2, i.batch)
    radii, centres, depths, rays, normals = gsplat.fully_fused_projection_2dgs(
        means, quats, scales, views, ks, i.width, i.height, near_plane=o.near, far_plane=o.far,
        radius_clip=o.radius_clip,
    )  # fmt: skip
    return _Seen(radii, centres, depths, _to_cameras(opacities, 1, depths), rays=rays, normals=normals)


def _seen_gaussians(gsplat: Any, i: Inputs, o: Options, views: Tensor, ks: Tensor) -> _Seen:
    b, whole = i.batch, i.whole
    means, opacities = (i.means, i.opacities) if whole else (_full(i.means, 2, b), _full(i.opacities, 1, b))
    covars = quats = scales = None
    if i.covars is not None:
        covars = i.covars.flatten(-2)[..., [0, 1, 2, 4, 5, 8]]
        covars = covars if whole else _full(covars, 2, b)
    else:
        assert i.quats is not None and i.scales is not None
        quats, scales = (i.quats, i.scales) if whole else (_full(i.quats, 2, b), _full(i.scales, 2, b))
    radii, centres, depths, conics, kept = gsplat.fully_fused_projection(
        means, covars, quats, scales, views, ks, i.width, i.height, eps2d=o.eps2d, near_plane=o.near,
        far_plane=o.far, radius_clip=o.radius_clip, calc_compensations=o.antialiased, opacities=opacities,
    )  # fmt: skip
    seen = _to_cameras(opacities, 1, depths)
    return _Seen(radii, centres, depths, seen if kept is None else seen * kept, conics=conics)


def _blended(gsplat: Any, i: Inputs, seen: _Seen, values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """`values` [*b, C, N, D] blended to [*b, C, H, W, D], alpha, and surfels' median depth."""
    across, down = -(-i.width // TILE), -(-i.height // TILE)
    lead = seen.depths.shape[:-1]
    images = lead.numel()
    _, keys, ids = gsplat.isect_tiles(seen.centres, seen.radii, seen.depths, TILE, across, down, n_images=images)
    offsets = gsplat.isect_offset_encode(keys, images, across, down)
    if len(lead) > 1:
        offsets = offsets.view(*lead, down, across)
    median_depth: Tensor | None = None
    parts: list[Tensor] = []
    alphas: list[Tensor] = []
    for some in values.split(CHUNK, -1) if values.shape[-1] > CHUNK else (values,):
        if seen.rays is not None:
            part, alpha, _, _, median_depth = gsplat.rasterize_to_pixels_2dgs(
                seen.centres, seen.rays, some, seen.opacities, seen.normals, torch.zeros_like(seen.centres), i.width,
                i.height, TILE, offsets, ids,
            )  # fmt: skip
        else:
            part, alpha = gsplat.rasterize_to_pixels(
                seen.centres, seen.conics, some, seen.opacities, i.width, i.height, TILE, offsets, ids
            )
        parts.append(part)
        alphas.append(alpha)
    return (parts[0] if len(parts) == 1 else torch.cat(parts, -1)), alphas[0], median_depth


def _full(x: Tensor, trailing: int, batch: tuple[int, ...]) -> Tensor:
    """`x` with all of the batch's leading axes: gsplat broadcasts nothing."""
    return x.expand(*batch, *x.shape[x.dim() - trailing :])


def _to_cameras(x: Tensor, trailing: int, depths: Tensor) -> Tensor:
    """Each camera's view of what Gaussians have: `x` [*b, N, ...], the last `trailing` axes from N on, as [*b, C, N,
    ...]; depths [*b, C, N]."""
    x = x.unsqueeze(-1 - trailing)
    cameras = depths.shape[-2]
    return x if cameras == 1 else x.expand(*depths.shape, *x.shape[x.dim() - trailing + 1 :])


def _spare_channels(needed: int) -> int:
    """How many empty channels make `needed` a number that the 2DGS kernels take."""
    if needed > CHUNK:
        return -needed % CHUNK
    return next(k for k in _CHANNELS_2D if k >= needed) - needed


def _values(gsplat: Any, i: Inputs, views: Tensor, radii: Tensor, depths: Tensor) -> Tensor:
    """What each camera blends of each Gaussian: colours, then features, [*b, C, N, D]."""
    b = i.batch
    if i.sh_degree is None:
        values = _to_cameras(i.colors if i.whole else _full(i.colors, 2, b), 2, depths)
    else:
        centre = torch.inverse(views)[..., :3, 3]
        rays = (i.means if i.whole else _full(i.means, 2, b))[..., None, :, :] - centre[..., None, :]
        sh = _to_cameras(i.colors if i.whole else _full(i.colors, 3, b), 3, depths)
        values = gsplat.spherical_harmonics(i.sh_degree, rays, sh, masks=(radii > 0).all(-1))
        values = torch.clamp_min(values + 0.5, 0.0)
    if i.features is not None:
        feats = _to_cameras(i.features if i.whole else _full(i.features, 2, b), 2, depths)
        values = torch.cat([values, feats], -1)
    return values
