"""Front-to-back alpha blending of one image's tiles, forward and backward, one row of 16 pixels at a time.

Both kernels blend one tile after another and touch nothing of another tile, so any split over threads gives the same
bits. The constants are gsplat's: a Gaussian counts where alpha >= 1/255, alpha is held at 0.999, and a pixel is done
before transmittance would fall to 1e-4 (Kerbl et al. 2023, "3D Gaussian Splatting", appendix C).
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import math

import numpy as np
from numba import njit

from pw_core.kernels.options import KERNEL, PART
from pw_core.kernels.simd import vandnot, vany, vcentres, vexp, vload, vmin, vselect, vsplat, vstore, vsum
from pw_core.kernels.threads import take

TILE = 16
# Columns of a projected Gaussian's record; REACH is the exponent at which alpha falls to 1/255, with a margin for
# rounding.
X, Y, CA, CB, CC, OP, RX, RY, R, G, B, Z, COMP, BLUR_DET, REACH = range(15)
RECORD = 16
# Columns of a pair's gradient: mean x, mean y, conic a, b, c, opacity, red, green, blue, depth; features follow.
PAIR_GRADS = 10
ALPHA_MIN = 1.0 / 255.0
ALPHA_MAX = 0.999
T_MIN = 1e-4


@njit(inline="always")
def _sigma(dx, dy, a, b, c):
    return dx * (dx * (a * 0.5) + b * dy) + c * 0.5 * dy * dy


@njit(inline="always")
def _add_size(into, numbers, sign):
    for p in range(len(into)):
        into[p] += sign * abs(numbers[p])


@njit(**PART)
def _blend_forward(
    first, last_tile, tiles, tiles_x, width, height, rec, feats, offsets, ids, want_median, want_cover, front,
    out_rgb, out_alpha, out_z, out_feats, out_median, out_cover, out_last, out_median_last,
):  # fmt: skip
    """Blend tiles[first:last_tile], numbers of tiles.

    rec [N, 16], feats [N, F], offsets [tiles + 1], ids [pairs] into rec, sorted by depth within a tile; ids from
    `front` on are of the set whose cover may be wanted.
    Writes out_rgb [H, W, 3], out_alpha [H, W], out_z [H, W] (sum of weight times depth), out_feats [H, W, F],
    out_median [H, W], out_cover [H, W] (sum of that set's weights), out_last [tiles * 256] and out_median_last
    [tiles * 256] (place of a pixel's last and median Gaussian in its tile's list, -1 for none).
    """
    one = rec.dtype.type(1.0)
    zero = rec.dtype.type(0.0)
    n_feats = feats.shape[1]
    flat = rec.reshape(-1)
    flat_feats = feats.reshape(-1)
    trans = np.empty(TILE * TILE, rec.dtype)
    last = np.empty(TILE * TILE, rec.dtype)
    med = np.empty(TILE * TILE, rec.dtype)
    med_at = np.empty(TILE * TILE, rec.dtype)
    acc = np.empty((4 + n_feats) * TILE * TILE, rec.dtype)
    cover = np.empty(TILE * TILE, rec.dtype)
    row_live = np.empty(TILE, np.bool_)
    centres = vcentres(one)
    for tile in tiles[first:last_tile]:
        start, end = offsets[tile], offsets[tile + 1]
        x0, y0 = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        nx, ny = min(TILE, width - x0), min(TILE, height - y0)
        live = ny
        for y in range(TILE):
            row_live[y] = y < ny
            for x in range(TILE):
                # Pixels beyond the image count as done; done pixels carry their transmittance with a minus sign.
                trans[y * TILE + x] = one if (x < nx and y < ny) else -one
        last[:] = -one
        med_at[:] = -one
        med[:] = zero
        acc[:] = zero
        cover[:] = zero
        in_front = False
        for k in range(start, end):
            # What a run of Gaussians adds to the cover is what transmittance falls by.
            if want_cover and (ids[k] >= front) != in_front:
                in_front = not in_front
                _add_size(cover, trans, one if in_front else -one)
            base = np.intp(ids[k]) * RECORD
            gy = flat[base + Y] - y0
            ry = flat[base + RY]
            lo = max(0, np.intp(math.ceil(gy - ry - 0.5)))
            hi = min(ny - 1, np.intp(math.floor(gy + ry - 0.5)))
            if lo > hi:
                continue
            ca, cb, cc, op = flat[base + CA], flat[base + CB], flat[base + CC], flat[base + OP]
            reach = flat[base + REACH]
            dx = vsplat(rec.dtype.type(flat[base + X] - x0)) - centres
            place = rec.dtype.type(k - start)
            for y in range(lo, hi + 1):
                if not row_live[y]:
                    continue
                at = y * TILE
                dy = gy - (y + rec.dtype.type(0.5))
                sigma = _sigma(dx, dy, ca, cb, cc)
                if not vany(sigma <= reach):
                    continue
                alpha = vmin(vexp(sigma * -one) * op, ALPHA_MAX)
                t = vload(trans, at)
                hit = (sigma >= zero) & (alpha >= ALPHA_MIN) & (t > zero)
                if not vany(hit):
                    continue
                t_next = t - t * alpha
                go = hit & (t_next > T_MIN)
                w = vselect(go, alpha * t, zero)
                vstore(acc, at, vload(acc, at) + w * flat[base + R])
                vstore(acc, at + 256, vload(acc, at + 256) + w * flat[base + G])
                vstore(acc, at + 512, vload(acc, at + 512) + w * flat[base + B])
                vstore(acc, at + 768, vload(acc, at + 768) + w * flat[base + Z])
                for f in range(n_feats):
                    p = at + 1024 + 256 * f
                    vstore(acc, p, vload(acc, p) + w * flat_feats[np.intp(ids[k]) * n_feats + f])
                if want_median:
                    half = go & (t > 0.5)
                    vstore(med, at, vselect(half, flat[base + Z], vload(med, at)))
                    vstore(med_at, at, vselect(half, place, vload(med_at, at)))
                vstore(last, at, vselect(go, place, vload(last, at)))
                t_new = vselect(go, t_next, t)
                stop = vandnot(hit, go)
                if vany(stop):
                    t_new = vselect(stop, t_new * -one, t_new)
                    if not vany(t_new > zero):
                        row_live[y] = False
                        live -= 1
                vstore(trans, at, t_new)
            if live == 0:
                break
        if in_front:
            _add_size(cover, trans, -one)
        for y in range(ny):
            for x in range(nx):
                p = y * TILE + x
                out_rgb[y0 + y, x0 + x, 0] = acc[p]
                out_rgb[y0 + y, x0 + x, 1] = acc[p + 256]
                out_rgb[y0 + y, x0 + x, 2] = acc[p + 512]
                out_z[y0 + y, x0 + x] = acc[p + 768]
                out_alpha[y0 + y, x0 + x] = one - abs(trans[p])
                for f in range(n_feats):
                    out_feats[y0 + y, x0 + x, f] = acc[p + 1024 + 256 * f]
                if want_median:
                    out_median[y0 + y, x0 + x] = med[p]
                if want_cover:
                    out_cover[y0 + y, x0 + x] = cover[p]
        for p in range(TILE * TILE):
            out_last[tile * 256 + p] = np.int32(last[p])
            if want_median:
                out_median_last[tile * 256 + p] = np.int32(med_at[p])


@njit(**PART)
def _blend_backward(
    first, last_tile, tiles, tiles_x, width, height, rec, feats, offsets, ids, has_median,
    alpha_out, last_in, median_in, v_rgb, v_alpha, v_z, v_feats, v_median, pairs,
):  # fmt: skip
    """Gradients of the loss with respect to each (tile, Gaussian) pair of tiles[first:last_tile], into pairs [P, 10 +
    F].

    Walks back to front: transmittance is undone by division from its final value, and `behind` holds what everything
    behind
    the present Gaussian adds to the loss through this pixel.
    """
    one = rec.dtype.type(1.0)
    zero = rec.dtype.type(0.0)
    half = rec.dtype.type(0.5)
    n_feats = feats.shape[1]
    width_pairs = PAIR_GRADS + n_feats
    flat = rec.reshape(-1)
    flat_feats = feats.reshape(-1)
    trans = np.empty(TILE * TILE, rec.dtype)
    behind = np.empty(TILE * TILE, rec.dtype)
    last = np.empty(TILE * TILE, rec.dtype)
    med_at = np.empty(TILE * TILE, rec.dtype)
    v_out = np.empty((5 + n_feats) * TILE * TILE, rec.dtype)
    row_last = np.empty(TILE, np.int64)
    s_feats = np.empty(max(1, n_feats) * TILE, rec.dtype)
    centres = vcentres(one)
    for tile in tiles[first:last_tile]:
        start, end = offsets[tile], offsets[tile + 1]
        x0, y0 = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        nx, ny = min(TILE, width - x0), min(TILE, height - y0)
        top = -1
        v_out[:] = zero
        for y in range(TILE):
            row_last[y] = -1
            for x in range(TILE):
                p = y * TILE + x
                last[p] = -one
                trans[p] = one
                behind[p] = zero
                med_at[p] = -one
                if x >= nx or y >= ny:
                    continue
                at_last = last_in[tile * 256 + p]
                last[p] = at_last
                row_last[y] = max(row_last[y], at_last)
                trans[p] = one - alpha_out[y0 + y, x0 + x]
                behind[p] = -v_alpha[y0 + y, x0 + x] * trans[p]
                v_out[p] = v_rgb[y0 + y, x0 + x, 0]
                v_out[p + 256] = v_rgb[y0 + y, x0 + x, 1]
                v_out[p + 512] = v_rgb[y0 + y, x0 + x, 2]
                v_out[p + 768] = v_z[y0 + y, x0 + x]
                for f in range(n_feats):
                    v_out[p + 1280 + 256 * f] = v_feats[y0 + y, x0 + x, f]
                if has_median:
                    v_out[p + 1024] = v_median[y0 + y, x0 + x]
                    med_at[p] = median_in[tile * 256 + p]
            top = max(top, row_last[y])
        for k in range(start + top + 1, end):
            for q in range(width_pairs):
                pairs[k, q] = zero
        for k in range(start + top, start - 1, -1):
            base = np.intp(ids[k]) * RECORD
            gy = flat[base + Y] - y0
            ry = flat[base + RY]
            lo = max(0, np.intp(math.ceil(gy - ry - 0.5)))
            hi = min(ny - 1, np.intp(math.floor(gy + ry - 0.5)))
            ca, cb, cc, op = flat[base + CA], flat[base + CB], flat[base + CC], flat[base + OP]
            cr, cg, cbl, cz = flat[base + R], flat[base + G], flat[base + B], flat[base + Z]
            reach = flat[base + REACH]
            dx = vsplat(rec.dtype.type(flat[base + X] - x0)) - centres
            place = rec.dtype.type(k - start)
            nothing = vsplat(zero)
            s_0 = s_x = s_y = s_xx = s_xy = s_yy = nothing
            s_r = s_g = s_b = s_z = nothing
            for f in range(n_feats):
                vstore(s_feats, f * TILE, nothing)
            for y in range(lo, hi + 1):
                if k - start > row_last[y]:
                    continue
                at = y * TILE
                dy = gy - (y + half)
                sigma = _sigma(dx, dy, ca, cb, cc)
                if not vany(sigma <= reach):
                    continue
                raw = vexp(sigma * -one) * op
                alpha = vmin(raw, ALPHA_MAX)
                hit = (sigma >= zero) & (alpha >= ALPHA_MIN) & (vload(last, at) >= place)
                if not vany(hit):
                    continue
                inv = vsplat(one) / (vsplat(one) - alpha)
                t_after = vload(trans, at)
                t = t_after * inv
                vstore(trans, at, vselect(hit, t, t_after))
                w = vselect(hit, alpha * t, zero)
                v_r, v_g, v_b = vload(v_out, at), vload(v_out, at + 256), vload(v_out, at + 512)
                v_d = vload(v_out, at + 768)
                dot = v_r * cr + v_g * cg + v_b * cbl + v_d * cz
                s_r = s_r + w * v_r
                s_g = s_g + w * v_g
                s_b = s_b + w * v_b
                s_z = s_z + w * v_d
                for f in range(n_feats):
                    v_f = vload(v_out, at + 1280 + 256 * f)
                    dot = dot + v_f * flat_feats[np.intp(ids[k]) * n_feats + f]
                    vstore(s_feats, f * TILE, vload(s_feats, f * TILE) + w * v_f)
                if has_median:
                    mine = hit & (vload(med_at, at) >= place) & (vload(med_at, at) <= place)
                    s_z = s_z + vselect(mine, vload(v_out, at + 1024), zero)
                back = vload(behind, at)
                v_alpha_k = dot * t - back * inv
                vstore(behind, at, back + dot * w)
                v_sigma = vselect(hit & (raw <= ALPHA_MAX), raw * v_alpha_k * -one, zero)
                v_dx = v_sigma * dx
                s_0 = s_0 + v_sigma
                s_x = s_x + v_dx
                s_y = s_y + v_sigma * dy
                s_xx = s_xx + v_dx * dx
                s_xy = s_xy + v_dx * dy
                s_yy = s_yy + v_sigma * (dy * dy)
            sum_x, sum_y = vsum(s_x), vsum(s_y)
            pairs[k, 0] = ca * sum_x + cb * sum_y
            pairs[k, 1] = cb * sum_x + cc * sum_y
            pairs[k, 2] = half * vsum(s_xx)
            pairs[k, 3] = vsum(s_xy)
            pairs[k, 4] = half * vsum(s_yy)
            pairs[k, 5] = -vsum(s_0) / op
            pairs[k, 6] = vsum(s_r)
            pairs[k, 7] = vsum(s_g)
            pairs[k, 8] = vsum(s_b)
            pairs[k, 9] = vsum(s_z)
            for f in range(n_feats):
                pairs[k, PAIR_GRADS + f] = vsum(vload(s_feats, f * TILE))


@njit(**KERNEL)
def blend_forward(counter, total, piece, *args):
    """`_blend_forward` of the pieces that the counter gives."""
    first = take(counter, piece)
    while first < total:
        _blend_forward(first, min(first + piece, total), *args)
        first = take(counter, piece)


@njit(**KERNEL)
def blend_backward(counter, total, piece, *args):
    """`_blend_backward` of the pieces that the counter gives."""
    first = take(counter, piece)
    while first < total:
        _blend_backward(first, min(first + piece, total), *args)
        first = take(counter, piece)
