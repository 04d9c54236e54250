"""Spherical harmonics up to degree 3, in the basis of Sloan 2013 ("Efficient Spherical Harmonic Evaluation")."""

# mypy: disable-error-code="no-untyped-def,misc"
from __future__ import annotations

from numba import njit

from pw_core.kernels.options import PART


@njit(**PART)
def sh_basis(degree, x, y, z, basis, grad):
    """Values [16] and derivatives [16, 3] of the real spherical harmonics up to `degree` (0 to 3) at the unit vector
    x, y, z."""
    basis[0] = 0.2820947917738781
    grad[0, 0] = grad[0, 1] = grad[0, 2] = 0.0
    if degree < 1:
        return
    for k in range(1, 16):
        grad[k, 0] = grad[k, 1] = grad[k, 2] = 0.0
    c1 = 0.48860251190292
    basis[1], basis[2], basis[3] = -c1 * y, c1 * z, -c1 * x
    grad[1, 1], grad[2, 2], grad[3, 0] = -c1, c1, -c1
    if degree < 2:
        return
    c2, c20, c22 = 1.092548430592079, 0.9461746957575601, 0.5462742152960395
    basis[4] = c2 * x * y
    grad[4, 0], grad[4, 1] = c2 * y, c2 * x
    basis[5] = -c2 * y * z
    grad[5, 1], grad[5, 2] = -c2 * z, -c2 * y
    basis[6] = c20 * z * z - 0.3153915652525201
    grad[6, 2] = 2 * c20 * z
    basis[7] = -c2 * x * z
    grad[7, 0], grad[7, 2] = -c2 * z, -c2 * x
    basis[8] = c22 * (x * x - y * y)
    grad[8, 0], grad[8, 1] = 2 * c22 * x, -2 * c22 * y
    if degree < 3:
        return
    c33, c32, c31 = 0.5900435899266435, 1.445305721320277, 2.285228997322329
    c30, c31b, c30b = 1.865881662950577, 0.4570457994644658, 1.119528997770346
    basis[9] = -c33 * y * (3 * x * x - y * y)
    grad[9, 0], grad[9, 1] = -c33 * 6 * x * y, -c33 * (3 * x * x - 3 * y * y)
    basis[10] = 2 * c32 * x * y * z
    grad[10, 0], grad[10, 1], grad[10, 2] = 2 * c32 * y * z, 2 * c32 * x * z, 2 * c32 * x * y
    basis[11] = y * (c31b - c31 * z * z)
    grad[11, 1], grad[11, 2] = c31b - c31 * z * z, -2 * c31 * y * z
    basis[12] = z * (c30 * z * z - c30b)
    grad[12, 2] = 3 * c30 * z * z - c30b
    basis[13] = x * (c31b - c31 * z * z)
    grad[13, 0], grad[13, 2] = c31b - c31 * z * z, -2 * c31 * x * z
    basis[14] = c32 * z * (x * x - y * y)
    grad[14, 0], grad[14, 1], grad[14, 2] = 2 * c32 * x * z, -2 * c32 * y * z, c32 * (x * x - y * y)
    basis[15] = -c33 * x * (x * x - 3 * y * y)
    grad[15, 0], grad[15, 1] = -c33 * (3 * x * x - 3 * y * y), c33 * 6 * x * y
