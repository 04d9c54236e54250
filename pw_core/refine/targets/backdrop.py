"""What a still camera sees where nothing stands: a picture that is learnt as it comes into view, and how sure it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32

GAIN = (0.35, 2.4)
"""A shadow that comes or goes multiplies the background by this much, at the least and at the most."""
GAIN_SPREAD = 0.3
"""Standard deviation of that gain's logarithm where a shadow may fall."""
WINDOW = 11
"""Shadows are smooth: one gain in a window of so many pixels."""


def noise_level(picture: F32) -> float:
    """Standard deviation of a picture's noise (H, W, 3), from what a Laplacian sees (Immerkaer 1996), robustly."""
    import cv2

    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    return float(np.median(np.abs(cv2.filter2D(picture, -1, mask))) / 0.6745)


class Backdrop:
    """The background's picture (H, W, 3) as it is learnt; `sigma` (H, W): how far off it may be, 0 to 255; `known`
    (H, W): whether there is one at all."""

    def __init__(self, first: F32, free: NDArray[np.bool_], render: F32 | None, *, noise: float) -> None:
        """`first`: the first frame (H, W, 3); `free`: where nothing stands in it; `render`: the background drawn by
        the scene, for the rest, brought to the frame's colours where both are known."""
        import cv2

        self.noise = noise
        self.picture = first.copy()
        self.known = free.copy()
        self.sigma = np.full(free.shape, noise, np.float32)
        self.weight = free.astype(np.float32)
        if render is not None:
            fitted = _matched(render, first, free)
            off = np.abs(fitted - first).max(-1)
            # As wrong inside as it is nearby.
            near = cv2.boxFilter(np.where(free, off, 0), -1, (61, 61), normalize=False)
            count = cv2.boxFilter(free.astype(np.float32), -1, (61, 61), normalize=False)
            wrong = np.where(count > 50, near / np.maximum(count, 1), off[free].mean() if free.any() else 30.0)
            self.picture[~free] = fitted[~free]
            self.sigma[~free] = np.maximum(1.5 * wrong, noise)[~free]
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
        w = (free * self.known + 1e-3) * (b + 8)
        size = (WINDOW, WINDOW)
        ratio = cv2.boxFilter(w * f * b, -1, size) / np.maximum(cv2.boxFilter(w * b * b, -1, size), 1e-3)
        return np.asarray(np.clip(ratio, *GAIN), dtype=np.float32)

    def log_density(self, frame: F32, free: F32) -> F32:
        """How likely the frame's colours are if the background is seen, with or without a shadow: log of a density in
        colour space, per level cubed, (H, W). Where there is no picture yet: NaN."""
        best = np.full(frame.shape[:2], -np.inf, np.float32)
        smooth = self.gain(frame, free)
        # What a window cannot say (its middle half covered), the pixel itself may.
        own = np.clip((frame.mean(-1) + 4) / (self.picture.mean(-1) + 4), *GAIN)
        sigma = np.sqrt(self.sigma**2 + self.noise**2 + (0.35 * self.slope) ** 2 + (0.015 * self.picture.mean(-1)) ** 2)
        for gain, doubt in ((np.ones_like(smooth), 0.0), (smooth, 1.0), (own, 3.0)):
            square = ((frame - gain[..., None] * self.picture) ** 2).sum(-1) / sigma**2
            # A few pixels are further off than Gaussian noise: 2 % have three times its spread.
            near = -0.5 * square
            far = -0.5 * square / 9 - math.log(50 * 27)
            shade = -0.5 * (np.log(gain) / GAIN_SPREAD) ** 2
            best = np.maximum(best, np.logaddexp(near, far) + shade - doubt)
        best -= 1.5 * math.log(2 * math.pi) + 3 * np.log(sigma)
        return np.where(self.known, best, np.nan).astype(np.float32)

    def learn(self, frame: F32, free: NDArray[np.bool_]) -> None:
        """Take in what is seen where surely nothing stands, (H, W); shadows do not count."""
        gain = self.gain(frame, free.astype(np.float32))
        lit = free & ((gain > 0.97) | ~self.known)
        self.weight[lit & (gain > 1.04)] = 0  # it was learnt in a shadow that has gone
        self.weight[lit] = np.minimum(self.weight[lit] + 1, 16)
        share = np.where(lit, 1 / np.maximum(self.weight, 1), 0).astype(np.float32)[..., None]
        self.picture += share * (frame - self.picture)
        self.sigma[lit] = self.noise / np.sqrt(self.weight[lit])
        self.known |= lit
        self._slopes()


def _matched(render: F32, first: F32, free: NDArray[np.bool_]) -> F32:
    """The render with the frame's colours: gain and offset of each channel where both show the background."""
    out = np.empty_like(render)
    for c in range(3):
        x, y = render[..., c][free], first[..., c][free]
        slope, offset = 1.0, 0.0
        if len(x) > 100:
            keep = np.ones(len(x), np.bool_)
            for _ in range(3):
                flat = x[keep].std() < 3
                slope, offset = (1.0, np.median((y - x)[keep])) if flat else np.polyfit(x[keep], y[keep], 1)
                rest = np.abs(y - slope * x - offset)
                keep = rest <= 2.5 * max(float(np.median(rest)), 1.0)
        out[..., c] = slope * render[..., c] + offset
    return out
