"""How far a photo's camera looks down, from the photo alone: what its straight lines and the table's far edge tell.

Every line segment may be upright, level in one of two directions square to each other, level and square to the view,
or nothing of the kind; how well a pitch explains all of them is summed over what is not known (Coughlan and Yuille,
Manhattan World, ICCV 1999), which roll and which direction of the room being two of these. The answer is the mean over
pitches with its spread, so that a photo that tells little says so. Segments are OpenCV's LSD (Grompone von Gioi et al.
2010); vanishing points by kept libraries want three of them and give no spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F64
from pw_core.reconstruct.ground.table_edge import far_edge_row
from pw_core.reconstruct.types import Rgb


@dataclass(frozen=True, kw_only=True)
class PitchOptions:
    """Which lines are looked at, and how much is believed of them."""

    edge_width_px: int = 640
    """Width of the picture in which the table's edge is looked for, as reconstruction does."""
    scales: tuple[float, ...] = (1.0, 0.5, 0.25)
    """Of the photo at `line_width_px`, in which segments are looked for: blurred edges are seen in small ones."""
    line_width_px: int = 1280
    """Width of the photo there."""
    least_length_ratio: float = 0.04
    """Of the photo's width: shorter segments tell nothing."""
    most_segments: int = 300
    """The longest of them: time grows with their number."""
    angle_sd_deg: float = 0.6
    """Of a segment against the line it is of: edges are not quite straight, lenses bend them."""
    end_sd_px: float = 0.7
    """Of its ends, in the picture it was found in."""
    row_sd_deg: float = 2.0
    """Of what is level and square to the view; grain and hems lie like that roughly, and tell no pitch."""
    weight: float = 0.15
    """Of a segment of a tenth of the photo's width as evidence: segments are pieces of the same edges, in several
    scales, and rooms are not quite square. From the spread of answers on photos whose pitch is known."""
    shares: tuple[float, float, float, float] = (0.2, 0.15, 0.2, 0.3)
    """Of segments: upright, level in each of two directions, level and square to the view, others."""
    most_pitch_deg: float = 70.0
    """That are tried; steeper ones show no room."""
    step_deg: float = 1.0
    """Between pitches, from 0.5 on."""
    azimuths: int = 30
    """Of a room's walls within a quarter turn."""
    rolls_deg: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)
    """Scene files have none; photos have a little, and it is not to be taken for convergence."""
    roll_sd_deg: float = 1.0
    """What people hold a camera to."""
    edge_below_deg: tuple[float, float] = (10.0, 4.0)
    """Mean and standard deviation of how far below the horizon a table's far edge is seen: for a camera 0.1 to 0.35 m
    above a table that ends 0.8 to 1.5 m away."""
    pitch_deg: tuple[float, float] = (25.0, 15.0)
    """The same of the pitch itself, where no edge is seen."""


@dataclass(frozen=True)
class PitchEstimate:
    """pitch and its standard deviation [degrees]; row [px] of the photo where the table's far edge is seen, 0: none;
    what was looked at, in words."""

    pitch_deg: float
    sd_deg: float
    edge_row: float
    seen: str


def estimate_pitch(
    photo: Rgb, boxes: Sequence[tuple[float, float, float, float]], *, focal_px: float,
    options: PitchOptions = PitchOptions(),
) -> PitchEstimate:  # fmt: skip
    """From a photo (H, W, 3) with a known lens and the boxes [px] of things, whose own lines do not count; the first
    stands on the table."""
    edge = _edge_row(photo, boxes, options)
    found = _segments(photo, boxes, options)
    pitches = np.arange(0.5, options.most_pitch_deg, options.step_deg)
    told = _evidence(found, photo.shape, focal_px, pitches, options)
    if edge:
        below = pitches + math.degrees(math.atan((edge - photo.shape[0] / 2) / focal_px))
        mean, sd = options.edge_below_deg
        told = told - 0.5 * ((below - mean) / sd) ** 2
    else:
        mean, sd = options.pitch_deg
        told = told - 0.5 * ((pitches - mean) / sd) ** 2
    share = np.exp(told - told.max())
    share /= share.sum()
    pitch = float(share @ pitches)
    spread = math.sqrt(float(share @ (pitches - pitch) ** 2) + options.step_deg**2 / 12)
    seen = f"{len(found)} straight lines" + (f" and the table's edge at row {edge:.0f}" if edge else "")
    return PitchEstimate(pitch, spread, edge, seen)


def _edge_row(photo: Rgb, boxes: Sequence[tuple[float, float, float, float]], options: PitchOptions) -> float:
    """Row [px] of the table's far edge; 0: none stands out."""
    import cv2

    scale = min(1.0, options.edge_width_px / photo.shape[1])
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    things = np.zeros(small.shape[:2], bool)
    for box in boxes[:1]:
        left, top, right, bottom = (max(0, int(v * scale)) for v in box)
        things[top:bottom, left:right] = True
    lowest = int(boxes[0][3] * scale) if boxes else len(small)
    row = far_edge_row(small.astype(np.uint8), things, lowest=lowest)
    return 0.0 if row is None else row / scale


def _segments(photo: Rgb, boxes: Sequence[tuple[float, float, float, float]], options: PitchOptions) -> F64:
    """(n, 5): x, y of the two ends, and standard deviation of these [px of the photo]; the longest first."""
    import cv2

    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    width = grey.shape[1]
    found = [np.zeros((0, 5))]
    for scale in (s * min(1.0, options.line_width_px / width) for s in options.scales):
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        lines = cv2.createLineSegmentDetector().detect(small)[0]
        if lines is not None:
            ends = lines.reshape(-1, 4).astype(np.float64) / scale
            found.append(np.column_stack([ends, np.full(len(ends), options.end_sd_px / scale)]))
    all_of = np.concatenate(found)
    length = np.hypot(all_of[:, 2] - all_of[:, 0], all_of[:, 3] - all_of[:, 1])
    middle = (all_of[:, :2] + all_of[:, 2:4]) / 2
    keep = length > options.least_length_ratio * width
    for left, top, right, bottom in boxes:
        keep &= ~((middle > (left, top)) & (middle < (right, bottom))).all(axis=1)
    order = np.argsort(-length[keep])[: options.most_segments]
    return np.asarray(all_of[keep][order])


def _evidence(found: F64, shape: tuple[int, ...], focal: float, pitches: F64, options: PitchOptions) -> F64:
    """(k,): log likelihood of the segments for each pitch [degrees], summed over roll and direction."""
    height, width = shape[:2]
    along = found[:, 2:4] - found[:, :2]
    length = np.hypot(along[:, 0], along[:, 1])
    angle = np.arctan2(along[:, 1], along[:, 0])
    sd = np.hypot(math.radians(options.angle_sd_deg), found[:, 4] / length)
    at = ((found[:, :2] + found[:, 2:4]) / 2 - (width / 2, height / 2)) / focal
    weight = options.weight * np.minimum(length / (0.1 * width), 2.0)
    upright, level, square, other = options.shares

    def density(direction: F64) -> F64:
        """Of each segment's angle, for vanishing points (..., 3) in the camera's axes."""
        off = np.arctan2(direction[..., 1, None] - direction[..., 2, None] * at[:, 1],
                         direction[..., 0, None] - direction[..., 2, None] * at[:, 0]) - angle  # fmt: skip
        return _normal(off, sd)

    turns = np.radians(np.arange(options.azimuths) * 90 / options.azimuths)[:, None]
    out = np.full((len(options.rolls_deg), len(pitches)), -np.inf)
    for j, roll in enumerate(np.radians(options.rolls_deg)):
        right = np.array([math.cos(roll), math.sin(roll), 0.0])
        rows = square * _normal(roll - angle, np.hypot(sd, math.radians(options.row_sd_deg)))
        for i, pitch in enumerate(np.radians(pitches)):
            c, s = math.cos(pitch), math.sin(pitch)
            down = np.array([-c * math.sin(roll), c * math.cos(roll), s])
            ahead = np.cross(right, down)
            one, two = np.cos(turns) * ahead + np.sin(turns) * right, np.cos(turns) * right - np.sin(turns) * ahead
            like = upright * density(down) + level * (density(one) + density(two)) + rows + other / np.pi
            each = (weight * np.log(like)).sum(axis=-1)
            out[j, i] = np.logaddexp.reduce(each) - 0.5 * (math.degrees(roll) / options.roll_sd_deg) ** 2
    return np.asarray(np.logaddexp.reduce(out, axis=0))


def _normal(off: F64, sd: F64) -> F64:
    """Of angles [rad] between lines, which repeat after half a turn."""
    wrapped = (off + np.pi / 2) % np.pi - np.pi / 2
    return np.asarray(np.exp(-0.5 * (wrapped / sd) ** 2) / (sd * math.sqrt(2 * np.pi)))
