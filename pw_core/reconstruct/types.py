"""What the stages of a reconstruction hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64, I64, Camera

Rgb = NDArray[np.uint8]
"""A picture, (H, W, 3)."""
Mask = NDArray[np.bool_]
"""Which pixels are a thing's, (H, W)."""
Masks = dict[str, dict[str, Mask]]
"""Masks by entity and view."""


@dataclass(frozen=True)
class View:
    """A registered image: without distortion, at the working size, its camera, depth [m] (H, W) where given, and valid
    (H, W), False where nothing was seen (None: all was)."""

    name: str
    image: Rgb
    camera: Camera
    depth: F32 | None = None
    valid: Mask | None = None

    @property
    def unseen(self) -> Mask:
        """(H, W): what the picture says nothing of."""
        return np.zeros(self.image.shape[:2], np.bool_) if self.valid is None else ~self.valid


@dataclass(frozen=True)
class Posed:
    """Views, sparse points (n, 3) in their frame, colours (n, 3) 0 to 1, which of them each view saw, a report."""

    views: tuple[View, ...]
    points: F64
    colors: F64
    seen: dict[str, I64]
    report: dict[str, Any] = field(default_factory=dict)
