"""What `rasterize` accepts, checked once: every complaint says which argument, which axis, and what was expected."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pw_core.errors import RenderError


class Options(NamedTuple):
    """How Gaussians are projected; see `rasterize`."""

    near: float
    far: float
    eps2d: float
    antialiased: bool
    radius_clip: float


class Arguments(NamedTuple):
    """What `rasterize` and `rasterize_over` were called with, unchecked."""

    means: Tensor
    quats: Tensor | None
    scales: Tensor | None
    covars: Tensor | None
    opacities: Tensor
    colors: Tensor
    sh_degree: int | None
    features: Tensor | None
    viewmats: Tensor
    Ks: Tensor
    width: int
    height: int
    render_depth: str | None = None
    background: Tensor | None = None
    backend: str = "auto"
    model: str = "3dgs"


class Inputs(NamedTuple):
    """Checked inputs. `colors` has 3 channels or is spherical harmonics; further colour channels lead in `features`.

    whole: every tensor has all of `batch` as leading axes, none is to be broadcast.
    """

    means: Tensor
    quats: Tensor | None
    scales: Tensor | None
    covars: Tensor | None
    opacities: Tensor
    colors: Tensor
    sh_degree: int | None
    features: Tensor | None
    viewmats: Tensor
    Ks: Tensor
    width: int
    height: int
    batch: tuple[int, ...]
    n_colors: int
    extra_colors: int
    backend: str
    model: str
    whole: bool


class _Plan(NamedTuple):
    batch: tuple[int, ...]
    n_colors: int
    backend: str
    whole: bool


# What shapes, types and options of this kind came to: a planner draws the same kind over and over, and the checks take
# a twentieth of a small frame on a fast card.
_seen: dict[Any, _Plan] = {}
_SEEN_AT_MOST = 256


def _trailing(name: str, shape: tuple[int, ...], expected: tuple[int | str, ...]) -> tuple[int, ...]:
    """The leading axes of `shape`, once its last axes are `expected`: a number is a size, a string the name of a free
    axis."""
    count = len(expected)
    tail = shape[-count:]
    if len(shape) >= count:
        if tail == expected:
            return shape[:-count]
        wrong = [k for k, size in enumerate(expected) if type(size) is int and tail[k] != size]
        if not wrong:
            return shape[:-count]
    wanted = f"[..., {', '.join(str(e) for e in expected)}]"
    if len(shape) < count:
        raise RenderError(f"{name}: expected shape {wanted}, got {list(shape)}: {count - len(shape)} axes too few")
    axis, size, got = wrong[-1] - count, expected[wrong[-1]], tail[wrong[-1]]
    raise RenderError(f"{name}: axis {axis} must have size {size} in {wanted}, got {got} in {list(shape)}")


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape to which both broadcast, or None. (torch.broadcast_shapes takes 20 us, a tenth of a frame on a fast
    card.)"""
    if a == b or not b:
        return a
    if not a:
        return b
    rank = max(len(a), len(b))
    out = []
    for x, y in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if x != y and x != 1 and y != 1:
            return None
        out.append(y if x == 1 else x)
    return tuple(out)


def check_inputs(a: Arguments) -> Inputs:
    """The arguments of `rasterize` in one form, or RenderError."""
    tensors = (a.means, a.quats, a.scales, a.covars, a.opacities, a.colors, a.features, a.viewmats, a.Ks, a.background)
    key = (a.sh_degree, a.width, a.height, a.render_depth, a.backend, a.model,
           *[None if x is None else (x.shape, x.dtype, x.device) for x in tensors])  # fmt: skip
    plan = _seen.get(key)
    if plan is None:
        plan = _check(*a)
        if len(_seen) >= _SEEN_AT_MOST:
            _seen.clear()
        _seen[key] = plan
    batch, n_colors, chosen, whole = plan
    colors, features, extra = a.colors, a.features, 0
    if n_colors < 3:
        colors = torch.nn.functional.pad(colors, (0, 3 - n_colors))
    elif n_colors > 3:
        extra, n = n_colors - 3, a.means.shape[-2]
        rest = colors[..., 3:]
        if features is not None:
            lead = _broadcast(tuple(rest.shape[:-2]), tuple(features.shape[:-2])) or ()
            rest = torch.cat([rest.expand(*lead, n, extra), features.expand(*lead, *features.shape[-2:])], -1)
        colors, features = colors[..., :3], rest
    return Inputs(a.means, a.quats, a.scales, a.covars, a.opacities, colors, a.sh_degree, features, a.viewmats, a.Ks,
                  a.width, a.height, batch, n_colors, extra, chosen, a.model, whole)  # fmt: skip


def _check(
    means: Tensor, quats: Tensor | None, scales: Tensor | None, covars: Tensor | None, opacities: Tensor,
    colors: Tensor, sh_degree: int | None, features: Tensor | None, viewmats: Tensor, Ks: Tensor, width: int,
    height: int, render_depth: str | None, background: Tensor | None, backend: str, model: str,
) -> _Plan:  # fmt: skip
    if backend not in ("auto", "cpu", "gsplat", "reference"):
        raise RenderError(f"backend: expected 'auto', 'cpu', 'gsplat' or 'reference', got {backend!r}")
    if model not in ("3dgs", "2dgs"):
        raise RenderError(f"model: expected '3dgs' or '2dgs', got {model!r}")
    if render_depth not in (None, "expected", "median"):
        raise RenderError(f"render_depth: expected None, 'expected' or 'median', got {render_depth!r}")
    if not (1 <= width <= 16384 and 1 <= height <= 16384):
        raise RenderError(f"width, height: expected 1 to 16384 px, got {width} x {height}")
    if (covars is None) == (quats is None and scales is None):
        raise RenderError("give either quats and scales, or covars")
    if covars is None and (quats is None or scales is None):
        raise RenderError(
            f"{'quats' if quats is None else 'scales'}: missing; expected both quats and scales, or covars"
        )
    dtype, device = means.dtype, means.device
    if dtype not in (torch.float32, torch.float64):
        raise RenderError(f"means: expected torch.float32 or torch.float64, got {dtype}")
    batch = _trailing("means", tuple(means.shape), ("N", 3))
    leads = [batch]
    n = means.shape[-2]
    if sh_degree is not None and sh_degree not in (0, 1, 2, 3):
        raise RenderError(f"sh_degree: expected None or 0 to 3, got {sh_degree!r}")
    per_gaussian: tuple[tuple[str, Tensor | None, tuple[int | str, ...]], ...] = (
        ("quats", quats, (n, 4)), ("scales", scales, (n, 3)), ("covars", covars, (n, 3, 3)),
        ("opacities", opacities, (n,)), ("features", features, (n, "F")),
        ("colors", colors, (n, "D") if sh_degree is None else (n, "K", 3)),
        ("viewmats", viewmats, ("C", 4, 4)), ("Ks", Ks, ("C", 3, 3)),
    )  # fmt: skip
    for name, x, tail in per_gaussian:
        if x is None:
            continue
        lead = _trailing(name, tuple(x.shape), tail)
        if x.dtype != dtype:
            raise RenderError(f"{name}: expected {dtype} (like means), got {x.dtype}")
        if x.device != device:
            raise RenderError(f"{name}: expected device {device} (like means), got {x.device}")
        leads.append(lead)
        if lead != batch:
            both = _broadcast(batch, lead)
            if both is None:
                raise RenderError(f"{name}: leading axes {list(lead)} do not broadcast with {list(batch)}")
            batch = both
    if sh_degree is not None and colors.shape[-2] < (sh_degree + 1) ** 2:
        raise RenderError(
            f"colors: axis -2 needs {(sh_degree + 1) ** 2} or more harmonics for sh_degree {sh_degree}, "
            f"got {colors.shape[-2]} in {list(colors.shape)}"
        )
    if Ks.shape[-3] != viewmats.shape[-3]:
        raise RenderError(
            f"Ks: axis -3 must have size C = {viewmats.shape[-3]} (like viewmats), got {Ks.shape[-3]} "
            f"in {list(Ks.shape)}"
        )
    n_colors = 3 if sh_degree is not None else colors.shape[-1]
    if n_colors < 1:
        raise RenderError("colors: axis -1 must hold at least one channel")
    if background is not None:
        want = (*batch, viewmats.shape[-3], height, width, n_colors)
        fits = _broadcast(want, tuple(background.shape)) == want
        if not fits:
            raise RenderError(
                f"background: expected a shape that broadcasts to {list(want)}, got {list(background.shape)}"
            )
    chosen = ("gsplat" if means.is_cuda else "cpu") if backend == "auto" else backend
    if chosen == "gsplat" and not means.is_cuda:
        raise RenderError("backend 'gsplat' needs CUDA tensors; means is on the CPU")
    if chosen == "cpu" and means.device.type != "cpu":
        raise RenderError(f"backend 'cpu' needs CPU tensors; means is on {means.device}")
    if chosen == "cpu" and model == "2dgs":
        raise RenderError(
            "model '2dgs': the CPU kernels draw 3D Gaussians only; give CUDA tensors (gsplat draws them), use model "
            "'3dgs', or, for a small picture, backend 'reference'"
        )
    return _Plan(batch, n_colors, chosen, all(lead == batch for lead in leads))
