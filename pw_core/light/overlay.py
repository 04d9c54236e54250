"""Shadows over a picture: where each pixel of a background takes its shade from, and drawn frames under it."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pw_core.gaussians import F32
from pw_core.kernels.options import KERNEL
from pw_core.kernels.threads import run, take
from pw_core.light.occlusion import Shade
from pw_core.scene import Light

_ROWS_PER_PIECE = 16


@dataclass(frozen=True, kw_only=True)
class ReceiverOptions:
    """What of a background is shaded."""

    thickness_m: float = 0.006
    """What is so near to z = 0 is the table."""
    wall_ratio: float = 0.03
    """What is so near to the wall, as a share of how far that is away, is the wall."""


@dataclass(frozen=True, kw_only=True)
class OverlayOptions:
    """What of a shade is laid over a picture."""

    least_change: float = 0.002
    """Of the brightness: half a level of an 8-bit picture at the most."""


def receivers(
    points: NDArray[np.floating], light: Light, *, options: ReceiverOptions = ReceiverOptions()
) -> F32:  # fmt: skip
    """Where points [m] (..., 3) take their shade from (..., 3): row and column of the light's cells, from the world's
    origin, and how much of it counts: 0 to 1 of the table's shade, -1 to 0 of the wall's."""
    table = np.abs(points[..., 2]) < options.thickness_m
    if light.wall is not None:
        x = light.wall.x_m
        before = points[..., 0] - x
        wall = np.abs(before) < options.wall_ratio * abs(x)
        table &= ~wall | (np.abs(before) > np.abs(points[..., 2]))
    out = np.where(table[..., None], points / light.step_m, 0)
    out[..., 2] = table
    if light.wall is not None:
        wall &= ~table
        out[wall] = np.stack([points[wall, 2], points[wall, 1], np.full(int(wall.sum()), -light.step_m)], -1)
        out[wall] /= light.step_m
    return out.astype(np.float32)


def kept(shade: Shade, places: F32) -> F32:
    """The share (..., 3) of their display colours that `places` (..., 3), see `receivers`, keep."""
    flat = np.ascontiguousarray(places.reshape(1, -1, 3))
    out = np.ones(flat.shape, np.float32)
    for sign, part in _parts(shade):
        _kept(flat, np.float32(sign), part.kept, part.first, out)
    return out.reshape(places.shape)


def _parts(shade: Shade) -> list[tuple[int, Shade]]:
    """Table and wall, and the sign of their share in places."""
    return [(1, shade)] if shade.wall is None else [(1, shade), (-1, shade.wall)]


def laid_over(
    rgb: F32, cover: F32, ground: F32, places: F32, shade: Shade, *, options: OverlayOptions = OverlayOptions()
) -> NDArray[np.uint8]:
    """A drawn frame (H, W, 3), 0 to 1, with its background shaded, as an 8-bit picture.

    cover (H, W): the part of each pixel that things cover; ground (H, W, 3): the background alone; places (H, W, 3):
    its receivers.
    """
    out = np.empty(rgb.shape, np.uint8)
    for sign, part in _parts(shade):
        changed = part.changed(options.least_change)
        run(_lay_all, len(rgb), _ROWS_PER_PIECE, rgb, cover, ground, places, np.float32(sign), part.kept, changed,
            part.first, out)  # fmt: skip
    return out


def laid_over_on_cuda(rgb: Any, cover: Any, ground: Any, places: Any, shade: Shade) -> Any:
    """The same on torch tensors of a device; the result (H, W, 3) is 0 to 1."""
    return rgb - (1 - cover[..., None]) * (1 - kept_tensor(shade, places)) * ground


def kept_tensor(shade: Shade, places: Any) -> Any:
    """As `kept`, as a torch tensor on the device of `places` (H, W, 3)."""
    import torch
    import torch.nn.functional as F

    out = torch.ones_like(places)
    for sign, part in _parts(shade):
        table = torch.from_numpy(part.kept).to(places.device).permute(2, 0, 1)[None]
        size = torch.tensor(part.kept.shape[:2], device=places.device)
        first = torch.from_numpy(part.first.astype(np.float32)).to(places.device)
        at = 2 * (places[..., :2] - first) / (size - 1) - 1
        found = F.grid_sample(table - 1, at.flip(-1)[None], align_corners=True, padding_mode="zeros")[0]
        out += (sign * places[..., 2:]).clamp(min=0) * found.permute(1, 2, 0)
    return out


@njit(inline="always")
def _look(place, sign, table, first, out):
    """The share (3,) that one place keeps, into `out`, unless it is another surface's or beside the map."""
    s, r, c = sign * place[2], place[0] - first[0], place[1] - first[1]
    if s <= 0 or r < 0 or c < 0 or r >= table.shape[0] - 1 or c >= table.shape[1] - 1:
        return
    r0, c0 = int(r), int(c)
    fr, fc = np.float32(r - r0), np.float32(c - c0)
    one = np.float32(1)
    for i in range(3):
        top = table[r0, c0, i] * (one - fc) + table[r0, c0 + 1, i] * fc
        low = table[r0 + 1, c0, i] * (one - fc) + table[r0 + 1, c0 + 1, i] * fc
        out[i] = one + s * (top * (one - fr) + low * fr - one)


@njit(**KERNEL)
def _kept(places, sign, table, first, out):
    at = (np.float32(first[0]), np.float32(first[1]))
    for y in range(places.shape[0]):
        for x in range(places.shape[1]):
            _look(places[y, x], sign, table, at, out[y, x])


@njit(**KERNEL)
def _lay_all(counter, total, piece, rgb, cover, ground, places, sign, kept, changed, first, out):
    row0, column0 = np.float32(first[0]), np.float32(first[1])
    one, full, half, none = np.float32(1), np.float32(255), np.float32(0.5), np.float32(0)
    width, rows, columns = rgb.shape[1], changed.shape[0], changed.shape[1]
    last_row, last_column = np.float32(rows - 1), np.float32(columns - 1)
    flat, cells = kept.reshape(-1), changed.reshape(-1)
    # Unsigned: numba looks whether a signed index counts from the end, at each of some thirty accesses.
    next_row = np.uint64(3 * columns)
    three = np.uint64(3)
    row = take(counter, piece)
    while row < total:
        for y in range(row, min(row + piece, total)):
            line, drawn, behind = out[y].reshape(-1), rgb[y].reshape(-1), ground[y].reshape(-1)
            place, covered = places[y].reshape(-1), cover[y]
            if sign > none:  # the table comes first
                for k in range(3 * width):
                    line[k] = np.uint8(min(max(drawn[k] * full + half, none), full))
            for x in range(width):
                p = three * np.uint64(x)
                s = sign * place[p + np.uint64(2)]
                if s <= none:
                    continue
                r, c = place[p] - row0, place[p + np.uint64(1)] - column0
                if not (r >= none and c >= none and r < last_row and c < last_column):
                    continue
                r0, c0 = np.uint32(r), np.uint32(c)
                cell = np.uint64(r0) * np.uint64(columns) + np.uint64(c0)
                free = s * (one - covered[x])
                if free <= none or not cells[cell]:
                    continue
                fr, fc = r - np.float32(r0), c - np.float32(c0)
                d, b = fr * fc, fr
                w0, w1, w2, w3 = one - fr - fc + d, fc - d, b - d, d
                at = three * cell
                under = at + next_row
                for i in range(3):
                    k, a, u = p + np.uint64(i), at + np.uint64(i), under + np.uint64(i)
                    share = w0 * flat[a] + w1 * flat[a + three] + w2 * flat[u] + w3 * flat[u + three]
                    value = drawn[k] + free * (share - one) * behind[k]
                    line[k] = np.uint8(min(max(value * full + half, none), full))
        row = take(counter, piece)
