"""Target frames at the working size, with what tracking reads off them: grey pictures, outlines, flow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64, Camera
from pw_core.refine.targets.types import UNCERTAIN

Window = tuple[slice, slice]
"""Rows and columns of a picture."""


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """How target frames are scaled down, and what is read off them. Pixels are of the scaled film."""

    least_label_share: float = 0.75
    """A scaled pixel has a label if at least so much of it had; one that is part this and part that is uncertain."""
    least_valid_share: float = 0.99
    """It was observed if so much of it was."""
    least_height_px: int = 16
    """A film is not scaled below this."""
    least_seen: float = 0.05
    """A frame of which less was observed is left out."""
    flow_pad_px: int = 32
    """Flow is looked for so far round the entities: what moves further between two frames is lost anyhow."""
    flow_window_px: int = 128
    """And in no smaller window: the coarse levels of the search need room."""
    flow_return_px: float = 1.0
    """Flow is trusted where going there and back ends so near to where it began."""
    outline_blur_px: float = 1.0
    """Blur (standard deviation) before an outline is read off: masks are steps, outlines go by parts of a pixel."""
    outline_least_slope: float = 0.05
    """Per pixel, of the blurred cover; where it is less, an outline has no certain place."""
    outline_border_px: int = 2
    """An outline so near to what hides it is not compared."""


@dataclass(frozen=True, eq=False)
class Film:
    """V views of T frames. rgb 0 to 1 (V, T, H, W, 3); valid (V, T, H, W): observed; masks (V, T, H, W): entity id + 1,
    0 for the background, -1 uncertain; weights (V,): how much a view counts."""

    cameras: tuple[Camera, ...]
    rgb: F32
    valid: NDArray[np.bool_]
    masks: NDArray[np.int32]
    weights: tuple[float, ...]
    options: FilmOptions = FilmOptions()
    # Kept with the film: a cache on the class would hold films that are done with.
    _flows: dict[tuple[int, int], F32] = field(default_factory=dict, init=False, repr=False)
    _outlines: dict[tuple[int, int, int], tuple[F64, F64]] = field(default_factory=dict, init=False, repr=False)

    @property
    def frames(self) -> int:
        """T."""
        return self.rgb.shape[1]

    @classmethod
    def scaled(
        cls,
        cameras: tuple[Camera, ...],
        frames: NDArray[np.uint8] | F32,
        valid: NDArray[np.bool_],
        masks: NDArray[np.int32],
        *,
        width: int,
        weights: tuple[float, ...],
        options: FilmOptions = FilmOptions(),
    ) -> Film:
        """From targets of any size (V, T, H, W, 3), uint8 or 0 to 1, scaled to about `width` px and never up."""
        import cv2

        w = min(width, frames.shape[3])
        h = max(options.least_height_px, round(frames.shape[2] * w / frames.shape[3]))
        flat = frames.reshape(-1, *frames.shape[2:])

        def small(picture: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA))

        def scaled_mask(mask: NDArray[np.int32]) -> NDArray[np.int32]:
            out = np.full((h, w), UNCERTAIN, np.int32)
            for label in range(int(mask.max()) + 1):
                if (here := mask == label).any():
                    out[small(here.astype(np.float32)) > options.least_label_share] = label
            return out

        with ThreadPoolExecutor() as pool:  # OpenCV lets go of the interpreter
            rgb = np.stack(list(pool.map(small, flat))).astype(np.float32)
            out = np.stack(list(pool.map(scaled_mask, masks.reshape(-1, *masks.shape[2:]))))
            share = pool.map(lambda v: small(v.astype(np.float32)), valid.reshape(-1, *valid.shape[2:]))
            seen = np.stack([each > options.least_valid_share for each in share])
        if frames.dtype == np.uint8:
            rgb /= 255
        shape = frames.shape[:2]
        return cls(
            tuple(c.resized(w, h) for c in cameras), rgb.reshape(*shape, h, w, 3), seen.reshape(*shape, h, w),
            out.reshape(*shape, h, w), weights, options,
        )  # fmt: skip

    def narrowed(self, width: int) -> Film:
        """The same at no more than `width` px."""
        if self.rgb.shape[3] <= width:
            return self
        return Film.scaled(
            self.cameras, self.rgb, self.valid, self.masks, width=width, weights=self.weights, options=self.options
        )

    def grey(self, view: int, frame: int) -> NDArray[np.uint8]:
        """uint8 (H, W)."""
        return grey(self.rgb[view, frame])

    def seen(self, view: int, frame: int) -> bool:
        """Whether enough of that frame was observed to be worth comparing."""
        return bool(self.valid[view, frame].mean() > self.options.least_seen)

    def flow_from(self, view: int, frame: int) -> F32:
        """The film's own flow [px] from `frame` to the next, (H, W, 2), NaN where it is not trusted, or no entity is
        near."""
        if (view, frame) not in self._flows:
            shown = (self.masks[view, frame] != 0) | (self.masks[view, frame + 1] != 0)
            self._flows[view, frame] = trusted_flow(
                self.grey(view, frame), self.grey(view, frame + 1), window=around(shown, options=self.options),
                options=self.options,
            )  # fmt: skip
        return self._flows[view, frame]

    def outline(self, view: int, frame: int, label: int) -> tuple[F64, F64]:
        """Outline of an entity against the background: points [px] (P, 2) and outward normals (P, 2).

        Left out: where the picture ends, where it is not observed, and where something else may stand in front.
        """
        if (view, frame, label) not in self._outlines:
            self._outlines[view, frame, label] = self._outlined(view, frame, label)
        return self._outlines[view, frame, label]

    def _outlined(self, view: int, frame: int, label: int) -> tuple[F64, F64]:
        known = self.valid[view, frame] & (self.masks[view, frame] != UNCERTAIN)
        other = (self.masks[view, frame] > 0) & (self.masks[view, frame] != label)
        inside = self.masks[view, frame] == label
        unsure = self.valid[view, frame] & (self.masks[view, frame] == UNCERTAIN)
        cover = (inside | (unsure & near(inside, 1))).astype(np.float32)
        return outline(cover, blocked=other | ~(known | unsure), options=self.options)


def grey(rgb: F32) -> NDArray[np.uint8]:
    """Luma of a picture 0 to 1, as uint8."""
    import cv2

    return np.asarray(cv2.cvtColor((np.clip(rgb, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY))


def near(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The mask grown by that many pixels."""
    import cv2

    side = 2 * pixels + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def around(shown: NDArray[np.bool_], *, options: FilmOptions = FilmOptions()) -> Window:
    """Rows and columns that hold all that is shown (H, W), and what flow needs around it, if there is as much."""
    out, least = [], options.flow_window_px
    for axis, size in enumerate(shown.shape):
        at = np.flatnonzero(shown.any(1 - axis))
        if not len(at):
            return slice(0, shown.shape[0]), slice(0, shown.shape[1])
        more = max(options.flow_pad_px, (least - (at[-1] + 1 - at[0]) + 1) // 2)
        out.append(slice(max(int(at[0]) - more, 0), min(int(at[-1]) + 1 + more, size)))
    return out[0], out[1]


def trusted_flow(
    a: NDArray[np.uint8], b: NDArray[np.uint8], *, window: Window | None = None, options: FilmOptions = FilmOptions()
) -> F32:
    """Dense flow [px] from `a` to `b` (H, W, 2), NaN outside of the window and where going there and back does not end
    where it began.

    Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", as OpenCV has it.
    """
    import cv2

    if window is not None:
        out = np.full((*a.shape, 2), np.nan, np.float32)
        part, other = np.ascontiguousarray(a[window]), np.ascontiguousarray(b[window])
        out[window] = trusted_flow(part, other, options=options)
        return out
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there = np.asarray(search.calc(a, b, np.zeros((*a.shape, 2), np.float32)))
    back = np.asarray(search.calc(b, a, np.zeros((*a.shape, 2), np.float32)))
    y, x = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    returned = cv2.remap(back, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR, borderValue=(np.nan, np.nan))
    gap = np.linalg.norm(there + returned, axis=-1)
    there[~(gap < options.flow_return_px)] = np.nan
    return np.asarray(there, np.float32)


def outline(
    cover: F32, *, blocked: NDArray[np.bool_] | None = None, options: FilmOptions = FilmOptions()
) -> tuple[F64, F64]:
    """Points [px] (P, 2) where `cover` (H, W) passes one half, to a part of a pixel, and outward normals (P, 2)."""
    import cv2

    smooth = cv2.GaussianBlur(cover, (0, 0), options.outline_blur_px)
    contours, _ = cv2.findContours((smooth > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.zeros((0, 2)), np.zeros((0, 2))
    p = np.concatenate([c[:, 0] for c in contours])
    h, w = cover.shape
    slope = -np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8], -1)
    n = slope[p[:, 1], p[:, 0]].astype(np.float64)
    steep = np.linalg.norm(n, axis=1)
    keep = (steep > options.outline_least_slope) & (p > 1).all(1) & (p[:, 0] < w - 2) & (p[:, 1] < h - 2)
    if blocked is not None:
        keep &= ~near(blocked, options.outline_border_px)[p[:, 1], p[:, 0]]
    p, n, steep = p[keep], n[keep], steep[keep]
    n /= steep[:, None]
    # Contour pixels lie just inside; walk the rest of the way along the slope.
    rest = np.clip((smooth[p[:, 1], p[:, 0]] - 0.5) / steep, -1, 1)
    return p + 0.5 + n * rest[:, None], n
