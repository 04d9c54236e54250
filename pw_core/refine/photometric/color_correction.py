"""A smooth change of colour over each entity, by least squares.

A film tells how light lies on a body. Fitted colour by colour, Gaussians that no camera saw would keep the photo's
light, and show as specks when the next round turns them out. A picture is linear in the colours of what it shows: the
smooth change that explains most of what is wrong is found in one go, before gradients take up the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pw_core.gaussians import F32, F64, SH_C0
from pw_core.refine.basis import Basis
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.shadow_gain import Shade
from pw_core.refine.tracking.film import Film

NODES = 16
"""Of each entity's field, beside its affine part."""
BEND, SIZE = 0.02, 1e-3
"""How much neighbouring nodes should change alike, and all of it little: shares of the pixels that tell."""
KNEE = 0.1
"""Colours 0 to 1 beyond which a difference counts ever less: a highlight is no tint."""
REWEIGHTED = 3


def tinted(model: Model, film: Film, motion: Motion, shade: Shade, *, frames: Sequence[int]) -> F32:
    """Spherical harmonics (N, B, 3) of the foreground, with the change of colour that fits these frames best."""
    values, stiffness = _fields(model)
    K = values.shape[1]
    rows: list[F64] = []
    gaps: list[F64] = []
    for t in frames:
        placed = model.gaussians_at(motion.positions(model, t), motion.rotations(t))
        for v, camera in enumerate(film.cameras):
            where = film.valid[v, t] & (film.masks[v, t] > 0)
            if not where.any():
                continue
            drawn = model.draw(*placed, (camera,), features=values)
            cover = np.clip(drawn.alpha[0].sum(-1, keepdims=True), 0, 1)
            assert drawn.features is not None
            gap = film.rgb[v, t] - drawn.rgb[0] - (1 - cover) * shade.plain(v)
            rows.append(drawn.features[0][where].astype(np.float64))
            gaps.append(gap[where].astype(np.float64))
    if not rows:
        return model.appearance.sh
    A, b = np.concatenate(rows), np.concatenate(gaps)
    prior = len(A) * (BEND * stiffness + SIZE * np.eye(K))
    c = np.zeros((K, 3))
    for _ in range(REWEIGHTED):
        weight = 1 / (1 + (((b - A @ c) / KNEE) ** 2).sum(1, keepdims=True))
        c = np.linalg.solve((A * weight).T @ A + prior, (A * weight).T @ b)
    sh = model.appearance.sh.copy()
    sh[:, 0] += (values @ c / SH_C0).astype(np.float32)
    return sh


def _fields(model: Model) -> tuple[F32, F64]:
    """Values (N, K) of all entities' fields at each Gaussian, and the form (K, K) that measures their roughness."""
    bases = [Basis.spread(model.scene.rest[e.particles], nodes=NODES) for e in model.scene.entities]
    sizes = [b.size for b in bases]
    values = np.zeros((len(model.own), sum(sizes)), np.float32)
    stiffness = np.zeros((sum(sizes), sum(sizes)))
    for e, basis, end in zip(model.scene.entities, bases, np.cumsum(sizes), strict=True):
        span = slice(end - basis.size, end)
        mine = model.entity_of == e.id
        values[mine, span] = basis.values[model.own[mine] - e.particles.start]
        stiffness[span, span] = basis.stiffness
    return values, stiffness
