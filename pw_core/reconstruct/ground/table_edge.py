"""Where a photo shows the table's far edge, and whether that, and where things stand, fits the scene file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pw_core.config import SceneConfig, TableConfig
from pw_core.gaussians import F32, F64, Camera
from pw_core.reconstruct.types import Mask, Rgb
from pw_core.scene import Entity


@dataclass(frozen=True, kw_only=True)
class TableEdgeOptions:
    """How the edge is found, and when it contradicts the scene file."""

    blur_px: float = 1.0
    """Of the photo, standard deviation: grain is no edge."""
    least_edge_lab: float = 0.8
    """CIELAB a pixel, downwards: what is weaker is no edge."""
    slack_px: int = 1
    """Rows up and down in which a column's edge is looked for: tables' edges are not quite straight."""
    band_px: tuple[int, int] = (4, 24)
    """From a row to the bands above and below it whose colours are compared: table and what is behind differ."""
    mask_margin_px: int = 6
    """Round the things, not looked at."""
    least_free_share: float = 0.35
    """Of a row: where things cover more, it tells nothing."""
    least_share: float = 0.6
    """Of the columns that show an edge in a row: less is no table's edge."""
    least_score: float = 6.0
    """Share of columns times the difference of the bands [CIELAB]."""
    as_good_ratio: float = 0.6
    """Of the best row's score: where the expected row has as much, it may be the edge."""
    most_off_deg: float = 1.0
    """How far the edge may be off before it is told of [degrees]: scene files are rarely nearer."""
    through_share: float = 0.05
    """Of a thing's particles, behind the wall: fewer are its roundness that was guessed."""


def table_edge_doubts(
    photo: Rgb, masks: Sequence[Mask], camera: Camera, config: SceneConfig, *,
    options: TableEdgeOptions = TableEdgeOptions(),
) -> list[str]:  # fmt: skip
    """Contradictions between the photo (H, W, 3) and `config.camera` and `config.table`, with what would fit.

    The camera has no roll, so that the far edge is a row of the photo: the one that most columns show an edge in, with
    other colours above than below. A thing that stands on the table has its foot below that row.
    """
    expected = _expected_row(camera, config)
    out = []
    height, feet = camera.height, []
    for mask, entity in zip(masks, config.entities):
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows) or entity.above or entity.diameter_m > 0:
            continue
        feet.append(int(rows[-1]))
        if rows[-1] < expected - 1:
            fits = config.camera.height_m / max(math.tan(_below(camera, rows[-1] + 1.0, config)), 1e-3)
            out.append(
                f"entity '{entity.name}': its foot is above the row of the photo where the table ends by the scene "
                f"file: table.edge_m is at least {fits:.2g}, not {config.table.edge_m:g}, or the camera's pitch or "
                "height is wrong"
            )
    things = np.any([np.zeros(photo.shape[:2], bool), *masks], axis=0)
    scores, best = _ends(photo, things, min(feet, default=height), options)
    if config.table.edge_m >= TableConfig().edge_m:  # no edge was told of
        below = _below(camera, best + 0.5, config)
        if scores[best] >= options.least_score and below > math.radians(options.most_off_deg):
            out.append(
                f"the table seems to end {best / height:.0%} of the photo's height from its top, and the scene file "
                f"has no end of it (table.edge_m {config.table.edge_m:g}), so that what is behind is laid on it: "
                f"table.edge_m {config.camera.height_m / math.tan(below):.2g} would fit"
            )
        return out
    tolerance = math.tan(math.radians(options.most_off_deg)) * float(camera.K[1, 1])
    near = scores[max(0, int(expected - tolerance)) : max(0, int(expected + tolerance) + 2)]
    if scores[best] < options.least_score or near.max(initial=0) >= options.as_good_ratio * scores[best]:
        return out
    below = _below(camera, best + 0.5, config)
    given, edge, high = config.camera.pitch_deg, config.table.edge_m, config.camera.height_m
    pitch = math.degrees(math.atan2(high, edge) - below) + given
    other = ""
    if below > math.radians(options.most_off_deg):
        other = (
            f", or camera.height_m {edge * math.tan(below):.2g} (not {high:g}), "
            f"or table.edge_m {high / math.tan(below):.2g} (not {edge:g})"
        )
    out.append(
        f"the table seems to end {best / height:.0%} of the photo's height from its top, and by the "
        f"scene file at {expected / height:.0%}: camera.pitch_deg {pitch:.1f} (not {given:g}) would fit{other}"
    )
    return out


def standing_doubts(
    rest: F32, entities: Sequence[Entity], config: SceneConfig, *, options: TableEdgeOptions = TableEdgeOptions()
) -> list[str]:  # fmt: skip
    """Things whose particles [m] (J, 3) are for the most part beyond the table's end, where nothing bears them, or
    reach through the wall."""
    out, edge = [], config.table.edge_m
    for e in entities:
        asked = config.entity(e.name)
        if asked.above or asked.fixed != "no":
            continue
        x = rest[e.particles][:, 0]
        middle, back = float(np.median(x)), float(np.quantile(x, 1 - options.through_share))
        if middle > edge:
            out.append(
                f"entity '{e.name}': {(x > edge).mean():.0%} of it is beyond the table's end by the scene file, where "
                f"nothing bears it: table.edge_m is at least {middle:.3g}, not {edge:g}, or the camera's pitch or "
                "height is wrong, or it is less deep than it looks wide (depth_ratio)"
            )
        elif back > edge + config.table.backdrop_m:
            out.append(
                f"entity '{e.name}': it reaches through the wall, which by the scene file is "
                f"{config.table.backdrop_m:g} m beyond the table's end: table.backdrop_m is at least "
                f"{float(x.max()) - edge:.2g}, or it is less deep than it looks wide (depth_ratio)"
            )
    return out


def far_edge_row(
    photo: Rgb, things: Mask, *, lowest: int, options: TableEdgeOptions = TableEdgeOptions()
) -> float | None:
    """The row [px] of a photo (H, W, 3) where the table seems to end, outside of `things` (H, W) and above the row
    `lowest`, where they stand; None where none stands out."""
    scores, best = _ends(photo, things, lowest, options)
    return best + 0.5 if scores[best] >= options.least_score else None


def _ends(photo: Rgb, things: Mask, lowest: int, options: TableEdgeOptions) -> tuple[F64, int]:
    """Scores (H,) of the rows, and the one where the table ends if it does."""
    scores, steep = row_scores(photo, things, options)
    scores[lowest:] = 0  # what a thing stands on goes on behind it
    # Beside the edge a board's seam has as many columns and nearly the same bands, but is less steep.
    return scores, int(np.argmax(np.where(scores >= options.as_good_ratio * scores.max(), steep, 0)))


def _below(camera: Camera, row: float, config: SceneConfig) -> float:
    """Angle [rad] below the horizontal at which the given camera looks through a row [px] of its middle column."""
    return math.radians(config.camera.pitch_deg) + math.atan2(row - camera.K[1, 2], camera.K[1, 1])


def _expected_row(camera: Camera, config: SceneConfig) -> float:
    """Where [px] the scene file has the table's edge."""
    angle = math.atan2(config.camera.height_m, config.table.edge_m) - math.radians(config.camera.pitch_deg)
    return float(camera.K[1, 2] + camera.K[1, 1] * math.tan(angle))


def row_scores(photo: Rgb, things: Mask, options: TableEdgeOptions) -> tuple[F64, F64]:
    """(H,): how much each row looks like a table's far edge, and how steep colours change there [CIELAB a pixel]."""
    import cv2

    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    soft = cv2.GaussianBlur(lab, (0, 0), options.blur_px)
    slope = np.linalg.norm(np.gradient(soft, axis=0), axis=-1)
    free = ~ndimage.binary_dilation(things, iterations=options.mask_margin_px)
    edge = slope > options.least_edge_lab
    edge &= slope >= 0.99 * ndimage.maximum_filter1d(slope, 3, axis=0)  # the ridge alone
    wide = ndimage.maximum_filter1d(edge, 2 * options.slack_px + 1, axis=0)
    columns = np.maximum(free.sum(axis=1), 1)
    share = (wide & free).sum(axis=1) / columns
    share[columns < options.least_free_share * photo.shape[1]] = 0
    inner, outer = options.band_px
    height = len(photo)
    middle, steep, out = np.zeros((height, 3)), np.zeros(height), np.zeros(height)
    for row in np.flatnonzero(free.any(axis=1)).tolist():
        middle[row], steep[row] = np.median(lab[row, free[row]], axis=0), np.median(slope[row, free[row]])
    for row in range(outer, height - outer):
        if share[row] >= options.least_share:
            above = np.median(middle[row - outer : row - inner], axis=0)
            under = np.median(middle[row + inner : row + outer], axis=0)
            out[row] = share[row] * float(np.linalg.norm(above - under))
    return out, steep
