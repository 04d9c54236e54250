"""How far a corrected trajectory is from its target frames, in figures that do not depend on the loss."""

from __future__ import annotations

import numpy as np

from pw_core.progress import Ask, no_question
from pw_core.refine.model import Drawn, Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.tracking.film import Film


def figures(
    model: Model, motion: Motion, shadow_gain: ShadowGain, film: Film, *, when: str, step: int = 3,
    ask: Ask = no_question,
) -> dict[str, float]:
    """Over every `step`-th frame from the last and all views: `psnr_<when>` [dB] inside the targets' masks,
    `psnr_image_<when>` [dB] over all that was observed, `mask_iou_<when>`: intersection over union of the entities'
    silhouettes, over the pixels of which it is certain what they show (NaN where no view shows any)."""
    inside, whole = np.zeros(2), np.zeros(2)  # sums of squares, pixels
    both, either = 0, 0
    for t in range(film.frames - 1, -1, -step):
        ask()
        drawn = _drawn(model, motion, film, t)
        for v in range(len(film.cameras)):
            valid, masks = film.valid[v, t], film.masks[v, t]
            cover = np.clip(drawn.alpha[v].sum(-1, keepdims=True), 0, 1)
            gap = ((drawn.rgb[v] + (1 - cover) * shadow_gain.plain(v, frame=t) - film.rgb[v, t]) ** 2).mean(-1)
            for sums, where in ((inside, valid & (masks > 0)), (whole, valid)):
                sums += float(gap[where].sum()), int(where.sum())
            certain = valid & (masks >= 0)
            for e in model.scene.entities:
                ours, theirs = (drawn.alpha[v][..., e.id] > 0.5) & certain, (masks == e.id + 1) & certain
                both, either = both + int((ours & theirs).sum()), either + int((ours | theirs).sum())
    return {
        f"psnr_{when}": _decibel(inside), f"psnr_image_{when}": _decibel(whole),
        f"mask_iou_{when}": both / either if either else float("nan"),
    }  # fmt: skip


def errors_of_entities(
    model: Model, motions: tuple[Motion, ...], shadow_gain: ShadowGain, film: Film, *, step: int = 3,
    ask: Ask = no_question,
) -> dict[str, tuple[float, ...]]:
    """Mean squared error of the pictures 0 to 1 where an entity is, for each motion: over every `step`-th frame and all
    views, where the target's mask or any of the motions shows it. One tuple for each entity that is seen."""
    entities = model.scene.entities
    sums, pixels = np.zeros((len(entities), len(motions))), np.zeros(len(entities))
    for t in range(film.frames - 1, -1, -step):
        ask()
        drawn = [_drawn(model, m, film, t) for m in motions]
        for v in range(len(film.cameras)):
            gaps = []
            for d in drawn:
                cover = np.clip(d.alpha[v].sum(-1, keepdims=True), 0, 1)
                gaps.append(((d.rgb[v] + (1 - cover) * shadow_gain.plain(v, frame=t) - film.rgb[v, t]) ** 2).mean(-1))
            for e in entities:
                where = film.masks[v, t] == e.id + 1
                for d in drawn:
                    where = where | (d.alpha[v][..., e.id] > 0.5)
                where &= film.valid[v, t]
                pixels[e.id] += where.sum()
                sums[e.id] += [float(g[where].sum()) for g in gaps]
    return {e.name: tuple(sums[e.id] / pixels[e.id]) for e in entities if pixels[e.id]}


def _drawn(model: Model, motion: Motion, film: Film, t: int) -> Drawn:
    """The foreground in frame t through the film's cameras."""
    positions = motion.positions(model, t)
    placed = model.gaussians_at(positions, motion.rotations(t))
    return model.draw(*placed, film.cameras, share=model.share(positions))


def _decibel(sums: np.ndarray) -> float:
    return float(-10 * np.log10(max(sums[0] / max(sums[1], 1), 1e-10)))
