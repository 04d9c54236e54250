"""A smooth change of colour over each entity, by least squares.

A film tells how light lies on a body. Fitted colour by colour, Gaussians that no camera saw would keep the photo's
light, and show as specks when the next round turns them out. A picture is linear in the colours of what it shows: the
smooth change that explains most of what is wrong is found in one go, before gradients take up the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32, F64, SH_C0
from pw_core.progress import Ask, no_question
from pw_core.refine.basis import Basis
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.tracking.film import Film


@dataclass(frozen=True, kw_only=True)
class ColorCorrectionOptions:
    """How smooth the change is, and what it is fitted to."""

    nodes: int = 16
    """Of each entity's field, beside its affine part."""
    smoothness: float = 0.02
    """How much neighbouring nodes should change alike: a share of the pixels that tell."""
    magnitude: float = 1e-3
    """And all of it little, in the same measure."""
    robust_scale: float = 0.1
    """Colours 0 to 1 beyond which a difference counts ever less (Cauchy's weights): a highlight is no change of
    colour."""
    reweightings: int = 3
    """Times that pixels are weighed anew."""
    frames: int = 5
    """By which the light on the entities is judged, spread over the round."""


def corrected_colors(
    model: Model, film: Film, motion: Motion, shadow_gain: ShadowGain, *, frames: Sequence[int],
    options: ColorCorrectionOptions = ColorCorrectionOptions(), ask: Ask = no_question,
) -> F32:  # fmt: skip
    """Spherical harmonics (N, B, 3) of the foreground, with the change of colour that fits these frames best."""
    values, stiffness = _fields(model, options.nodes)
    K = values.shape[1]
    rows: list[F64] = []
    gaps: list[F64] = []
    for t in frames:
        ask()
        positions = motion.positions(model, t)
        placed, share = model.gaussians_at(positions, motion.rotations(t)), model.share(positions)
        # A change of colour is in the shadows that the colour is in: alike in all channels, or by their mean.
        shown = values if share is None else values * share.mean(1, keepdims=True)
        for v, camera in enumerate(film.cameras):
            where = film.valid[v, t] & (film.masks[v, t] > 0)
            if not where.any():
                continue
            drawn = model.draw(*placed, (camera,), features=shown, share=share)
            cover = np.clip(drawn.alpha[0].sum(-1, keepdims=True), 0, 1)
            assert drawn.features is not None
            gap = film.rgb[v, t] - drawn.rgb[0] - (1 - cover) * shadow_gain.plain(v, frame=t)
            rows.append(drawn.features[0][where].astype(np.float64))
            gaps.append(gap[where].astype(np.float64))
    if not rows:
        return model.appearance.sh
    A, b = np.concatenate(rows), np.concatenate(gaps)
    prior = len(A) * (options.smoothness * stiffness + options.magnitude * np.eye(K))
    c = np.zeros((K, 3))
    for _ in range(options.reweightings):
        weight = 1 / (1 + (((b - A @ c) / options.robust_scale) ** 2).sum(1, keepdims=True))
        c = np.linalg.solve((A * weight).T @ A + prior, (A * weight).T @ b)
    sh = model.appearance.sh.copy()
    sh[:, 0] += (values @ c / SH_C0).astype(np.float32)
    return sh


def _fields(model: Model, nodes: int) -> tuple[F32, F64]:
    """Values (N, K) of all entities' fields at each Gaussian, and the form (K, K) that measures their roughness."""
    bases = [Basis.spread(model.scene.rest[e.particles], nodes=nodes) for e in model.scene.entities]
    sizes = [b.size for b in bases]
    values = np.zeros((len(model.own), sum(sizes)), np.float32)
    stiffness = np.zeros((sum(sizes), sum(sizes)))
    for e, basis, end in zip(model.scene.entities, bases, np.cumsum(sizes), strict=True):
        span = slice(end - basis.size, end)
        mine = model.entity_of == e.id
        values[mine, span] = basis.values[model.own[mine] - e.particles.start]
        stiffness[span, span] = basis.stiffness
    return values, stiffness
