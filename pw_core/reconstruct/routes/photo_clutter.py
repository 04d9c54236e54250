"""What else stands on a photo's table: solids of its own that stay where they are, part of the background.

Laid on the table as a picture a bowl is torn where the table ends, as soon as the view turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.config import EntityConfig, Material, Prompt, SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Gaussians
from pw_core.reconstruct.binding.photo_skin import Skin, SkinOptions, photo_skin
from pw_core.reconstruct.segmentation.clutter import ClutterOptions, find_clutter
from pw_core.reconstruct.segmentation.second_look import photo_masks
from pw_core.reconstruct.surface.inflate import make_solid
from pw_core.reconstruct.types import Mask, View

_NAME = "clutter"  # of entities that are none, for what cuts and meshes those


@dataclass(frozen=True)
class Clutter:
    """Masks (H, W) of what else stands there, its Gaussians, and boxes [px of the original]: left, top, right,
    bottom."""

    masks: tuple[Mask, ...] = ()
    skins: tuple[Skin, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] = ()

    def union(self, shape: tuple[int, int]) -> Mask:
        """Pixels (H, W) of all."""
        return np.any([np.zeros(shape, bool), *self.masks], axis=0)

    def added_to(self, foreground: Gaussians) -> Gaussians:
        """Those Gaussians with the clutter's after them: what is fitted to the photo together."""
        return Gaussians.concatenate([foreground, *(s.gaussians for s in self.skins)])

    def pixels(self, own: Sequence[Skin]) -> tuple[NDArray[np.int64], Mask]:
        """Of all these: each one's pixel, and whether it lies at an outline."""
        skins = [*own, *self.skins]
        return np.concatenate([s.pixels for s in skins]), np.concatenate([s.outline for s in skins])


def stand_up(
    config: SceneConfig, seen: View, table: Mask, masks: Sequence[Mask], scale: float, *,
    options: ClutterOptions = ClutterOptions(), skin: SkinOptions = SkinOptions(),
) -> Clutter:  # fmt: skip
    """What the scene file says stands on the table beside the entities, and what is found to.

    table (H, W): its pixels; masks (H, W): the entities'; scale: working pixels per pixel of the original.

    Raises:
        ReconstructError: INVALID_PROMPT, MISSING_WEIGHTS, RECONSTRUCT_FAILED; the message names the prompt. Of what is
            only found nothing is raised: it stays a picture on the table.
    """
    if not config.has_table:
        return Clutter()
    things = np.any([np.zeros(table.shape, bool), *masks], axis=0) | seen.unseen
    found: list[tuple[Mask, Skin]] = []
    for k, prompt in enumerate(config.reconstruct.clutter):
        try:
            (mask,) = photo_masks(seen.image, [_stub(prompt)], config.reconstruct.views, scale=scale)
            own = mask & ~things
            if not own.any():
                raise ReconstructError("an entity covers all of it", code=ErrorCode.INVALID_PROMPT)
            found.append((own, _skin(own, prompt, seen, skin)))
        except ReconstructError as error:
            said = str(error).replace(f"entity '{_NAME}': ", "")
            raise ReconstructError(f"reconstruct.clutter[{k}]: {said}", code=error.code) from None
        things |= own
    if config.reconstruct.find_clutter:
        known = [*masks, *(m for m, _ in found), seen.unseen]
        for mask in find_clutter(seen.image, table, known, seen.camera, options=options):
            try:
                found.append((mask, _skin(mask, _prompt(mask, 1.0), seen, skin)))
            except ReconstructError:  # no solid has that outline
                continue
    boxes = tuple(_box(m, scale) for m, _ in found)
    return Clutter(tuple(m for m, _ in found), tuple(s for _, s in found), boxes)


def _stub(prompt: Prompt) -> EntityConfig:
    """An entity that nothing is simulated of."""
    return EntityConfig(name=_NAME, material=Material(model="rigid"), prompt=prompt)


def _skin(mask: Mask, prompt: Prompt, seen: View, options: SkinOptions) -> Skin:
    solid = make_solid(mask, _stub(prompt), seen.camera)
    return photo_skin(solid, seen.image, seen.camera, options=options)


def _prompt(mask: Mask, scale: float) -> Prompt:
    left, top, right, bottom = _box(mask, scale)
    return Prompt(box=(left, top, max(right, left + 4), max(bottom, top + 4)))


def _box(mask: Mask, scale: float) -> tuple[int, int, int, int]:
    """Round a mask (H, W) [px of the original]."""
    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / scale
    left, top, right, bottom = (round(float(v)) for v in box)
    return left, top, right, bottom
