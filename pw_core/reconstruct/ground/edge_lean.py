"""Whether the table's far edge leans in a photo: a scene's camera has no roll, and its table ends along a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F64
from pw_core.reconstruct.ground.table_edge import TableEdgeOptions, row_scores
from pw_core.reconstruct.image import working_size
from pw_core.reconstruct.types import Mask, Rgb


@dataclass(frozen=True, kw_only=True)
class EdgeLeanOptions:
    """Which edges are looked at, and when one is told of."""

    edge: TableEdgeOptions = TableEdgeOptions()
    """What a table's edge is."""
    width_px: int = 640
    """Of the photo that is looked at, about: lines lean as much in a small one."""
    least_lean_deg: float = 1.0
    """What leans less is as good as level ..."""
    most_lean_deg: float = 25.0
    """... and what leans more is no table's end, but a side of it or of what lies there."""
    least_length_ratio: float = 0.1
    """Of the photo's width: shorter segments of straight lines are no table's end."""
    segments: int = 8
    """The longest of them that are looked at."""
    slack_px: int = 3
    """So near to where a segment crosses the middle column its row is looked for, once it is level."""
    better_ratio: float = 1.3
    """Of the least score of a table's edge, and of the best level row's: the leaning line's."""


def edge_lean_doubts(
    photo: Rgb, masks: Sequence[Mask], *, options: EdgeLeanOptions = EdgeLeanOptions()
) -> list[str]:  # fmt: skip
    """A sentence where the table of a photo (H, W, 3) seems to end along a line that leans; the masks' (H, W) things
    are not looked at.

    Each long straight segment that nearly is level is turned level with the photo, and counts as it does as a row.
    """
    step = max(1, round(photo.shape[1] / options.width_px))
    photo, masks = working_size(photo, photo.shape[1] // step), [m[::step, ::step] for m in masks]
    masks = [m[: photo.shape[0], : photo.shape[1]] for m in masks]
    things = np.any([np.zeros(photo.shape[:2], bool), *masks], axis=0)
    # What a thing stands on goes on behind it: above the highest foot, and that is turned too.
    foot = min((int(np.flatnonzero(m.any(axis=1))[-1]) for m in masks if m.any()), default=photo.shape[0])
    level = float(row_scores(photo, things, options.edge)[0][:foot].max(initial=0))
    best, lean = options.better_ratio * max(level, options.edge.least_score), 0.0
    for angle, middle in _segments(photo, things, foot, options):
        if (score := _turned_score(photo, things, angle, middle, options)) > best:
            best, lean = score, angle
    if not lean:
        return []
    way = "left" if lean > 0 else "right"
    return [
        f"the table seems to end along a line that leans by {abs(lean):.1f} degrees, and in a scene it ends along a "
        f"row: turn the photo by that to the {way}, or take it with the camera held level and square to the table's end"
    ]


def _turned_score(photo: Rgb, things: Mask, angle_deg: float, row: float, options: EdgeLeanOptions) -> float:
    """How much the line through the photo's middle column at `row` [px] looks like a table's end, once it is level."""
    import cv2

    height, width = things.shape
    turn = cv2.getRotationMatrix2D((width / 2, row), angle_deg, 1.0)
    turned = cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    hidden = cv2.warpAffine(things.astype(np.uint8), turn, (width, height), borderValue=1) > 0
    reach = options.edge.band_px[1] + options.slack_px
    first = max(int(row) - reach, 0)
    around = slice(first, int(row) + reach + 1)
    scores, _ = row_scores(np.asarray(turned[around], np.uint8), hidden[around], options.edge)
    near = slice(max(int(row) - options.slack_px - first, 0), int(row) + options.slack_px + 1 - first)
    return float(scores[near].max(initial=0))


def _segments(photo: Rgb, things: Mask, lowest: int, options: EdgeLeanOptions) -> list[tuple[float, float]]:
    """How many degrees long segments of straight lines beside the things rise or fall to the right (OpenCV's turn that
    levels them), and the row [px] where they cross the middle column; the longest first (LSD, Grompone von Gioi et al.
    2010)."""
    import cv2

    grey = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (0, 0), options.edge.blur_px)
    lines = cv2.createLineSegmentDetector().detect(grey)[0]
    if lines is None:
        return []
    ends: F64 = lines.reshape(-1, 4).astype(np.float64)
    ends = np.where((ends[:, 0] > ends[:, 2])[:, None], ends[:, [2, 3, 0, 1]], ends)
    across, down = ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1]
    lean = np.degrees(np.arctan2(down, across))
    middle = ((ends[:, :2] + ends[:, 2:]) / 2).astype(int)
    inside = things[middle[:, 1].clip(0, things.shape[0] - 1), middle[:, 0].clip(0, things.shape[1] - 1)]
    use = (np.hypot(across, down) > options.least_length_ratio * photo.shape[1]) & ~inside
    use &= (np.abs(lean) > options.least_lean_deg) & (np.abs(lean) < options.most_lean_deg)
    rows = ends[:, 1] + down / np.maximum(across, 1e-6) * (photo.shape[1] / 2 - ends[:, 0])
    chosen = np.flatnonzero(use & (rows >= 0) & (rows < lowest))
    chosen = chosen[np.argsort(-np.hypot(across, down)[chosen], kind="stable")][: options.segments]
    return [(float(lean[k]), float(rows[k])) for k in chosen]
