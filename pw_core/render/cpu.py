"""The CPU rasteriser as one differentiable torch function over batches and cameras; each image is `image`'s."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pw_core.render import image
from pw_core.render.image import Pictures, Settings, one_image


class Rasterize(torch.autograd.Function):
    """apply(settings, *tensors): the tensors of `image.TENSORS`, of which all but the intrinsics get gradients.

    Returns colour [*batch, C, H, W, 3], alpha and sum of weight times depth [*batch, C, H, W, 1], median depth (the
    same, or [0, 1, 1] when not asked for), features [*batch, C, H, W, F], radii [*batch, C, N, 2] px.
    """

    @staticmethod
    def forward(ctx: Any, settings: Settings, *given: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        s = settings
        inputs = tuple(None if x is None else x.detach().contiguous() for x in given)
        means, features, views = inputs[0], inputs[6], inputs[7]
        assert means is not None and views is not None
        cams, n, dtype = views.shape[-3], means.shape[-2], means.dtype
        shape = (*s.batch, cams, s.height, s.width)
        rgb, alpha, depth = (torch.empty((*shape, k), dtype=dtype) for k in (3, 1, 1))
        feats = torch.empty((*shape, 0 if features is None else features.shape[-1]), dtype=dtype)
        median = torch.empty((*shape, 1) if s.median else (0, 1, 1), dtype=dtype)
        radii = torch.empty((*s.batch, cams, n, 2), dtype=torch.int32)
        keep, kept, tiles = any(ctx.needs_input_grad), [], s.all_tiles()
        for out in np.ndindex(*s.batch, cams):
            args = one_image(inputs, s.batch, out[:-1], out[-1])
            pictures = Pictures.of(rgb[out], alpha[out], depth[out], feats[out], median[out] if s.median else None)
            seen = image.project(args, s)
            lasts = image.blend(tiles, seen.rec, args["features"], seen.offsets, seen.ids, s, pictures)
            radii[out] = torch.from_numpy(seen.radii)
            if keep:
                kept.append((seen, lasts))
        ctx.settings, ctx.kept = s, kept
        ctx.save_for_backward(*[x for x in inputs if x is not None], alpha)
        ctx.present = [x is not None for x in inputs]
        ctx.mark_non_differentiable(radii)
        return rgb, alpha, depth, median, feats, radii

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        s: Settings = ctx.settings
        saved = list(ctx.saved_tensors)
        inputs = tuple(saved.pop(0) if there else None for there in ctx.present)
        alpha = saved.pop(0)
        v_rgb, v_alpha, v_depth, v_median, v_feats = (g.contiguous() for g in grads[:5])
        sums = tuple(None if x is None else torch.zeros_like(x) for x in inputs)
        tiles = s.all_tiles()
        places = np.ndindex(*alpha.shape[:-3])
        for out, (seen, (last, median_last)) in zip(places, ctx.kept, strict=True):
            args = one_image(inputs, s.batch, out[:-1], out[-1])
            v = Pictures.of(v_rgb[out], v_alpha[out], v_depth[out], v_feats[out], v_median[out] if s.median else None)
            pairs = image.blend_back(
                tiles, seen.rec, args["features"], seen.offsets, seen.ids, s, alpha[out].numpy()[..., 0], last,
                median_last, v,
            )  # fmt: skip
            image.project_back(seen, seen.slots, pairs, args, one_image(sums, s.batch, out[:-1], out[-1]), s)
        wanted = ctx.needs_input_grad[1:9]
        return (None, *(g if want else None for g, want in zip(sums[:8], wanted, strict=True)), None)
