"""One world's MPM in NumPy and double precision, written for reading: what the engines' kernels are checked against."""

from __future__ import annotations

from typing import Any

import numpy as np

from pw_core.simulate.fast_cuda.tables import Domain

EPS = 1.1920929e-7  # what Genesis adds under a norm's root in single precision


def advance(state: dict[str, Any], rows: Any, entity: Any, table: Any, friction: float, domain: Domain, steps: int):
    """The state after `steps` steps; `rows`, `entity` and `table` as in `fast_cuda.tables`, the table is written to."""
    s = {k: np.array(v, np.float64) for k, v in state.items()}
    rows = np.asarray(rows, np.float64)
    for step in range(steps):
        slots = begin(s, rows, entity, table, step * domain.step_s, domain.step_s)
        for _ in range(domain.substeps):
            _substep(s, rows[entity], slots, friction, domain)
    return s


def felt(slot: Any, x: Any):
    """How much of an action is felt at x (..., 3)."""
    if slot[6] <= 0:
        return np.ones(x.shape[:-1])
    r = np.linalg.norm(x - slot[3:6], axis=-1) / slot[6]
    return np.where(r < 1, {0: np.ones_like(r), 1: 1 - r, 2: np.exp(-4.5 * r * r)}[int(slot[7])], 0.0)


def begin(s: Any, rows: Any, entity: Any, table: Any, t: float, dt: float) -> list[Any]:
    """Slots in force during [t, t + dt]; entities' own actions change velocities at once."""
    slots = []
    for a in table:
        start, end = max(t, a[8]), min(t + dt, a[9])
        if a[10] == 0 or end <= start:
            continue
        part = (end - start) / dt
        if a[10] == 2:
            w = np.pi / (a[9] - a[8])
            part = (np.cos(w * (start - a[8])) - np.cos(w * (end - a[8]))) / (w * dt)
        slot = np.concatenate([a[:3] * part, a[3:8]])
        mine = (entity == a[11]) | (a[11] < 0)
        if a[12]:
            if a[13] == 0:
                a[13] = (felt(slot, s["positions"]) * rows[entity, 5] * mine).sum()
            slot[:3] /= a[13]
        if a[11] < 0:
            slots.append(slot)
        else:
            s["velocities"][mine] += dt * felt(slot, s["positions"][mine])[:, None] * slot[:3]
    return slots


def law(f: Any, packed: Any, rows: Any):
    """F, Jp and Kirchhoff stress [Pa] after the laws of `materials.py`; `f` (J, 3, 3) begins the substep."""
    model, lam, mu, threshold, viscosity = (rows[:, n] for n in range(5))
    one = np.eye(3)
    u, sv, vt = np.linalg.svd(f)
    u[:, :, 2] *= np.linalg.det(u)[:, None]
    sign = np.linalg.det(vt)
    vt[:, 2] *= sign[:, None]
    sv = np.einsum("pji,pjk,pik->pi", u, f, vt)
    volume = np.linalg.det(f)
    new, after, hard, size = f.copy(), packed.copy(), np.ones(len(f)), sv.copy()
    strain = np.log(np.maximum(sv, 0.05))
    shear = strain - strain.mean(1, keepdims=True)
    norm = np.sqrt((shear**2).sum(1) + EPS)
    excess = norm - threshold / np.maximum(2 * mu, 1e-30)
    yields = (model == 1) & (excess > 0)
    size[yields] = np.exp(strain[yields] - (excess / norm)[yields, None] * shear[yields])
    snow = model == 2
    size[snow] = np.clip(sv, 1 - 0.025, 1 + 0.0075)[snow]
    after[snow] = np.clip(packed * (sv / size).prod(1), 0.05, 20)[snow]
    hard[snow] = np.minimum(np.exp(10 * (1 - packed)), 8)[snow]
    volume = np.where(snow, size.prod(1), volume)
    changed = yields | snow
    new[changed] = (u @ (size[:, :, None] * vt))[changed]
    pressure = (lam * volume * (volume - 1))[:, None, None] * one
    stress = 2 * mu[:, None, None] * (new - u @ vt) @ new.swapaxes(1, 2) + pressure
    stress *= hard[:, None, None]
    liquid = model == 3
    b = f @ f.swapaxes(1, 2) / np.cbrt(volume)[:, None, None] ** 2
    deviator = b - np.trace(b, axis1=1, axis2=2)[:, None, None] / 3 * one
    stress[liquid] = (viscosity[:, None, None] * deviator + pressure)[liquid]
    new[liquid] = (np.cbrt(volume)[:, None, None] * one)[liquid]
    return new, after, stress


def _substep(s: Any, rows: Any, slots: list[Any], friction: float, domain: Domain) -> None:
    dx, dt = domain.cell_m, domain.substep_s
    on = s["active"] > 0
    x, v, c, rows = s["positions"][on], s["velocities"][on], s["C"][on], rows[on]
    f = (np.eye(3) + dt * c) @ s["F"][on]
    s["F"][on], s["Jp"][on], stress = law(f, s["Jp"][on], rows)
    mass = rows[:, 5]
    affine = -dt * domain.volume_m3 * 4 / dx**2 * stress + mass[:, None, None] * c
    base = np.floor(x / dx - 0.5).astype(int)
    fx = x / dx - base
    w = np.stack([0.5 * (1.5 - fx) ** 2, 0.75 - (fx - 1) ** 2, 0.5 * (fx - 0.5) ** 2])
    grid = np.zeros((*domain.nodes, 4))
    offsets = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)])
    where = [tuple((base + o - domain.lowest).T) for o in offsets]
    weights = [w[o[0], :, 0] * w[o[1], :, 1] * w[o[2], :, 2] for o in offsets]
    for o, at, weight in zip(offsets, where, weights, strict=True):
        momentum = mass[:, None] * v + np.einsum("pij,pj->pi", affine, (o - fx) * dx)
        np.add.at(grid, at, weight[:, None] * np.concatenate([mass[:, None], momentum], 1))
    full = np.nonzero(grid[..., 0] > 1e-15)
    node = (np.stack(full, -1) + domain.lowest) * dx
    u = grid[full][:, 1:] / grid[full][:, :1]
    for slot in slots:
        u = u + dt * felt(slot, node)[:, None] * slot[:3]
    floor = (node[:, 2] <= 1e-9) & (u[:, 2] < 0)
    slide = np.sqrt(u[:, 0] ** 2 + u[:, 1] ** 2 + EPS)
    kept = np.maximum(0, slide + friction * u[:, 2]) / slide
    u[floor, :2] *= kept[floor, None]
    u[floor, 2] = 0
    low, high = np.array(domain.low_wall), np.array(domain.high_wall)
    u[((node >= high - 1e-9) & (u > 0)) | ((node <= low + 1e-9) & (u < 0))] = 0
    out = np.zeros((*domain.nodes, 3))
    out[full] = u
    v, c = np.zeros_like(v), np.zeros_like(c)
    for o, at, weight in zip(offsets, where, weights, strict=True):
        v += weight[:, None] * out[at]
        c += 4 / dx * weight[:, None, None] * out[at][:, :, None] * (o - fx)[:, None, :]
    x = x + dt * v
    v[((x >= high) & (v > 0)) | ((x <= low) & (v < 0))] = 0
    s["positions"][on], s["velocities"][on], s["C"][on] = np.clip(x, low, high), v, c
