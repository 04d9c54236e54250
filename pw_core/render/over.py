"""Frames of moving Gaussians over still ones, on the CPU, as one differentiable function.

The still set's projection, sort, tile lists and picture come from `prepared.prepare`. A frame merges its own Gaussians
into the lists of the tiles that they touch and blends those alone, forward and backward. Elsewhere every frame is the
still picture, so the gradients of all frames there are added up first and carried back to the still colours once.
"""

# mypy: disable-error-code="call-arg"
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pw_core.render import cpu, kernels_bin, kernels_blend
from pw_core.render.kernels_blend import PAIR_GRADS, RECORD, TILE, B, R

_TILES_PER_PIECE = 16
_AREA = TILE * TILE


@dataclass(frozen=True, eq=False)
class Still:
    """The still set as one camera sees it: records, tile lists, last places, and what they blend to."""

    rec: NDArray[Any]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    last: NDArray[np.int32]
    rgb: NDArray[Any]
    alpha: NDArray[Any]
    depth: NDArray[Any]
    spare: list[NDArray[Any]] = field(default_factory=list)  # rooms to use again, see `_room`

    def recolored(self, colors: NDArray[Any], s: cpu.Settings) -> Still:
        """With other colours (N, 3); all else stays."""
        rec = self.rec.copy()
        rec[:, R : B + 1] = colors
        rgb, last = np.empty_like(self.rgb), np.empty_like(self.last)
        alpha, depth = np.empty_like(self.alpha), np.empty_like(self.depth)
        none = np.empty((s.height, s.width, 0), rec.dtype)
        spare, one = np.empty((1, 1), rec.dtype), np.empty(1, np.int32)

        def work(first: int, end: int) -> None:
            kernels_blend.blend_forward(
                first, end, -(-s.width // TILE), s.width, s.height, rec, np.empty((len(rec), 0), rec.dtype),
                self.offsets, self.ids, False, rgb, alpha, depth, none, spare, last, one,
            )  # fmt: skip

        cpu.run_pieces(work, len(self.offsets) - 1, 2 * _TILES_PER_PIECE)
        return Still(rec, self.offsets, self.ids, last, rgb, alpha, depth)


@dataclass(frozen=True, eq=False)
class _Frame:
    """What a frame's backward pass starts from; `slots` are places in the merged lists, `last` is that of `runs`."""

    rec: NDArray[Any]
    rects: NDArray[np.int32]
    starts: NDArray[np.int64]
    slots: NDArray[np.int32]
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    touched: NDArray[np.int64]
    last: NDArray[np.int32]


def _runs(touched: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Consecutive tiles as half-open ranges, none longer than a piece: few calls, each big enough."""
    out: list[tuple[int, int]] = []
    for part in np.split(touched, np.flatnonzero(np.diff(touched) > 1) + 1):
        if len(part):
            a, end = int(part[0]), int(part[-1]) + 1
            out += [(k, min(k + _TILES_PER_PIECE, end)) for k in range(a, end, _TILES_PER_PIECE)]
    return out


class Over(torch.autograd.Function):
    """Arguments and results as `cpu.Rasterize`, without median and poses' gradients; `stills` has one entry a camera.

    still_colors [C, M, 3], or None for those of `stills`, gets gradients; the still set's geometry and opacities do
    not. Results: colour [*batch, C, H, W, 3], alpha and sum of weight times depth [*batch, C, H, W, 1], features
    [*batch, C, H, W, F] (the still set has none: zero), radii [*batch, C, N, 2].
    """

    @staticmethod
    def forward(
        ctx: Any,
        settings: cpu.Settings,
        stills: tuple[Still, ...],
        means: torch.Tensor,
        quats: torch.Tensor | None,
        scales: torch.Tensor | None,
        covars: torch.Tensor | None,
        opacities: torch.Tensor,
        colors: torch.Tensor,
        features: torch.Tensor | None,
        viewmats: torch.Tensor,
        intrinsics: torch.Tensor,
        still_colors: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        s = settings
        given = (means, quats, scales, covars, opacities, colors, features, viewmats, intrinsics)
        inputs = tuple(None if x is None else x.detach().contiguous() for x in given)
        if still_colors is not None:
            each = still_colors.detach().numpy()
            stills = tuple(still.recolored(c, s) for still, c in zip(stills, each, strict=True))
        dt, shape = means.dtype, (*s.batch, len(stills), s.height, s.width)
        n, n_feats = means.shape[-2], 0 if features is None else features.shape[-1]
        rgb, alpha, depth = (torch.empty((*shape, k), dtype=dt) for k in (3, 1, 1))
        feats = torch.zeros((*shape, n_feats), dtype=dt)
        radii = torch.empty((*s.batch, len(stills), n, 2), dtype=torch.int32)
        keep = any(ctx.needs_input_grad)
        frames: list[_Frame] = []
        for cam, still in enumerate(stills):
            both = _room(still, n)
            for at in np.ndindex(s.batch):
                out = (*at, cam)
                args = cpu._one_image(inputs, s.batch, at, cam)
                pictures = (rgb[out].numpy(), alpha[out].numpy()[..., 0], depth[out].numpy()[..., 0])
                for into, ground in zip(pictures, (still.rgb, still.alpha, still.depth), strict=True):
                    into[...] = ground
                frame, seen = _forward_frame(args, s, still, both, pictures, feats[out].numpy(), keep)
                radii[out] = torch.from_numpy(seen)
                if keep:
                    frames.append(frame)
            still.spare.append(both)
        ctx.settings, ctx.stills, ctx.frames = s, stills, frames
        ctx.save_for_backward(*[x for x in inputs if x is not None], alpha)
        ctx.present = [x is not None for x in inputs]
        ctx.mark_non_differentiable(radii)
        return rgb, alpha, depth, feats, radii

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        s: cpu.Settings = ctx.settings
        stills: tuple[Still, ...] = ctx.stills
        saved = list(ctx.saved_tensors)
        inputs = tuple(saved.pop(0) if there else None for there in ctx.present)
        alpha = saved.pop(0)
        v_rgb, v_alpha, v_depth, v_feats = (g.contiguous() for g in grads[:4])
        sums = tuple(None if x is None else torch.zeros_like(x) for x in inputs)
        assert inputs[0] is not None
        n = inputs[0].shape[-2]
        frames = iter(ctx.frames)
        wants_still = ctx.needs_input_grad[11]
        v_still = [np.zeros((len(still.rec), 3), still.rec.dtype) for still in stills]
        for cam, still in enumerate(stills):
            both = _room(still, n)
            # What every frame passes on to the still picture: all but the tiles that it blended itself.
            passed = np.zeros((s.height, s.width, 3), still.rec.dtype)
            for at in np.ndindex(s.batch):
                out = (*at, cam)
                frame = next(frames)
                _backward_frame(
                    frame, cpu._one_image(inputs, s.batch, at, cam), cpu._one_image(sums, s.batch, at, cam), s, still,
                    both, alpha[out].numpy()[..., 0], v_rgb[out].numpy(), v_alpha[out].numpy()[..., 0],
                    v_depth[out].numpy()[..., 0], v_feats[out].numpy(), v_still[cam] if wants_still else None,
                )  # fmt: skip
                if wants_still:
                    _add_untouched(passed, v_rgb[out].numpy(), frame.touched, s)
            still.spare.append(both)
            if wants_still:
                _backward_still(still, s, passed, v_still[cam])
        given = (*sums[:7], None, None, torch.from_numpy(np.stack(v_still)) if wants_still else None)
        wanted = ctx.needs_input_grad[2:]
        return (None, None, *(g if want else None for g, want in zip(given, wanted, strict=True)))


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
    return np.concatenate([np.zeros((len(still.rec), features.shape[1]), features.dtype), features])


def _forward_frame(
    args: dict[str, NDArray[Any]], s: cpu.Settings, still: Still, both: NDArray[Any],
    pictures: tuple[NDArray[Any], ...], feats: NDArray[Any], keep: bool,
) -> tuple[_Frame, NDArray[np.int32]]:  # fmt: skip
    rec, rects, radii = cpu.project(
        args["means"], args["quats"], args["scales"], args["covars"], args["opacities"], args["colors"], args["view"],
        args["intr"], s,
    )  # fmt: skip
    offsets, ids, starts, slots = cpu.bin_tiles(rec, rects, s)
    merged, merged_offsets, touched, places = kernels_bin.merge_tiles(
        still.offsets, still.ids, still.rec, offsets, ids, rec
    )
    both[len(still.rec) : len(still.rec) + len(rec)] = rec
    all_feats = _features(still, args["features"])
    last = np.empty((len(offsets) - 1) * _AREA, np.int32)
    spare, one = np.empty((1, 1), rec.dtype), np.empty(1, np.int32)
    runs = _runs(touched)

    def work(first: int, end: int) -> None:
        for a, b in runs[first:end]:
            kernels_blend.blend_forward(
                a, b, -(-s.width // TILE), s.width, s.height, both, all_feats, merged_offsets, merged, False,
                *pictures, feats, spare, last, one,
            )  # fmt: skip

    cpu.run_pieces(work, len(runs), 1)
    if keep:
        last = last.reshape(-1, _AREA)[touched]
        slots = places[slots]
    return _Frame(rec, rects, starts, slots, merged, merged_offsets, touched, last), radii


def _backward_frame(
    frame: _Frame, args: dict[str, NDArray[Any]], into: dict[str, NDArray[Any]], s: cpu.Settings, still: Still,
    both: NDArray[Any], alpha: NDArray[Any], v_rgb: NDArray[Any], v_alpha: NDArray[Any], v_depth: NDArray[Any],
    v_feats: NDArray[Any], v_still: NDArray[Any] | None,
) -> None:  # fmt: skip
    dtype = both.dtype
    both[len(still.rec) : len(still.rec) + len(frame.rec)] = frame.rec
    all_feats = _features(still, args["features"])
    pairs = np.empty((len(frame.ids), PAIR_GRADS + all_feats.shape[1]), dtype)
    last = np.full((len(frame.offsets) - 1) * _AREA, -1, np.int32)
    last.reshape(-1, _AREA)[frame.touched] = frame.last
    spare, one = np.empty((1, 1), dtype), np.empty(1, np.int32)
    runs = _runs(frame.touched)

    def blend(first: int, end: int) -> None:
        for a, b in runs[first:end]:
            kernels_blend.blend_backward(
                a, b, -(-s.width // TILE), s.width, s.height, both, all_feats, frame.offsets, frame.ids, False,
                alpha, last, one, v_rgb, v_alpha, v_depth, v_feats, spare, pairs,
            )  # fmt: skip

    cpu.run_pieces(blend, len(runs), 1)
    # The image that `cpu` carries back: its slots point into the merged lists, its records are the frame's alone.
    cpu.carry_back(frame.rec, frame.rects, frame.starts, frame.slots, pairs, args, into, s)
    if v_still is not None:
        kernels_bin.add_colors(frame.ids, pairs, PAIR_GRADS - 4, v_still)


def _add_untouched(passed: NDArray[Any], v_rgb: NDArray[Any], touched: NDArray[np.int64], s: cpu.Settings) -> None:
    across, down = -(-s.width // TILE), -(-s.height // TILE)
    keeps = np.ones(across * down, bool)
    keeps[touched] = False
    mask = np.kron(keeps.reshape(down, across), np.ones((TILE, TILE), bool))[: s.height, : s.width]
    passed[mask] += v_rgb[mask]


def _backward_still(still: Still, s: cpu.Settings, v_rgb: NDArray[Any], v_still: NDArray[Any]) -> None:
    dtype = still.rec.dtype
    none = np.zeros((s.height, s.width), dtype)
    no_feats = np.empty((len(still.rec), 0), dtype)
    pairs = np.empty((len(still.ids), PAIR_GRADS), dtype)
    no_picture = np.empty((s.height, s.width, 0), dtype)
    spare, one = np.empty((1, 1), dtype), np.empty(1, np.int32)

    def blend(first: int, end: int) -> None:
        kernels_blend.blend_backward(
            first, end, -(-s.width // TILE), s.width, s.height, still.rec, no_feats, still.offsets, still.ids, False,
            still.alpha, still.last, one, v_rgb, none, none, no_picture, spare, pairs,
        )  # fmt: skip

    cpu.run_pieces(blend, len(still.offsets) - 1, 2 * _TILES_PER_PIECE)
    kernels_bin.add_colors(still.ids, pairs, PAIR_GRADS - 4, v_still)
