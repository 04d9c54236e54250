"""Projection of 3D Gaussians to the image plane and its gradient, one image at a time.

EWA splatting (Zwicker et al. 2001) with gsplat's choices: the mean's direction is held within 1.3 times the field of
view for the Jacobian, `eps2d` is added to the 2D covariance's diagonal, and the extent is where alpha falls to 1/255.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,var-annotated"
from __future__ import annotations

import math

import numpy as np
from numba import njit

from pw_core.kernels.options import KERNEL, PART
from pw_core.kernels.threads import take
from pw_core.render.kernels.blend import (
    ALPHA_MIN,
    BLUR_DET,
    CA,
    CB,
    CC,
    COMP,
    OP,
    PAIR_GRADS,
    REACH,
    RX,
    RY,
    TILE,
    B,
    G,
    R,
    X,
    Y,
    Z,
)  # fmt: skip
from pw_core.render.kernels.sh import sh_basis


@njit(inline="always")
def _rotation(quats, n, rot):
    w, x, y, z = quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3]
    inv = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inv, x * inv, y * inv, z * inv
    rot[0, 0] = 1 - 2 * (y * y + z * z)
    rot[0, 1] = 2 * (x * y - w * z)
    rot[0, 2] = 2 * (x * z + w * y)
    rot[1, 0] = 2 * (x * y + w * z)
    rot[1, 1] = 1 - 2 * (x * x + z * z)
    rot[1, 2] = 2 * (y * z - w * x)
    rot[2, 0] = 2 * (x * z - w * y)
    rot[2, 1] = 2 * (y * z + w * x)
    rot[2, 2] = 1 - 2 * (x * x + y * y)
    return w, x, y, z, inv


@njit(inline="always")
def _covariance(has_covars, covars, quats, scales, n, rot, cov):
    if has_covars:
        for i in range(3):
            for j in range(3):
                # A given covariance counts by its upper triangle, as in gsplat.
                cov[i, j] = covars[n, min(i, j), max(i, j)]
        return
    _rotation(quats, n, rot)
    for i in range(3):
        for j in range(3):
            s = rot[i, 0] * rot[j, 0] * scales[n, 0] ** 2
            s += rot[i, 1] * rot[j, 1] * scales[n, 1] ** 2
            s += rot[i, 2] * rot[j, 2] * scales[n, 2] ** 2
            cov[i, j] = s


@njit(inline="always")
def _congruence(a, m, out):
    """out = a m a^T for 3 x 3 matrices, m symmetric."""
    for i in range(3):
        t0 = a[i, 0] * m[0, 0] + a[i, 1] * m[1, 0] + a[i, 2] * m[2, 0]
        t1 = a[i, 0] * m[0, 1] + a[i, 1] * m[1, 1] + a[i, 2] * m[2, 1]
        t2 = a[i, 0] * m[0, 2] + a[i, 1] * m[1, 2] + a[i, 2] * m[2, 2]
        for j in range(3):
            out[i, j] = t0 * a[j, 0] + t1 * a[j, 1] + t2 * a[j, 2]


@njit(**PART)
def _project_forward(
    first, last, means, quats, scales, covars, has_covars, opacities, colors, sh_degree, view, campos, intr,
    width, height, near, far, eps2d, radius_clip, antialiased, rec, rects, radii, depths, counts,
):  # fmt: skip
    """Project Gaussians first..last. colors [N, D]: RGB, or K * 3 harmonics when sh_degree >= 0; intr: fx, fy, cx, cy.

    Writes rec [N, 16] (columns of `kernels_blend`), rects [N, 4] (tile columns and rows, half open), radii [N, 2] px,
    counts [N] (how many tiles; 0 = not drawn) and depths [N] of those that are drawn.
    """
    dt = rec.dtype
    fx, fy, cx, cy = intr[0], intr[1], intr[2], intr[3]
    margin_x, margin_y = dt.type(0.3 * 0.5) * width / fx, dt.type(0.3 * 0.5) * height / fy
    rot = np.empty((3, 3), dt)
    cov = np.empty((3, 3), dt)
    cam = np.empty((3, 3), dt)
    basis = np.empty(16, dt)
    grad = np.empty((16, 3), dt)
    r = view[:3, :3]
    tiles_x, tiles_y = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    for n in range(first, last):
        rects[n, 0] = rects[n, 1] = rects[n, 2] = rects[n, 3] = 0
        radii[n, 0] = radii[n, 1] = 0
        counts[n] = 0
        mx, my, mz = means[n, 0], means[n, 1], means[n, 2]
        z = r[2, 0] * mx + r[2, 1] * my + r[2, 2] * mz + view[2, 3]
        # Written so that NaN is refused.
        if not (z >= near and z <= far):
            continue
        x = r[0, 0] * mx + r[0, 1] * my + r[0, 2] * mz + view[0, 3]
        y = r[1, 0] * mx + r[1, 1] * my + r[1, 2] * mz + view[1, 3]
        opacity = opacities[n]
        if not (opacity >= ALPHA_MIN):
            continue
        rz = 1 / z
        px, py = fx * x * rz + cx, fy * y * rz + cy
        _covariance(has_covars, covars, quats, scales, n, rot, cov)
        _congruence(r, cov, cam)
        ux = min((width - cx) / fx + margin_x, max(-(cx / fx + margin_x), x * rz))
        uy = min((height - cy) / fy + margin_y, max(-(cy / fy + margin_y), y * rz))
        j0, j1, j02, j12 = fx * rz, fy * rz, -fx * ux * rz, -fy * uy * rz
        a = j0 * j0 * cam[0, 0] + 2 * j0 * j02 * cam[0, 2] + j02 * j02 * cam[2, 2]
        b = j0 * j1 * cam[0, 1] + j0 * j12 * cam[0, 2] + j02 * j1 * cam[2, 1] + j02 * j12 * cam[2, 2]
        c = j1 * j1 * cam[1, 1] + 2 * j1 * j12 * cam[1, 2] + j12 * j12 * cam[2, 2]
        det_raw = a * c - b * b
        a += eps2d
        c += eps2d
        det = a * c - b * b
        if not (det > 0):
            continue
        comp = dt.type(1.0)
        if antialiased:
            comp = math.sqrt(max(dt.type(0.0), det_raw / det))
            opacity *= comp
            if not (opacity >= ALPHA_MIN):
                continue
        reach = math.log(opacity / ALPHA_MIN)
        extent = math.sqrt(2 * reach)
        rx, ry = extent * math.sqrt(a), extent * math.sqrt(c)
        whole_x, whole_y = math.ceil(rx), math.ceil(ry)
        if not (px + whole_x > 0 and px - whole_x < width and py + whole_y > 0 and py - whole_y < height):
            continue
        if whole_x <= radius_clip and whole_y <= radius_clip:
            continue
        radii[n, 0], radii[n, 1] = whole_x, whole_y
        # Pixel centres lie at +0.5: the tiles of the first and last centre that the ellipse's box can hold.
        x_lo, x_hi = max(0, math.ceil(px - rx - 0.5)), min(width - 1, math.floor(px + rx - 0.5))
        y_lo, y_hi = max(0, math.ceil(py - ry - 0.5)), min(height - 1, math.floor(py + ry - 0.5))
        if x_lo > x_hi or y_lo > y_hi:
            continue
        rects[n, 0], rects[n, 1] = x_lo // TILE, min(tiles_x, x_hi // TILE + 1)
        rects[n, 2], rects[n, 3] = y_lo // TILE, min(tiles_y, y_hi // TILE + 1)
        counts[n] = (rects[n, 1] - rects[n, 0]) * (rects[n, 3] - rects[n, 2])
        depths[n] = z
        rec[n, X], rec[n, Y], rec[n, Z] = px, py, z
        rec[n, CA], rec[n, CB], rec[n, CC] = c / det, -b / det, a / det
        rec[n, OP], rec[n, RX], rec[n, RY] = opacity, rx, ry
        rec[n, COMP], rec[n, BLUR_DET], rec[n, REACH] = comp, det, reach + 1e-3
        if sh_degree < 0:
            rec[n, R], rec[n, G], rec[n, B] = colors[n, 0], colors[n, 1], colors[n, 2]
            continue
        dx, dy, dz = mx - campos[0], my - campos[1], mz - campos[2]
        inv = 1 / math.sqrt(dx * dx + dy * dy + dz * dz)
        sh_basis(sh_degree, dx * inv, dy * inv, dz * inv, basis, grad)
        for ch in range(3):
            s = dt.type(0.5)
            for k in range((sh_degree + 1) ** 2):
                s += basis[k] * colors[n, 3 * k + ch]
            rec[n, R + ch] = max(s, dt.type(0.0))


@njit(**PART)
def _project_backward(
    first, last, v_view, v_campos, means, quats, scales, covars, has_covars, colors, sh_degree, view, campos, intr,
    width, height, eps2d, antialiased, rec, rects, starts, slots, pairs,
    v_means, v_quats, v_scales, v_covars, v_opacities, v_colors, v_feats,
):  # fmt: skip
    """Sum the pairs' gradients of Gaussians first..last and carry them back to the inputs, adding to every v_* array.

    v_view [4, 4] and v_campos [3] are this range's own; the caller adds ranges up in their order, so that the result
    does not depend on threads.
    """
    dt = rec.dtype
    fx, fy, cx, cy = intr[0], intr[1], intr[2], intr[3]
    margin_x, margin_y = dt.type(0.3 * 0.5) * width / fx, dt.type(0.3 * 0.5) * height / fy
    lim_x0, lim_x1 = -(cx / fx + margin_x), (width - cx) / fx + margin_x
    lim_y0, lim_y1 = -(cy / fy + margin_y), (height - cy) / fy + margin_y
    n_feats = pairs.shape[1] - PAIR_GRADS
    rot = np.empty((3, 3), dt)
    cov = np.empty((3, 3), dt)
    cam = np.empty((3, 3), dt)
    g_cam = np.empty((3, 3), dt)
    g_cov = np.empty((3, 3), dt)
    g_rot = np.empty((3, 3), dt)
    half_rot = np.empty((3, 3), dt)
    basis = np.empty(16, dt)
    grad = np.empty((16, 3), dt)
    g = np.empty(PAIR_GRADS + n_feats, dt)
    r = view[:3, :3]
    r_t = np.ascontiguousarray(r.T)
    for n in range(first, last):
        if starts[n] == starts[n + 1]:
            continue
        g[:] = 0
        for s in range(starts[n], starts[n + 1]):
            pair = slots[s]
            for q in range(PAIR_GRADS + n_feats):
                g[q] += pairs[pair, q]
        for f in range(n_feats):
            v_feats[n, f] += g[PAIR_GRADS + f]
        mx, my, mz = means[n, 0], means[n, 1], means[n, 2]
        x = r[0, 0] * mx + r[0, 1] * my + r[0, 2] * mz + view[0, 3]
        y = r[1, 0] * mx + r[1, 1] * my + r[1, 2] * mz + view[1, 3]
        z = rec[n, Z]
        rz = 1 / z
        ca, cb, cc = rec[n, CA], rec[n, CB], rec[n, CC]
        # conic = inverse of cov2d: dL/dcov2d = -conic dL/dconic conic; g[3] is for the one off-diagonal number.
        h01 = dt.type(0.5) * g[3]
        p00, p01 = g[2] * ca + h01 * cb, g[2] * cb + h01 * cc
        p10, p11 = h01 * ca + g[4] * cb, h01 * cb + g[4] * cc
        g00, g01, g11 = -(ca * p00 + cb * p10), -(ca * p01 + cb * p11), -(cb * p01 + cc * p11)
        comp = rec[n, COMP]
        v_opacities[n] += g[5] * comp
        if antialiased and comp > 0:
            # comp^2 = det(cov2d - eps I) / det(cov2d)
            scale = dt.type(0.5) * g[5] * (rec[n, OP] / comp) / (comp + dt.type(1e-6))
            rest = 1 - comp * comp
            det_conic = eps2d / rec[n, BLUR_DET]
            g00 += scale * (rest * ca - det_conic)
            g01 += scale * rest * cb
            g11 += scale * (rest * cc - det_conic)
        _covariance(has_covars, covars, quats, scales, n, rot, cov)
        _congruence(r, cov, cam)
        in_x, in_y = x * rz, y * rz
        ux, uy = min(lim_x1, max(lim_x0, in_x)), min(lim_y1, max(lim_y0, in_y))
        j0, j1, j02, j12 = fx * rz, fy * rz, -fx * ux * rz, -fy * uy * rz
        # cov2d = J cam J^T
        g_cam[0, 0] = j0 * j0 * g00
        g_cam[0, 1] = g_cam[1, 0] = j0 * j1 * g01
        g_cam[1, 1] = j1 * j1 * g11
        g_cam[0, 2] = g_cam[2, 0] = j0 * (g00 * j02 + g01 * j12)
        g_cam[1, 2] = g_cam[2, 1] = j1 * (g01 * j02 + g11 * j12)
        g_cam[2, 2] = j02 * j02 * g00 + 2 * j02 * j12 * g01 + j12 * j12 * g11
        # dL/dJ = 2 G J cam
        q00, q02 = j0 * cam[0, 0] + j02 * cam[2, 0], j0 * cam[0, 2] + j02 * cam[2, 2]
        q10, q12 = j1 * cam[1, 0] + j12 * cam[2, 0], j1 * cam[1, 2] + j12 * cam[2, 2]
        q01, q11 = j0 * cam[0, 1] + j02 * cam[2, 1], j1 * cam[1, 1] + j12 * cam[2, 1]
        v_j0, v_j1 = 2 * (g00 * q00 + g01 * q10), 2 * (g01 * q01 + g11 * q11)
        v_j02, v_j12 = 2 * (g00 * q02 + g01 * q12), 2 * (g01 * q02 + g11 * q12)
        # mean: pixel position, depth, and through J
        v_x, v_y = fx * rz * g[0], fy * rz * g[1]
        v_z = g[9] - (fx * x * g[0] + fy * y * g[1]) * rz * rz
        v_z -= (fx * v_j0 + fy * v_j1) * rz * rz
        if lim_x0 <= in_x <= lim_x1:
            v_x -= fx * rz * rz * v_j02
            v_z += 2 * fx * in_x * rz * rz * v_j02
        else:
            v_z += fx * ux * rz * rz * v_j02
        if lim_y0 <= in_y <= lim_y1:
            v_y -= fy * rz * rz * v_j12
            v_z += 2 * fy * in_y * rz * rz * v_j12
        else:
            v_z += fy * uy * rz * rz * v_j12
        v_view[0, 3] += v_x
        v_view[1, 3] += v_y
        v_view[2, 3] += v_z
        for j in range(3):
            m = means[n, j]
            v_view[0, j] += v_x * m
            v_view[1, j] += v_y * m
            v_view[2, j] += v_z * m
            v_means[n, j] += r[0, j] * v_x + r[1, j] * v_y + r[2, j] * v_z
        # cam = r cov r^T: dL/dr = 2 g_cam r cov, dL/dcov = r^T g_cam r
        for i in range(3):
            for j in range(3):
                half_rot[i, j] = r[i, 0] * cov[0, j] + r[i, 1] * cov[1, j] + r[i, 2] * cov[2, j]
        for i in range(3):
            for j in range(3):
                s = g_cam[i, 0] * half_rot[0, j] + g_cam[i, 1] * half_rot[1, j] + g_cam[i, 2] * half_rot[2, j]
                v_view[i, j] += 2 * s
        _congruence(r_t, g_cam, g_cov)
        if has_covars:
            for i in range(3):
                v_covars[n, i, i] += g_cov[i, i]
                for j in range(i + 1, 3):
                    v_covars[n, i, j] += 2 * g_cov[i, j]
        else:
            w, qx, qy, qz, inv = _rotation(quats, n, rot)
            # cov = (rot s)(rot s)^T: dL/drot = 2 g_cov rot s^2, dL/ds_j = 2 s_j rot_j^T g_cov rot_j
            for j in range(3):
                sj = scales[n, j]
                total = dt.type(0.0)
                for i in range(3):
                    t = g_cov[i, 0] * rot[0, j] + g_cov[i, 1] * rot[1, j] + g_cov[i, 2] * rot[2, j]
                    g_rot[i, j] = 2 * t * sj * sj
                    total += rot[i, j] * t
                v_scales[n, j] += 2 * sj * total
            v_w = 2 * (
                qx * (g_rot[2, 1] - g_rot[1, 2]) + qy * (g_rot[0, 2] - g_rot[2, 0]) + qz * (g_rot[1, 0] - g_rot[0, 1])
            )
            v_qx = 2 * (-2 * qx * (g_rot[1, 1] + g_rot[2, 2]) + qy * (g_rot[1, 0] + g_rot[0, 1])
                        + qz * (g_rot[2, 0] + g_rot[0, 2]) + w * (g_rot[2, 1] - g_rot[1, 2]))  # fmt: skip
            v_qy = 2 * (qx * (g_rot[1, 0] + g_rot[0, 1]) - 2 * qy * (g_rot[0, 0] + g_rot[2, 2])
                        + qz * (g_rot[2, 1] + g_rot[1, 2]) + w * (g_rot[0, 2] - g_rot[2, 0]))  # fmt: skip
            v_qz = 2 * (qx * (g_rot[2, 0] + g_rot[0, 2]) + qy * (g_rot[2, 1] + g_rot[1, 2])
                        - 2 * qz * (g_rot[0, 0] + g_rot[1, 1]) + w * (g_rot[1, 0] - g_rot[0, 1]))  # fmt: skip
            along = v_w * w + v_qx * qx + v_qy * qy + v_qz * qz
            v_quats[n, 0] += (v_w - along * w) * inv
            v_quats[n, 1] += (v_qx - along * qx) * inv
            v_quats[n, 2] += (v_qy - along * qy) * inv
            v_quats[n, 3] += (v_qz - along * qz) * inv
        if sh_degree < 0:
            for ch in range(3):
                v_colors[n, ch] += g[6 + ch]
            continue
        dx, dy, dz = mx - campos[0], my - campos[1], mz - campos[2]
        inv = 1 / math.sqrt(dx * dx + dy * dy + dz * dz)
        dx, dy, dz = dx * inv, dy * inv, dz * inv
        sh_basis(sh_degree, dx, dy, dz, basis, grad)
        v_dx = v_dy = v_dz = dt.type(0.0)
        for ch in range(3):
            # The colour was held at zero there.
            if rec[n, R + ch] <= 0:
                continue
            v = g[6 + ch]
            for k in range((sh_degree + 1) ** 2):
                v_colors[n, 3 * k + ch] += basis[k] * v
                s = v * colors[n, 3 * k + ch]
                v_dx += s * grad[k, 0]
                v_dy += s * grad[k, 1]
                v_dz += s * grad[k, 2]
        along = v_dx * dx + v_dy * dy + v_dz * dz
        v_dx, v_dy, v_dz = (v_dx - along * dx) * inv, (v_dy - along * dy) * inv, (v_dz - along * dz) * inv
        v_means[n, 0] += v_dx
        v_means[n, 1] += v_dy
        v_means[n, 2] += v_dz
        v_campos[0] -= v_dx
        v_campos[1] -= v_dy
        v_campos[2] -= v_dz


@njit(**KERNEL)
def project_forward(counter, total, piece, *args):
    """`_project_forward` of the pieces that the counter gives."""
    first = take(counter, piece)
    while first < total:
        _project_forward(first, min(first + piece, total), *args)
        first = take(counter, piece)


@njit(**KERNEL)
def project_backward(counter, total, piece, v_views, v_campos, *args):
    """`_project_backward` of the pieces that the counter gives; v_views [pieces, 4, 4], v_campos [pieces, 3]."""
    first = take(counter, piece)
    while first < total:
        at = first // piece
        _project_backward(first, min(first + piece, total), v_views[at], v_campos[at], *args)
        first = take(counter, piece)
