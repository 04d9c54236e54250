"""What a still camera sees where nothing stands: a picture that is learnt as it comes into view, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32


@dataclass(frozen=True, kw_only=True)
class BackdropOptions:
    """What a still camera's background may do. Colours are 0 to 255, lengths in pixels."""

    gain_range: tuple[float, float] = (0.35, 2.4)
    """A shadow that comes or goes multiplies the background by this much, at the least and at the most."""
    gain_deviation: float = 0.3
    """Standard deviation of that gain's logarithm where a shadow may fall."""
    shadow_window_px: int = 11
    """Shadows are smooth: one gain in a window of so many pixels."""
    gain_floor: float = 8.0
    """Added to brightness where pixels are weighed for a window's gain: dark ones say little of it."""
    own_gain_floor: float = 4.0
    """The same where a pixel has its own gain."""
    shadow_penalty: float = 1.0
    """Of the logarithmic density, for a background in shadow instead of as it was."""
    own_gain_penalty: float = 3.0
    """The same, for a gain that only the pixel itself knows."""
    outlier_share: float = 0.02
    """Pixels that are further off than Gaussian noise ..."""
    outlier_deviation: float = 3.0
    """... have so many times its spread."""
    slope_px: float = 0.35
    """By how much of a pixel the picture may be shifted: edges are as uncertain as they are steep."""
    relative_noise: float = 0.015
    """Noise that grows with brightness, a share of it."""
    unshadowed_gain: float = 0.97
    """The background is learnt where the gain is above this: no shadow lies there."""
    relit_gain: float = 1.04
    """Where it is above this, what was learnt was in a shadow that has gone, and is forgotten."""
    most_frames: int = 16
    """The picture is a mean over so many frames; older ones fade."""
    render_window_px: int = 61
    """A rendered background is as wrong where it stands in as it is on average within this window beside it."""
    render_fewest_px: int = 50
    """With less free pixels in the window, as in the whole picture."""
    render_unknown_error: float = 30.0
    """Its error where there is no free pixel at all."""
    render_error_factor: float = 1.5
    """And so much more, since it is a guess from beside."""
    match_fewest_px: int = 100
    """With less pixels the render keeps its own colours."""
    match_least_contrast: float = 3.0
    """A background of less contrast is matched by an offset alone: a slope would be noise."""
    match_outlier_ratio: float = 2.5
    """Pixels off by more than so many median errors do not count ..."""
    match_reweightings: int = 3
    """... in the next of so many fits."""


def noise_level(picture: F32) -> float:
    """Standard deviation of a picture's noise (H, W, 3), from what a Laplacian sees (Immerkaer 1996), robustly."""
    import cv2

    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    return float(np.median(np.abs(cv2.filter2D(picture, -1, mask))) / 0.6745)


class Backdrop:
    """The background's picture (H, W, 3) as it is learnt; `sigma` (H, W): how far off it may be, 0 to 255; `known`
    (H, W): whether there is one at all."""

    def __init__(
        self, first: F32, free: NDArray[np.bool_], render: F32 | None, *, noise: float,
        options: BackdropOptions = BackdropOptions(),
    ) -> None:  # fmt: skip
        """`first`: the first frame (H, W, 3); `free`: where nothing stands in it; `render`: the background drawn by
        the scene, for the rest, brought to the frame's colours where both are known."""
        import cv2

        self.noise = noise
        self.options = o = options
        self.picture = first.copy()
        self.known = free.copy()
        self.sigma = np.full(free.shape, noise, np.float32)
        self.weight = free.astype(np.float32)
        if render is not None:
            fitted = _matched(render, first, free, options)
            off = np.abs(fitted - first).max(-1)
            window = (o.render_window_px, o.render_window_px)
            # As wrong inside as it is nearby.
            near = cv2.boxFilter(np.where(free, off, 0), -1, window, normalize=False)
            count = cv2.boxFilter(free.astype(np.float32), -1, window, normalize=False)
            overall = off[free].mean() if free.any() else o.render_unknown_error
            wrong = np.where(count > o.render_fewest_px, near / np.maximum(count, 1), overall)
            self.picture[~free] = fitted[~free]
            self.sigma[~free] = np.maximum(o.render_error_factor * wrong, noise)[~free]
            self.known[:] = True
        self._slopes()

    def _slopes(self) -> None:
        import cv2

        grey = self.picture.mean(-1)
        self.slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 8

    def gain(self, frame: F32, free: F32) -> F32:
        """By how much light on the background changed, (H, W): a shadow is below 1. free (H, W), 0 to 1: how likely
        nothing stands there."""
        import cv2

        b, f = self.picture.mean(-1), frame.mean(-1)
        w = (free * self.known + 1e-3) * (b + self.options.gain_floor)
        size = (self.options.shadow_window_px, self.options.shadow_window_px)
        ratio = cv2.boxFilter(w * f * b, -1, size) / np.maximum(cv2.boxFilter(w * b * b, -1, size), 1e-3)
        return np.asarray(np.clip(ratio, *self.options.gain_range), dtype=np.float32)

    def log_density(self, frame: F32, free: F32) -> F32:
        """How likely the frame's colours are if the background is seen, with or without a shadow: log of a density in
        colour space, per level cubed, (H, W). Where there is no picture yet: NaN."""
        o = self.options
        best = np.full(frame.shape[:2], -np.inf, np.float32)
        smooth = self.gain(frame, free)
        # What a window cannot say (its middle half covered), the pixel itself may.
        own = np.clip(
            (frame.mean(-1) + o.own_gain_floor) / (self.picture.mean(-1) + o.own_gain_floor), *o.gain_range
        )
        edges, bright = (o.slope_px * self.slope) ** 2, (o.relative_noise * self.picture.mean(-1)) ** 2
        sigma = np.sqrt(self.sigma**2 + self.noise**2 + edges + bright)
        ways = ((np.ones_like(smooth), 0.0), (smooth, o.shadow_penalty), (own, o.own_gain_penalty))
        for gain, penalty in ways:
            square = ((frame - gain[..., None] * self.picture) ** 2).sum(-1) / sigma**2
            near = -0.5 * square
            far = -0.5 * square / o.outlier_deviation**2 - math.log(o.outlier_deviation**3 / o.outlier_share)
            likely = -0.5 * (np.log(gain) / o.gain_deviation) ** 2
            best = np.maximum(best, np.logaddexp(near, far) + likely - penalty)
        best -= 1.5 * math.log(2 * math.pi) + 3 * np.log(sigma)
        return np.where(self.known, best, np.nan).astype(np.float32)

    def learn(self, frame: F32, free: NDArray[np.bool_]) -> None:
        """Take in what is seen where surely nothing stands, (H, W); shadows do not count."""
        gain = self.gain(frame, free.astype(np.float32))
        lit = free & ((gain > self.options.unshadowed_gain) | ~self.known)
        self.weight[lit & (gain > self.options.relit_gain)] = 0  # it was learnt in a shadow that has gone
        self.weight[lit] = np.minimum(self.weight[lit] + 1, self.options.most_frames)
        share = np.where(lit, 1 / np.maximum(self.weight, 1), 0).astype(np.float32)[..., None]
        self.picture += share * (frame - self.picture)
        self.sigma[lit] = self.noise / np.sqrt(self.weight[lit])
        self.known |= lit
        self._slopes()


def _matched(render: F32, first: F32, free: NDArray[np.bool_], options: BackdropOptions) -> F32:
    """The render with the frame's colours: gain and offset of each channel where both show the background."""
    out = np.empty_like(render)
    for c in range(3):
        x, y = render[..., c][free], first[..., c][free]
        slope, offset = 1.0, 0.0
        if len(x) > options.match_fewest_px:
            keep = np.ones(len(x), np.bool_)
            for _ in range(options.match_reweightings):
                flat = x[keep].std() < options.match_least_contrast
                slope, offset = (1.0, np.median((y - x)[keep])) if flat else np.polyfit(x[keep], y[keep], 1)
                rest = np.abs(y - slope * x - offset)
                keep = rest <= options.match_outlier_ratio * max(float(np.median(rest)), 1.0)
        out[..., c] = slope * render[..., c] + offset
    return out
