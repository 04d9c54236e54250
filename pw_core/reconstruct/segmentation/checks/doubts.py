"""What looks wrong with an entity of one photo, in sentences that say what would help: its mask, its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.config import EntityConfig
from pw_core.reconstruct.segmentation.checks.prompt_doubts import prompt_doubts
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity


@dataclass(frozen=True, kw_only=True)
class DoubtOptions:
    """When a mask or a size is doubted."""

    box_margin_px: float = 2.0
    """So near to its box a mask touches it."""
    cut_share: float = 0.2
    """Of the mask's extent along a side of its box: touching on more than this it is cut by the box."""
    across_px: int = 3
    """Colours are compared so far inside and outside of the box ..."""
    across_levels: float = 45.0
    """... and go on where they differ by less than this."""
    body_ratio: float = 0.5
    """Of the mask's largest inscribed circle: what is narrower sticks out."""
    part_share: float = 0.05
    """Of a mask: smaller parts are not told of."""
    part_levels: float = 35.0
    """How far the mean colour of what sticks out is from the rest's at the least."""
    hue_gap: float = 0.06
    """Between shares of red, green and blue: a shadow's from the thing's at the least."""
    hue_ratio: float = 0.35
    """So much nearer a shadow is to the hue beside it than to the thing's."""
    shadow_step: float = 0.5
    """A shadow ends at an edge: of the way in colour from the thing's middle to it, what is made within a few pixels of
    its border at the least. Light that the table throws back on a thing fades."""
    step_px: int = 4
    """Those pixels, on either side."""
    fine_levels: float = 0.4
    """CIELAB lightness by which pixels beside an outline differ from the median of those around, on the mean, if there
    are fine parts."""
    fine_ratio: float = 2.7
    """And so many times what it is further away: noise and grain are the same near to the thing and far."""
    fine_px: int = 4
    """Nearer to the outline its own blur counts."""
    fine_near: float = 0.08
    """Width of what is looked at beside the outline, of the square root of the mask's area."""
    fine_far: tuple[float, float] = (0.2, 0.5)
    """And of what is further away, likewise."""
    ring_ratio: float = 0.08
    """Of the square root of the mask's area: width of the rims inside and outside that are compared."""
    alike_levels: float = 14.0
    """Rims whose colours differ by less than this are alike."""
    alike_share: float = 0.4
    """Of the outline: alike along more than this, the mask hardly stands out."""
    most_litres: float = 30.0
    """What stands on a table is hardly larger."""
    most_kg: float = 20.0
    """Nor heavier."""
    likely_m: float = 0.2
    """Extent that a remedy for too large or too small a thing aims at."""
    least_m: float = 0.006
    """Extent: smaller things are seldom photographed on a table."""
    densities_kg_m3: tuple[float, float] = (5.0, 25_000.0)
    """From foams and feathers to osmium, a little beyond both."""
    most_steep_deg: float = 55.0
    """Below the horizontal, from the camera to the middle of a thing: from further above its height is not seen."""


@dataclass(frozen=True)
class Doubt:
    """What is doubtful, in words, and where: pixels (H, W) that may not be the thing's, None where none stand out."""

    text: str
    where: Mask | None = None


def mask_doubts(
    photo: Rgb, mask: Mask, entity: EntityConfig, *, scale: float, options: DoubtOptions = DoubtOptions()
) -> list[str]:
    """What is doubtful of a mask (H, W) of the photo (H, W, 3), whose prompts are in pixels of the original, 1 / scale
    times as large."""
    found = find_doubts(photo, mask, entity, scale=scale, options=options)
    texts = [doubt.text for doubt in found] + prompt_doubts(photo, mask, entity, scale=scale)
    return [f"entity '{entity.name}': {text}" for text in texts]


def find_doubts(
    photo: Rgb, mask: Mask, entity: EntityConfig, *, scale: float, options: DoubtOptions = DoubtOptions()
) -> list[Doubt]:
    """The same with the places."""
    if not mask.any():
        return []
    return [
        *_cut(photo, mask, entity, scale, options), *_lobes(photo, mask, scale, options),
        *_shadow(photo, mask, scale, options), *_alike(photo, mask, scale, options), *_fine(photo, mask, options),
    ]  # fmt: skip


def _cut(photo: Rgb, mask: Mask, entity: EntityConfig, scale: float, o: DoubtOptions) -> list[Doubt]:
    """Sides of the box along which the mask ends though its colours go on."""
    out = []
    left, top, right, bottom = (v * scale for v in entity.prompt.box)
    height, width = mask.shape
    turns = (("left", 0, left), ("top", 1, top), ("right", 2, width - right), ("bottom", 3, height - bottom))
    for name, turn, gap in turns:
        if gap <= o.box_margin_px + o.across_px:  # the picture's own border cuts nothing off
            continue
        m, p = (np.rot90(a, turn) for a in (mask, photo))  # the side is now the left one
        rows = np.flatnonzero(m.any(axis=1))
        first = np.argmax(m[rows], axis=1)
        touching = first < gap + o.box_margin_px
        at, rows = first[touching], rows[touching]
        steps = (o.across_px, -o.across_px)
        within, beyond = (p[rows, np.clip(at + d, 0, m.shape[1] - 1)].astype(float) for d in steps)
        on = np.linalg.norm(within - beyond, axis=1) < o.across_levels
        share = on.sum() / max(len(first), 1)
        if share > o.cut_share:
            where = np.zeros(m.shape, bool)
            where[rows[on], at[on]] = True
            text = (
                f"its mask is cut off by its box, along {share:.0%} of its extent at the {name} side: draw the box "
                "wider there, or put a negative point on what does not belong to it"
            )
            out.append(Doubt(text, np.rot90(where, -turn)))
    return out


def _lobes(photo: Rgb, mask: Mask, scale: float, o: DoubtOptions) -> list[Doubt]:
    """Parts of another colour that stick out of what is wide."""
    inside = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    radius = o.body_ratio * inside.max()
    body = mask & (ndimage.distance_transform_edt(inside <= radius) <= radius + 1)
    parts, count = ndimage.label(ndimage.binary_opening(mask & ~body, iterations=2))
    area, out = int(mask.sum()), []
    for k in range(1, count + 1):
        part = parts == k
        share = part.sum() / area
        away = float(np.linalg.norm(photo[part].mean(0) - photo[body].mean(0)))
        if share > o.part_share and away > o.part_levels and not _in_shade(photo, mask, part, body, o):
            v, u = np.unravel_index(int(np.argmax(np.where(part, inside, 0))), mask.shape)
            text = (
                f"{share:.0%} of its mask sticks out of the rest and has other colours: if it does not belong to it, "
                f"add the negative point {_pixel(u, v, scale)}"
            )
            out.append(Doubt(text, np.asarray(part)))
    return out


def _in_shade(photo: Rgb, mask: Mask, part: Mask, body: Mask, o: DoubtOptions) -> bool:
    """Whether a part is the body's stuff with less light on it, as legs under a seat are: darker, of the same hue, and
    that is not the hue of what is round it, as a shadow's is."""
    near, far = (ndimage.binary_dilation(m, iterations=n) for m, n in ((mask, o.step_px), (part, 2 * o.step_px)))
    around = far & ~near
    if not around.any():
        return False
    colors = [photo[where].mean(0) for where in (part, body, around)]
    own, bodys, beside = (c / max(float(c.sum()), 1.0) for c in colors)
    gap = float(np.linalg.norm(own - bodys))
    darker = colors[0].sum() < colors[1].sum()
    return bool(darker and gap < o.hue_gap and gap < np.linalg.norm(own - beside))


def _shadow(photo: Rgb, mask: Mask, scale: float, o: DoubtOptions) -> list[Doubt]:
    """A part along the outline that has the hue of what is outside of it rather than that of the thing: its shadow."""
    import cv2

    inside, outside = (np.asarray(ndimage.distance_transform_edt(m)) for m in (mask, ~mask))
    wide = max(3.0, 2 * o.ring_ratio * float(np.sqrt(mask.sum())))
    hue = photo / np.maximum(photo.sum(-1, keepdims=True, dtype=np.float32), 30)
    rim = ((outside > 1) & (outside < 1 + wide)).astype(np.float32)
    weight, sums = (cv2.GaussianBlur(a, (0, 0), wide) for a in (rim, hue * rim[..., None]))
    ground = sums / np.maximum(weight, 1e-3)[..., None]
    core = inside > 0.6 * inside.max()
    own = np.median(hue[core], axis=0)
    like_ground, like_own = (np.linalg.norm(hue - c, axis=-1) for c in (ground, own))
    strange = mask & (weight > 0.05) & (like_ground < o.hue_ratio * like_own) & (like_own > o.hue_gap)
    parts, count = ndimage.label(ndimage.binary_opening(strange, iterations=2))
    if not count:
        return []
    sizes = ndimage.sum_labels(strange, parts, np.arange(1, count + 1))
    share = sizes.max() / mask.sum()
    if share < o.part_share:
        return []
    part = parts == int(np.argmax(sizes)) + 1
    if not _ends_sharply(photo, part, mask, core, o):
        return []
    v, u = np.unravel_index(int(np.argmax(np.where(part, ndimage.distance_transform_edt(part), 0))), mask.shape)
    text = (
        f"{share:.0%} of its mask along the outline has the hue of what is beside it, as its shadow would: if it is "
        f"one, add the negative point {_pixel(u, v, scale)}"
    )
    return [Doubt(text, np.asarray(part))]


def _ends_sharply(photo: Rgb, part: Mask, mask: Mask, core: Mask, o: DoubtOptions) -> bool:
    """Whether a part of a mask is set off by an edge from what is further in."""
    to_part, to_rest = (np.asarray(ndimage.distance_transform_edt(~m)) for m in (part, mask & ~part))
    own, other = photo[part & (to_rest <= o.step_px)], photo[mask & ~part & (to_part <= o.step_px)]
    if not len(own) or not len(other):
        return True
    way = np.median(photo[part], axis=0) - np.median(photo[core], axis=0)
    step = (np.median(own, axis=0) - np.median(other, axis=0)) @ way / max(float(way @ way), 1.0)
    return bool(step > o.shadow_step)


def _fine(photo: Rgb, mask: Mask, o: DoubtOptions) -> list[Doubt]:
    """Spines, hair, stalks."""
    if not has_fine_parts(photo, mask, options=o):
        return []
    text = (
        "fine parts, like spines or hair, stick out of its mask: they go with it as far as their colours tell them "
        "from what is behind; reconstruct.views.masks: sam2 may find more of them"
    )
    return [Doubt(text)]


def has_fine_parts(photo: Rgb, mask: Mask, *, options: DoubtOptions = DoubtOptions()) -> bool:
    """Whether there is more fine detail beside the outline than what is behind has further away."""
    import cv2

    light = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0]
    detail = np.abs(light - cv2.medianBlur(light, 5))
    away, size = np.asarray(ndimage.distance_transform_edt(~mask)) - options.fine_px, float(np.sqrt(mask.sum()))
    low, high = (share * size for share in options.fine_far)
    near, far = (away > 0) & (away < options.fine_near * size), (away > low) & (away < high)
    if not near.any() or not far.any():
        return False
    beside, behind = float(detail[near].mean()), float(detail[far].mean())
    return beside >= options.fine_levels and beside >= options.fine_ratio * behind


def _alike(photo: Rgb, mask: Mask, scale: float, o: DoubtOptions) -> list[Doubt]:
    """Whether the same colours go on outside."""
    import cv2

    wide = max(2.0, o.ring_ratio * float(np.sqrt(mask.sum())))
    inside, outside = (np.asarray(ndimage.distance_transform_edt(m)) for m in (mask, ~mask))
    rims = [((d > 1) & (d < 1 + wide)).astype(np.float32) for d in (inside, outside)]
    means = []
    for rim in rims:
        weight = cv2.GaussianBlur(rim, (0, 0), wide)
        sums = cv2.GaussianBlur(photo * rim[..., None], (0, 0), wide)
        means.append(sums / np.maximum(weight, 1e-3)[..., None])
    outline = mask & (inside < 1.5)
    gap = np.linalg.norm(means[0] - means[1], axis=-1)
    alike = outline & (gap < o.alike_levels)
    share = float(alike.sum() / max(outline.sum(), 1))
    if share < o.alike_share:
        return []
    v, u = np.argwhere(alike)[np.argmin(gap[alike])]
    text = (
        f"the same colours go on outside of {share:.0%} of its outline, most alike at {_pixel(u, v, scale)}: look at "
        "its mask, and add points on it and negative points beside it"
    )
    return [Doubt(text)]


def size_doubts(
    entities: Sequence[Entity], camera_height_m: float, *, options: DoubtOptions = DoubtOptions()
) -> list[str]:
    """What is doubtful of sizes and masses, which grow with the camera's height [m] and its third power, and of
    heights."""
    out = []
    for e in entities:
        litres, extent = e.volume_m3 * 1e3, float(np.ptp(e.mesh.vertices, axis=0).max())
        high = float(np.ptp(e.mesh.vertices[:, 2]))
        remedy = (
            f"if it is about {options.likely_m} m across, camera.height_m is "
            f"{camera_height_m * options.likely_m / extent:.2g}, not {camera_height_m:g}"
        )
        if litres > options.most_litres or e.mass_kg > options.most_kg:
            out.append(
                f"entity '{e.name}': {litres:.0f} litres and {e.mass_kg:.0f} kg, {extent:.2f} m across, is much for a "
                f"thing on a table: {remedy}; if its size is right, look at density_kg_m3"
            )
        elif extent < options.least_m:
            out.append(f"entity '{e.name}': {extent * 1000:.2g} mm across is little for a thing on a table: {remedy}")
        density, (least, most) = e.mass_kg / max(e.volume_m3, 1e-30), options.densities_kg_m3
        if not least <= density <= most:
            meant = f": {density:g} g/cm³ are {density * 1000:g}" if density < least else ""
            out.append(f"entity '{e.name}': nothing solid or liquid has a density of {density:.2g} kg/m³{meant}")
        x, y, z = (float(v) for v in e.origin)
        steep = math.degrees(math.atan2(camera_height_m - z, math.hypot(x, y)))
        if steep > options.most_steep_deg:
            out.append(
                f"entity '{e.name}': it is seen from {steep:.0f} degrees above, where its height hardly shows: that it "
                f"is {high:.2g} m high is a guess, and so is its volume; take the photo from the side, 20 to 40 "
                "degrees down, or mend camera.pitch_deg"
            )
    return out


def _pixel(u: float | np.number, v: float | np.number, scale: float) -> str:
    return f"({(float(u) + 0.5) / scale:.0f}, {(float(v) + 0.5) / scale:.0f})"
