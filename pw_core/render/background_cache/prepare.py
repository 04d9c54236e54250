"""A still background prepared once: frames through the same cameras pay for their moving foreground alone.

`prepare` projects, sorts, bins and blends the background. `rasterize_over` projects a frame's foreground, merges it by
depth into the tile lists it touches, and blends those tiles; every other tile is the background's, copied. The result
has the same bits as `rasterize` of both sets together, occlusion in either order included, and gradients to the
foreground and to the background's colours. On CUDA both sets are drawn together: gsplat's projection and sort cost less
than a merge would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from pw_core.errors import RenderError
from pw_core.render.checks import Arguments, Options, check_inputs
from pw_core.render.entry import Rendered, rasterize

if TYPE_CHECKING:
    from pw_core.render.background_cache.over import Still


@dataclass(frozen=True, eq=False)
class Prepared:
    """A camera's view of a background; opaque, made by `prepare`. `still` is None where CUDA draws."""

    viewmat: Tensor
    K: Tensor
    width: int
    height: int
    sh_degree: int | None
    options: Options
    parts: dict[str, Tensor | None]
    still: Still | None

    def picture(self) -> tuple[Tensor, Tensor]:
        """The background alone: colours (H, W, 3), and expected depth [m] (H, W), nan where nothing is seen."""
        if self.still is not None:
            seen = self.still.pictures
            rgb, alpha, depth = (torch.from_numpy(x) for x in (seen.rgb, seen.alpha, seen.depth))
        else:
            with torch.no_grad():
                given: dict[str, Any] = {**self.parts, **self.options._asdict()}
                drawn = rasterize(
                    viewmats=self.viewmat[None], Ks=self.K[None], width=self.width, height=self.height,
                    sh_degree=self.sh_degree, render_depth="expected", **given,
                )  # fmt: skip
            assert drawn.depth is not None
            rgb, alpha = drawn.rgb[0], drawn.alpha[0, ..., 0]
            depth = drawn.depth[0, ..., 0] * alpha
        return rgb, torch.where(alpha > 0, depth / alpha.clamp_min(1e-10), torch.nan)


def prepare(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    colors: Tensor,
    viewmat: Tensor,
    K: Tensor,
    width: int,
    height: int,
    *,
    covars: Tensor | None = None,
    sh_degree: int | None = None,
    near: float = 0.01,
    far: float = 1e10,
    eps2d: float = 0.3,
    antialiased: bool = False,
    radius_clip: float = 0.0,
) -> Prepared:
    """The background as camera `viewmat` (4, 4), `K` (3, 3) sees it; the arguments are those of `rasterize`, without
    [...].

    Raises:
        pw_core.errors.RenderError: as `rasterize`, and when the Gaussians have leading dimensions.
    """
    options = Options(near, far, eps2d, antialiased, radius_clip)
    given = {
        "means": means, "quats": quats, "scales": scales, "opacities": opacities, "colors": colors, "covars": covars,
    }  # fmt: skip
    parts = {k: None if v is None else v.detach() for k, v in given.items()}
    backend = "gsplat" if means.is_cuda else "cpu"
    i = check_inputs(Arguments(
        means, quats, scales, covars, opacities, colors, sh_degree, None, viewmat[None], K[None], width, height,
        backend=backend,
    ))  # fmt: skip
    if i.batch or i.n_colors != 3:
        raise RenderError("a prepared background takes one set of Gaussians with three colour channels")
    still = None
    if not means.is_cuda:
        from pw_core.render.background_cache.over import still_of
        from pw_core.render.image import for_kernels

        still = still_of(*for_kernels(i, options))
    return Prepared(viewmat, K, width, height, sh_degree, options, parts, still)


def rasterize_over(
    prepared: Prepared | Sequence[Prepared],
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    colors: Tensor,
    *,
    covars: Tensor | None = None,
    sh_degree: int | None = None,
    features: Tensor | None = None,
    render_depth: Literal["expected"] | None = None,
    cover: bool = False,
    background: Tensor | None = None,
    background_colors: Tensor | None = None,
) -> Rendered:
    """Frames [...] of a foreground, each with the prepared background, through one camera or C cameras of one size.

    Args:
        prepared: the background in one camera, or in C of them (one size, one set of options).
        means, quats, scales, opacities, colors, covars, sh_degree, features: the foreground, as in `rasterize`; leading
            dimensions broadcast, so that T frames of means [T, N, 3] and covars [T, N, 3, 3] share colors [N, 3].
        render_depth: None or "expected".
        cover: whether `cover` is wanted, the part of each pixel that shows the foreground.
        background: colour behind everything, as in `rasterize`.
        background_colors: other colours for the background than it was prepared with, of the same shape: [M, 3], or
            harmonics [M, K, 3] if it was prepared with harmonics.

    Returns pictures [..., C, H, W, channels]; `features` are zero where the background shows; `radii` [..., C, N, 2]
    are the foreground's. Gradients reach every tensor of the foreground, `background` and `background_colors`; not the
    cameras, nor the background's geometry and opacities.

    Raises:
        pw_core.errors.RenderError: as `rasterize`, and when the cameras' sizes or options differ.
    """
    cameras = (prepared,) if isinstance(prepared, Prepared) else tuple(prepared)
    if not cameras:
        raise RenderError("prepared: expected one camera or more, got none")
    p = cameras[0]
    for other in cameras[1:]:
        if (other.width, other.height, other.options) != (p.width, p.height, p.options):
            raise RenderError("prepared: cameras must agree in size and options; draw those that differ on their own")
    if render_depth not in (None, "expected"):
        raise RenderError(f"render_depth: expected None or 'expected' over a prepared background, got {render_depth!r}")
    if background_colors is not None:
        mine = p.parts["colors"]
        assert mine is not None
        if background_colors.shape != mine.shape:
            raise RenderError(
                f"background_colors: expected {list(mine.shape)} as prepared, got {list(background_colors.shape)}"
            )
    views, ks = torch.stack([c.viewmat for c in cameras]), torch.stack([c.K for c in cameras])
    front = {
        "means": means, "quats": quats, "scales": scales, "opacities": opacities, "colors": colors, "covars": covars,
        "features": features,
    }  # fmt: skip
    if means.is_cuda:
        return _on_cuda(cameras, front, views, ks, sh_degree, render_depth, cover, background, background_colors)
    from pw_core.render.background_cache.over import Over
    from pw_core.render.image import for_kernels

    i = check_inputs(Arguments(
        means, quats, scales, covars, opacities, colors, sh_degree, features, views, ks, p.width, p.height,
        render_depth, background, "cpu",
    ))  # fmt: skip
    if i.n_colors != 3:
        raise RenderError(f"colors: axis -1 must have size 3 over a prepared background, got {i.n_colors}")
    stills = tuple(c.still for c in cameras)
    if any(still is None for still in stills):
        raise RenderError("means: the background was prepared on CUDA, the foreground is on the CPU")
    settings, tensors = for_kernels(i, p.options, cover=cover)
    still_colors = None if background_colors is None else _seen_colors(cameras, background_colors)
    rgb, alpha, depth_sum, extra, covered, radii = Over.apply(settings, stills, still_colors, *tensors)
    depth = depth_sum / alpha.clamp_min(1e-10) if render_depth == "expected" else None
    if background is not None:
        rgb = rgb + (1 - alpha) * background
    return Rendered(
        rgb=rgb, alpha=alpha, depth=depth, features=None if features is None else extra, radii=radii,
        cover=covered if cover else None,
    )  # fmt: skip


def _seen_colors(cameras: tuple[Prepared, ...], colors: Tensor) -> Tensor:
    """What each camera sees of the background's colours, [C, M, 3]."""
    from pw_core.render.reference import sh_colors

    if cameras[0].sh_degree is None:
        return colors.expand(len(cameras), *colors.shape)
    means = cameras[0].parts["means"]
    assert means is not None
    centres = [-torch.linalg.solve(c.viewmat[:3, :3], c.viewmat[:3, 3]) for c in cameras]
    return torch.stack([sh_colors(colors, means - at, cameras[0].sh_degree) for at in centres])


def _on_cuda(
    cameras: tuple[Prepared, ...],
    front: dict[str, Tensor | None],
    views: Tensor,
    ks: Tensor,
    sh_degree: int | None,
    render_depth: Literal["expected"] | None,
    cover: bool,
    background: Tensor | None,
    background_colors: Tensor | None,
) -> Rendered:
    from pw_core.render.reference import covariances

    p = cameras[0]
    if p.sh_degree != sh_degree:
        raise RenderError(f"sh_degree: background and foreground must agree on CUDA, got {p.sh_degree} and {sh_degree}")
    back = dict(p.parts)
    if background_colors is not None:
        back["colors"] = background_colors
    if (front["covars"] is None) != (back["covars"] is None):
        for parts in (front, back):
            if parts["covars"] is None:
                assert parts["quats"] is not None and parts["scales"] is not None
                parts["covars"] = covariances(parts["quats"], parts["scales"])
            parts["quats"] = parts["scales"] = None
    still, means = back["means"], front["means"]
    assert still is not None and means is not None
    count = still.shape[-2]
    feats = front.pop("features")
    if cover:  # of another channel, which is 1 in the foreground
        one = torch.ones((means.shape[-2], 1) if feats is None else (*feats.shape[:-1], 1)).to(means)
        feats = one if feats is None else torch.cat([feats, one], -1)
    joined: dict[str, Any] = {"features": None}
    if feats is not None:
        joined["features"] = torch.nn.functional.pad(feats, (0, 0, count, 0))
    trailing = {"means": 2, "quats": 2, "scales": 2, "opacities": 1, "covars": 3,
                "colors": 2 if sh_degree is None else 3}  # fmt: skip
    for name, x in front.items():
        ground = back[name]
        if x is None or ground is None:
            joined[name] = None
            continue
        lead, tail = x.shape[: x.dim() - trailing[name]], ground.shape
        joined[name] = torch.cat([ground.expand(*lead, *tail), x], x.dim() - trailing[name])
    r = rasterize(viewmats=views, Ks=ks, width=p.width, height=p.height, sh_degree=sh_degree,
                  render_depth=render_depth, background=background, **joined,
                  **p.options._asdict())  # fmt: skip
    extra, covered = r.features, None
    if cover and extra is not None:
        covered = extra[..., -1:].detach()
        extra = extra[..., :-1] if extra.shape[-1] > 1 else None
    return Rendered(r.rgb, r.alpha, r.depth, extra, r.radii[..., count:, :], covered)
