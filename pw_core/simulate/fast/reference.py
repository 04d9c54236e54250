"""The engine's equations as plainly as numpy says them, in double precision: what the kernels are held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64
from pw_core.simulate.fast.layout import NORM_EPSILON, SMALLEST_MASS, VOLUME_SCALE
from pw_core.simulate.materials import SNOW_COMPRESSION, SNOW_HARDENING, SNOW_STIFFEST, SNOW_STRETCH


@dataclass
class Matter:
    """Particles of one material: x [m] (n, 3), v [m/s] (n, 3), C [1/s] and F (n, 3, 3), Jp (n,); mass [kg] of each."""

    x: F64
    v: F64
    C: F64
    F: F64
    Jp: F64
    law: str
    lam: float
    mu: float
    threshold: float
    viscosity: float
    mass: float


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Grid spacing and substep, a particle's volume [m³], the domain's corners [m], the table's friction."""

    dx: float
    dt: float
    volume: float
    lower: F64
    upper: F64
    gravity: F64
    friction: float
    slots: F64


def decomposed(F: F64) -> tuple[F64, F64, F64]:
    """U (n, 3, 3), s (n, 3), W^T (n, 3, 3) of F = U diag(s) W^T, rotations; the last singular value takes the sign."""
    u, s, wt = np.linalg.svd(F)
    flip_u, flip_w = np.linalg.det(u) < 0, np.linalg.det(wt) < 0
    u[flip_u, :, 2] *= -1
    wt[flip_w, 2, :] *= -1
    s[flip_u != flip_w, 2] *= -1
    return u, s, wt


def responded(m: Matter, dt: float) -> tuple[F64, F64, F64]:
    """The F and Jp that a substep leaves, and the Kirchhoff stress [Pa] (n, 3, 3)."""
    one = np.eye(3)
    F = (one + dt * m.C) @ m.F
    J = np.linalg.det(F)
    if m.law == "liquid":
        b = F @ F.transpose(0, 2, 1) / np.cbrt(J**2)[:, None, None]
        mean = np.trace(b, axis1=1, axis2=2)[:, None, None] / 3 * one
        pressure = (m.lam * J * (J - 1))[:, None, None] * one
        return np.cbrt(J)[:, None, None] * one, m.Jp, m.viscosity * (b - mean) + pressure
    u, s, wt = decomposed(F)
    Jp, hard = m.Jp, np.ones(len(F))
    if m.law == "plastic":
        strain = np.log(np.maximum(s, 0.05))
        shear = strain - strain.mean(1, keepdims=True)
        size = np.sqrt((shear**2).sum(1) + NORM_EPSILON)
        excess = size - m.threshold / (2 * m.mu)
        flowed = np.exp(strain - np.maximum(excess / size, 0)[:, None] * shear)
        F = np.where((excess > 0)[:, None, None], (u * flowed[:, None, :]) @ wt, F)
    elif m.law == "snow":
        clamped = np.clip(s, 1 - SNOW_COMPRESSION, 1 + SNOW_STRETCH)
        Jp = np.clip(m.Jp * np.prod(s / clamped, 1), 0.05, 20)
        hard = np.minimum(np.exp(SNOW_HARDENING * (1 - m.Jp)), SNOW_STIFFEST)
        F, J = (u * clamped[:, None, :]) @ wt, np.prod(clamped, 1)
    pressure = (m.lam * J * (J - 1))[:, None, None] * one
    stress = 2 * m.mu * (F - u @ wt) @ F.transpose(0, 2, 1) + pressure
    return F, Jp, hard[:, None, None] * stress


def stencil(x: F64, dx: float) -> tuple[NDArray[np.int64], F64, F64]:
    """The 27 nodes of each particle (n, 27, 3), their weights (n, 27) and distances from it [m] (n, 27, 3)."""
    base = np.floor(x / dx - 0.5).astype(np.int64)
    f = x / dx - base
    w = np.stack([0.5 * (1.5 - f) ** 2, 0.75 - (f - 1) ** 2, 0.5 * (f - 0.5) ** 2], 1)
    offsets = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    weight = w[:, offsets[:, 0], 0] * w[:, offsets[:, 1], 1] * w[:, offsets[:, 2], 2]
    return base[:, None] + offsets, weight, (offsets[None] - f[:, None]) * dx


def slid(v: F64, normal: F64, friction: float) -> F64:
    """Velocities (n, 3) relative to a surface after Coulomb's law."""
    along = v @ normal
    tangent = v - along[:, None] * normal
    size = np.sqrt((tangent**2).sum(1) + NORM_EPSILON)
    return np.where((along < 0)[:, None], tangent * (np.maximum(0, size + along * friction) / size)[:, None], v)


def slot_weights(nodes: F64, slot: F64) -> F64:
    """How much of a slot's acceleration each node [m] (n, 3) feels."""
    r = np.linalg.norm(nodes - slot[3:6], axis=1) / slot[6]
    w = np.exp(-4.5 * r * r) if slot[7] > 1.5 else 1 - r if slot[7] > 0.5 else np.ones(len(r))
    return np.where(r < 1, w, 0.0)


def substep(matter: list[Matter], setting: Setting) -> None:
    """Everything one substep further."""
    dx, dt = setting.dx, setting.dt
    low = np.round(setting.lower / dx).astype(np.int64)
    shape = np.round(setting.upper / dx).astype(np.int64) - low + 1
    mass, momentum = np.zeros(shape), np.zeros((*shape, 3))
    stencils = [stencil(m.x, dx) for m in matter]
    for m, (nodes, weight, arm) in zip(matter, stencils, strict=True):
        m.F, m.Jp, stress = responded(m, dt)
        scaled = m.mass * VOLUME_SCALE
        affine = -dt * setting.volume * VOLUME_SCALE * 4 / dx**2 * stress + scaled * m.C
        at = tuple((nodes - low).transpose(2, 0, 1))
        np.add.at(mass, at, weight * scaled)
        np.add.at(momentum, at, weight[..., None] * (scaled * m.v[:, None] + np.einsum("nij,nkj->nki", affine, arm)))
    at = np.nonzero(mass > SMALLEST_MASS)
    v = momentum[at] / mass[at][:, None] + dt * setting.gravity
    places: F64 = np.asarray((np.stack(at, 1) + low) * dx, np.float64)
    for slot in setting.slots:
        v += dt * slot_weights(places, slot)[:, None] * slot[:3]
    under = places[:, 2] <= 1e-9
    v[under] = slid(v[under], np.array([0.0, 0, 1]), setting.friction)
    inner, outer = setting.lower + 3 * dx, setting.upper - 3 * dx
    v = np.where(((places >= outer - 1e-9) & (v >= 0)) | ((places <= inner + 1e-9) & (v <= 0)), 0.0, v)
    velocity = np.zeros((*shape, 3))
    velocity[at] = v
    for m, (nodes, weight, arm) in zip(matter, stencils, strict=True):
        moved = velocity[tuple((nodes - low).transpose(2, 0, 1))] * weight[..., None]
        m.v, m.C = moved.sum(1), 4 / dx**2 * np.einsum("nki,nkj->nij", moved, arm)
        m.x = m.x + dt * m.v
        m.v = np.where(((m.x >= outer) & (m.v >= 0)) | ((m.x <= inner) & (m.v <= 0)), 0.0, m.v)
        m.x = np.clip(m.x, inner, outer)
