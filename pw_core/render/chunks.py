"""A loss over many frames, a few at a time: gradients in bounded memory, in one differentiable call.

Drawing T frames through C cameras with gradients keeps each picture's lists until the backward pass: gigabytes for a
round of refinement. When the loss is a sum over frames, each run of frames can be drawn, compared and taken back
before the next is drawn. `sum_over_frames` does so and looks, from outside, like one differentiable function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pw_core.errors import RenderError

Loss = Callable[..., Tensor]


class _SumOverFrames(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Loss, frames: int, chunk: int, n_framed: int, *tensors: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[4:]
        sums = [torch.zeros_like(x) if want else None for x, want in zip(tensors, wanted, strict=True)]
        total: Tensor | None = None
        for first in range(0, frames, chunk):
            some = slice(first, min(first + chunk, frames))
            with torch.enable_grad():
                parts = [x.detach()[some] if k < n_framed else x.detach() for k, x in enumerate(tensors)]
                for part, want in zip(parts, wanted, strict=True):
                    part.requires_grad_(want)
                value = loss(some, *parts)
                leaves = [p for p, want in zip(parts, wanted, strict=True) if want]
                grads = iter(torch.autograd.grad(value, leaves, allow_unused=True) if leaves else ())
            for k, into in enumerate(sums):
                grad = None if into is None else next(grads)
                if into is None or grad is None:
                    continue
                if k < n_framed:
                    into[some] += grad
                else:
                    into += grad
            total = value.detach() if total is None else total + value.detach()
        assert total is not None
        ctx.save_for_backward(*[x for x in sums if x is not None])
        ctx.wanted = wanted
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        saved = iter(ctx.saved_tensors)
        return (None, None, None, None, *(grad * next(saved) if want else None for want in ctx.wanted))


def sum_over_frames(loss: Loss, *, framed: Sequence[Tensor], shared: Sequence[Tensor] = (), chunk: int) -> Tensor:
    """The sum of `loss(frames, *framed[frames], *shared)` over all frames, `chunk` frames at a time.

    Args:
        loss: draws a run of frames and returns one number. Called with the run as a slice, then with those frames of
            `framed`, then with `shared`. Only these tensors get gradients, not what it reads from elsewhere.
        framed: tensors whose first axis is the frame, all of one length T.
        shared: tensors that every frame uses (colours, opacities).
        chunk: frames a run, 1 or more; see `frames_within`.

    Returns the sum, a tensor without axes. The gradients are worked out on the way forward, so memory holds one run,
    and one array of each gradient.

    Raises:
        pw_core.errors.RenderError: no frames, different numbers of frames, a chunk below 1.
    """
    if not framed or chunk < 1:
        raise RenderError(f"framed, chunk: expected 1 tensor or more and 1 frame or more, got {len(framed)}, {chunk}")
    counts = [x.shape[0] for x in framed]
    if min(counts) < 1 or len(set(counts)) > 1:
        raise RenderError(f"framed: axis 0 must be the same number of frames, 1 or more, in each, got {counts}")
    total: Tensor = _SumOverFrames.apply(loss, counts[0], chunk, len(framed), *framed, *shared)
    return total


def frames_within(
    megabytes: float,
    *,
    gaussians: int,
    cameras: int,
    width: int,
    height: int,
    features: int = 0,
    background: int = 0,
    device: str = "cpu",
) -> int:
    """How many frames of `cameras` pictures each may be drawn and taken back at once within `megabytes`; at least 1.

    gaussians: of the foreground; background: of the prepared background, which costs on CUDA alone, where each frame
    has its own copy. An estimate from above: 4 tiles a Gaussian, and a loss that keeps 2 more pictures.
    """
    pixels = width * height
    picture = pixels * 4 * (2 * (5 + features) + 2 * 3)
    if device == "cpu":
        # A frame keeps records, rectangles, radii, starts and lists, and each pixel's last place; one picture at a
        # time has its pairs' gradients.
        each = gaussians * (64 + 16 + 16 + 8 + 4 * 8) + 4 * pixels
        inputs, once = gaussians * 4 * 2 * (3 + 9), gaussians * 4 * 4 * (10 + features)
    else:
        count = gaussians + background
        each = count * 4 * (2 * (2 + 1 + 3 + 1 + 3 + features) + 10 * 3)
        inputs, once = count * 4 * 2 * (3 + 9 + 1 + 3 + features), 0
    left = megabytes * 1e6 - once
    return max(1, int(left / (cameras * (each + picture) + inputs)))
