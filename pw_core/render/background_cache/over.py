"""Frames of moving Gaussians over still ones, on the CPU, as one differentiable function.

The still set's projection, sort, tile lists and picture come from `prepare`. A frame merges its own Gaussians into the
lists of the tiles that they touch and blends those alone, forward and backward. Elsewhere every frame is the still
picture, so the gradients of all frames there are added up first and go back to the still colours once.
"""

# mypy: disable-error-code="misc"
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pw_core.render import image
from pw_core.render.image import Arrays, Pictures, Seen, Settings, Tensors, one_image
from pw_core.render.kernels import bin as kernels_bin
from pw_core.render.kernels.blend import PAIR_GRADS, RECORD, TILE, B, R

_AREA = TILE * TILE
_ONE = np.empty(1, np.int32)  # stands for the median's places, which nothing here has


@dataclass(frozen=True, eq=False)
class Still:
    """The still set as one camera sees it: records, tile lists, last places, and what they blend to."""

    rec: NDArray[Any]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    last: NDArray[np.int32]
    pictures: Pictures
    spare: list[NDArray[Any]] = field(default_factory=list)  # rooms to use again, see `_room`

    def recolored(self, colors: NDArray[Any], s: Settings) -> Still:
        """With other colours (N, 3); all else stays."""
        rec = self.rec.copy()
        rec[:, R : B + 1] = colors
        return _blended(rec, self.offsets, self.ids, s)


def still_of(s: Settings, tensors: Tensors) -> Still:
    """The still set as the camera of `tensors` (see `image.TENSORS`; one camera, no batch) sees it."""
    args = one_image(tuple(None if x is None else x.detach().contiguous() for x in tensors), (), (), 0)
    seen = image.project(args, s)
    return _blended(seen.rec, seen.offsets, seen.ids, s)


def _blended(rec: NDArray[Any], offsets: NDArray[np.int64], ids: NDArray[np.int32], s: Settings) -> Still:
    pictures = Pictures.of(*(np.empty((s.height, s.width, k), rec.dtype) for k in (3, 1, 1)))
    last, _ = image.blend(s.all_tiles(), rec, np.empty((len(rec), 0), rec.dtype), offsets, ids, s, pictures)
    return Still(rec, offsets, ids, last, pictures)


@dataclass(frozen=True, eq=False)
class _Frame:
    """What a frame's backward pass starts from: its Gaussians with `slots` in the merged lists `ids` and `offsets` of
    the tiles `touched`, and the last places in those tiles."""

    seen: Seen
    slots: NDArray[np.int32]
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    touched: NDArray[np.int64]
    last: NDArray[np.int32]


class Over(torch.autograd.Function):
    """apply(settings, stills, still_colors, *tensors): as `cpu.Rasterize`, without median and poses' gradients.

    stills: one a camera. still_colors [C, M, 3], or None for those of `stills`, gets gradients; the still set's
    geometry and opacities do not. Results: colour [*batch, C, H, W, 3], alpha and sum of weight times depth
    [*batch, C, H, W, 1], features [*batch, C, H, W, F] (the still set has none: zero), cover [*batch, C, H, W, 1] (the
    part of each pixel that the frame's own Gaussians cover; [0, 1, 1] when not asked for; carries no gradient), radii
    [*batch, C, N, 2].
    """

    @staticmethod
    def forward(
        ctx: Any, settings: Settings, stills: tuple[Still, ...], still_colors: torch.Tensor | None,
        *given: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:  # fmt: skip
        s = settings
        inputs = tuple(None if x is None else x.detach().contiguous() for x in given)
        means, features = inputs[0], inputs[6]
        assert means is not None
        if still_colors is not None:
            each = still_colors.detach().numpy()
            stills = tuple(still.recolored(c, s) for still, c in zip(stills, each, strict=True))
        dtype, shape = means.dtype, (*s.batch, len(stills), s.height, s.width)
        rgb, alpha, depth = (torch.empty((*shape, k), dtype=dtype) for k in (3, 1, 1))
        feats = torch.zeros((*shape, 0 if features is None else features.shape[-1]), dtype=dtype)
        cover = torch.zeros((*shape, 1) if s.cover else (0, 1, 1), dtype=dtype)
        radii = torch.empty((*s.batch, len(stills), means.shape[-2], 2), dtype=torch.int32)
        keep, frames = any(ctx.needs_input_grad), []
        for cam, still in enumerate(stills):
            both = _room(still, means.shape[-2])
            for at in np.ndindex(s.batch):
                out = (*at, cam)
                covered = cover[out] if s.cover else None
                pictures = Pictures.of(rgb[out], alpha[out], depth[out], feats[out], cover=covered)
                frame = _forward_frame(one_image(inputs, s.batch, at, cam), s, still, both, pictures, keep)
                radii[out] = torch.from_numpy(frame.seen.radii)
                if keep:
                    frames.append(frame)
            still.spare.append(both)
        ctx.settings, ctx.stills, ctx.frames = s, stills, frames
        ctx.save_for_backward(*[x for x in inputs if x is not None], alpha)
        ctx.present = [x is not None for x in inputs]
        ctx.mark_non_differentiable(cover, radii)
        return rgb, alpha, depth, feats, cover, radii

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        s: Settings = ctx.settings
        stills: tuple[Still, ...] = ctx.stills
        saved = list(ctx.saved_tensors)
        inputs = tuple(saved.pop(0) if there else None for there in ctx.present)
        alpha = saved.pop(0)
        v_rgb, v_alpha, v_depth, v_feats = (g.contiguous() for g in grads[:4])
        sums = tuple(None if x is None else torch.zeros_like(x) for x in inputs)
        assert inputs[0] is not None
        frames = iter(ctx.frames)
        wants_still = ctx.needs_input_grad[2]
        v_still = [np.zeros((len(still.rec), 3), still.rec.dtype) for still in stills]
        for cam, still in enumerate(stills):
            both = _room(still, inputs[0].shape[-2])
            # What every frame passes on to the still picture: all but the tiles that it blended itself.
            passed = np.zeros((s.height, s.width, 3), still.rec.dtype)
            for at in np.ndindex(s.batch):
                out, frame = (*at, cam), next(frames)
                v = Pictures.of(v_rgb[out], v_alpha[out], v_depth[out], v_feats[out])
                _backward_frame(
                    frame, one_image(inputs, s.batch, at, cam), one_image(sums, s.batch, at, cam), s, still, both,
                    alpha[out].numpy()[..., 0], v, v_still[cam] if wants_still else None,
                )  # fmt: skip
                if wants_still:
                    _add_untouched(passed, v.rgb, frame.touched, s)
            still.spare.append(both)
            if wants_still:
                _backward_still(still, s, passed, v_still[cam])
        wanted = ctx.needs_input_grad[3:10]
        return (
            None, None, torch.from_numpy(np.stack(v_still)) if wants_still else None,
            *(g if want else None for g, want in zip(sums[:7], wanted, strict=True)), None, None,
        )  # fmt: skip


def _room(still: Still, n: int) -> NDArray[Any]:
    """The still records with room for `n` more behind them. Put it into `still.spare` when done: copying 20 MB into
    fresh pages takes longer than drawing a small lump."""
    try:
        both = still.spare.pop()  # atomic: two threads never get the same
    except IndexError:
        both = np.empty((0, RECORD), still.rec.dtype)
    if len(both) < len(still.rec) + n:
        both = np.empty((len(still.rec) + n, RECORD), still.rec.dtype)
        both[: len(still.rec)] = still.rec
    return both


def _features(still: Still, features: NDArray[Any]) -> NDArray[Any]:
    """Features of both sets: the still one has none."""
    if features.shape[1] == 0:
        return np.empty((len(still.rec) + len(features), 0), still.rec.dtype)
    both = np.zeros((len(still.rec) + len(features), features.shape[1]), features.dtype)  # pages that few tiles touch
    both[len(still.rec) :] = features
    return both


def _forward_frame(args: Arrays, s: Settings, still: Still, both: NDArray[Any], into: Pictures, keep: bool) -> _Frame:
    for mine, ground in ((into.rgb, still.pictures.rgb), (into.alpha, still.pictures.alpha),
                         (into.depth, still.pictures.depth)):  # fmt: skip
        mine[...] = ground
    seen = image.project(args, s)
    ids, offsets, touched, places = kernels_bin.merge_tiles(
        still.offsets, still.ids, still.rec, seen.offsets, seen.ids, seen.rec
    )
    both[len(still.rec) : len(still.rec) + len(seen.rec)] = seen.rec
    front = len(still.rec) if s.cover else None
    last, _ = image.blend(touched, both, _features(still, args["features"]), offsets, ids, s, into, front=front)
    if keep:
        last = last.reshape(-1, _AREA)[touched]
        return _Frame(seen, places[seen.slots], ids, offsets, touched, last)
    return _Frame(seen, seen.slots, ids, offsets, touched, last)


def _backward_frame(
    frame: _Frame, args: Arrays, into: Arrays, s: Settings, still: Still, both: NDArray[Any], alpha: NDArray[Any],
    v: Pictures, v_still: NDArray[Any] | None,
) -> None:  # fmt: skip
    both[len(still.rec) : len(still.rec) + len(frame.seen.rec)] = frame.seen.rec
    last = np.full((len(frame.offsets) - 1) * _AREA, -1, np.int32)
    last.reshape(-1, _AREA)[frame.touched] = frame.last
    feats = _features(still, args["features"])
    pairs = image.blend_back(frame.touched, both, feats, frame.offsets, frame.ids, s, alpha, last, _ONE, v)
    image.project_back(frame.seen, frame.slots, pairs, args, into, s)
    if v_still is not None:
        kernels_bin.add_colors(frame.ids, pairs, PAIR_GRADS - 4, v_still)


def _add_untouched(passed: NDArray[Any], v_rgb: NDArray[Any], touched: NDArray[np.int64], s: Settings) -> None:
    across, down = s.tiles
    keeps = np.ones(across * down, bool)
    keeps[touched] = False
    mask = np.kron(keeps.reshape(down, across), np.ones((TILE, TILE), bool))[: s.height, : s.width]
    passed[mask] += v_rgb[mask]


def _backward_still(still: Still, s: Settings, v_rgb: NDArray[Any], v_still: NDArray[Any]) -> None:
    none = np.zeros((s.height, s.width, 1), still.rec.dtype)
    no_feats = np.empty((len(still.rec), 0), still.rec.dtype)
    pairs = image.blend_back(
        s.all_tiles(), still.rec, no_feats, still.offsets, still.ids, s, still.pictures.alpha, still.last, _ONE,
        Pictures.of(v_rgb, none, none),
    )  # fmt: skip
    kernels_bin.add_colors(still.ids, pairs, PAIR_GRADS - 4, v_still)
