"""Targets that a camera saw: films with stamps, resampled to the times of the trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F64, Camera
from pw_core.progress import Progress
from pw_core.refine.targets.checks import as_frames, check_not_black, check_shape, check_times
from pw_core.refine.targets.types import UNCERTAIN, Frames, Masks, TargetFrames, TargetRequest


@dataclass(frozen=True, eq=False)
class CameraFilm:
    """What one camera saw, checked when it is made.

    camera: the name of a camera of the scene, or a camera with pose. stamps [s] (N,), rising, on the clock of
    `Observed.time_origin`. frames (N, H, W, 3), uint8 or floats 0 to 1. valid (N, H, W): False where nothing was
    observed (an arm in the way, a dead pixel); None: all was. masks (N, H, W): entity id + 1, 0 background, -1 not
    certain; None where not known. notes: what reading it has changed or left out.

    Raises:
        RefineError: INVALID_STAMPS; INVALID_TARGET for a wrong size or count, NaN, or a black frame.
    """

    camera: Camera | str
    stamps: F64
    frames: Frames
    valid: NDArray[np.bool_] | None = None
    masks: Masks | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"film of camera '{self.name}'"
        object.__setattr__(self, "stamps", check_times(self.stamps, what=what))
        object.__setattr__(self, "frames", as_frames(self.frames, what=what))
        if len(self.stamps) != len(self.frames):
            raise RefineError(
                f"{what}: found {len(self.frames)} frames and {len(self.stamps)} stamps, expected one for each",
                code=ErrorCode.INVALID_TARGET,
            )
        shape = self.frames.shape[:3]
        if isinstance(self.camera, Camera) and (self.camera.height, self.camera.width) != shape[1:]:
            raise RefineError(
                f"{what}: found pictures of {shape[2]} x {shape[1]} px, expected the camera's {self.camera.width} x "
                f"{self.camera.height} px",
                code=ErrorCode.INVALID_TARGET,
            )
        if self.valid is not None:
            check_shape(f"{what}: valid", self.valid, shape, np.bool_)
        if self.masks is not None:
            check_shape(f"{what}: masks", self.masks, shape, np.int32)
        for k, picture in enumerate(self.frames):
            seen = np.ones(shape[1:], np.bool_) if self.valid is None else self.valid[k]
            check_not_black(picture, seen, what=f"{what}: frame {k}")

    @property
    def name(self) -> str:
        """The camera's."""
        return self.camera if isinstance(self.camera, str) else self.camera.name


@dataclass(frozen=True, kw_only=True)
class ObservedOptions:
    """When a film counts as one of the request's camera and times."""

    least_interval_s: float = 0.02
    """Frames count for times within half of an interval, and no interval is shorter than this."""
    same_lens_px: float = 1.0
    """By which intrinsics may differ."""
    same_pose: float = 1e-3
    """By which entries of the pose may differ (m, or a rotation's)."""
    same_aspect: float = 0.01
    """By which width over height may differ, a share of it."""
    least_label_share: float = 0.75
    """A scaled pixel has a label if at least so much of it had."""
    least_valid_share: float = 0.99
    """It was observed if so much of it was."""


class Observed:
    """The provider `observed`.

    Args:
        films: one for each camera, in any order.
        time_origin: stamp [s] of the trajectory's t = 0 on the films' clock.
        tolerance: a frame counts for a time of the trajectory if its stamp is at most so far away [s]; None: half of
            the trajectory's or the film's usual interval, whichever is longer.
        blend: mix the frames before and after, by time. Off: the nearest. A mix shows moving things twice.

    Raises:
        RefineError: INVALID_TARGET for no films, or two of one camera; INVALID_STAMPS for a bad origin or tolerance.
    """

    name = "observed"
    progressive = False
    """All views were seen: there is nothing to imagine from a first correction."""
    uses_flow = False

    def __init__(
        self,
        *,
        films: Sequence[CameraFilm],
        time_origin: float = 0.0,
        tolerance: float | None = None,
        blend: bool = False,
        options: ObservedOptions = ObservedOptions(),
    ) -> None:
        if not films:
            raise RefineError("provider 'observed': found no film, expected one or more", code=ErrorCode.INVALID_TARGET)
        names = [f.name for f in films]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise RefineError(
                f"provider 'observed': more than one film of camera '{twice[0]}', expected one for each camera",
                code=ErrorCode.INVALID_TARGET,
            )
        if not np.isfinite(time_origin):
            raise RefineError(f"time_origin: found {time_origin}, expected seconds", code=ErrorCode.INVALID_STAMPS)
        if tolerance is not None and not (np.isfinite(tolerance) and tolerance >= 0):
            raise RefineError(
                f"tolerance: found {tolerance}, expected seconds, 0 or more", code=ErrorCode.INVALID_STAMPS
            )
        self.films = {f.name: f for f in films}
        self.time_origin = time_origin
        self.tolerance = tolerance
        self.blend = blend
        self.options = options

    def cameras(self, known: Sequence[Camera]) -> tuple[Camera, ...]:
        """The films' cameras, with the films' sizes; those given by name are looked up among the scene's `known`.

        Raises:
            RefineError: TARGET_CAMERA_UNKNOWN.
        """
        by_name = {c.name: c for c in known}
        out = []
        for film in self.films.values():
            camera = film.camera
            if isinstance(camera, str):
                if camera not in by_name:
                    raise RefineError(
                        f"film of camera '{camera}': the scene does not know that camera; it has: "
                        f"{', '.join(by_name) or 'none'}",
                        code=ErrorCode.TARGET_CAMERA_UNKNOWN,
                    )
                camera = _fitted(by_name[camera], film, self.options)
            out.append(camera)
        return tuple(out)

    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        """What the request's cameras saw at its times, at its size. Its prediction is not looked at.

        Raises:
            RefineError: TARGET_CAMERA_UNKNOWN for a view without film, or whose film has another pose or lens;
                INVALID_STAMPS where a film has no frame near any of the times.
        """
        v, t, h, w = request.shape
        frames = np.zeros((v, t, h, w, 3), np.uint8)
        valid = np.zeros((v, t, h, w), np.bool_)
        with_masks = all(self.films[c.name].masks is not None for c in request.cameras if c.name in self.films)
        masks = np.full((v, t, h, w), UNCERTAIN, np.int32) if with_masks else None
        for i, camera in enumerate(request.cameras):
            if progress is not None:
                progress(f"observed frames of camera '{camera.name}'", i / v)
            film = self._film_of(camera, view=i)
            seen = self._resample(film, request.times, size=(h, w))
            frames[i], valid[i] = seen.frames[0], seen.valid[0]
            if masks is not None and seen.masks is not None:
                masks[i] = seen.masks[0]
        return TargetFrames(frames, valid, masks)

    def _film_of(self, camera: Camera, *, view: int) -> CameraFilm:
        film = self.films.get(camera.name)
        if film is None:
            raise RefineError(
                f"view {view}: there is no film of camera '{camera.name}'; there are films of: {', '.join(self.films)}",
                code=ErrorCode.TARGET_CAMERA_UNKNOWN,
            )
        own = film.camera if isinstance(film.camera, Camera) else _fitted(camera, film, self.options)
        scaled = own.resized(camera.width, camera.height)
        lens = float(np.abs(scaled.K - camera.K).max())
        away = float(np.abs(own.viewmat - camera.viewmat).max())
        if lens > self.options.same_lens_px or away > self.options.same_pose:
            raise RefineError(
                f"view {view}: the film of camera '{camera.name}' was taken with another camera: intrinsics differ by "
                f"{lens:.3g} px, the pose by {away:.3g}; expected the same",
                code=ErrorCode.TARGET_CAMERA_UNKNOWN,
            )
        return film

    def _resample(self, film: CameraFilm, times: F64, *, size: tuple[int, int]) -> TargetFrames:
        stamps = film.stamps - self.time_origin
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = 0.5 * max(_interval(stamps), _interval(times), self.options.least_interval_s)
        near = nearest(stamps, times)
        found = np.abs(stamps[near] - times) <= tolerance + 1e-9
        if not found.any():
            raise RefineError(
                f"film of camera '{film.name}': no frame within {tolerance:.3g} s of any of the trajectory's times "
                f"({times[0]:.3f} to {times[-1]:.3f} s); its stamps are {stamps[0]:.3f} to {stamps[-1]:.3f} s after "
                f"time_origin = {self.time_origin:.3f} s",
                code=ErrorCode.INVALID_STAMPS,
            )
        h, w = size
        frames = np.zeros((1, len(times), h, w, 3), np.uint8)
        valid = np.zeros((1, len(times), h, w), np.bool_)
        masks = None if film.masks is None else np.full((1, len(times), h, w), UNCERTAIN, np.int32)
        for k in np.flatnonzero(found):
            i = int(near[k])
            frames[0, k], valid[0, k], mask = _sized(film, i, size, self.options)
            if masks is not None and mask is not None:
                masks[0, k] = mask
            j = i + (1 if times[k] > stamps[i] else -1)
            if self.blend and 0 <= j < len(stamps) and abs(stamps[j] - times[k]) <= 2 * tolerance:
                other, seen, mask = _sized(film, j, size, self.options)
                share = abs(times[k] - stamps[i]) / abs(stamps[j] - stamps[i])
                mixed = frames[0, k] * (1 - share) + other * share
                frames[0, k] = np.rint(mixed).astype(np.uint8)
                valid[0, k] &= seen
                if masks is not None and mask is not None and share > 0:
                    masks[0, k][masks[0, k] != mask] = UNCERTAIN
        return TargetFrames(frames, valid, masks)


def nearest(stamps: ArrayLike, times: ArrayLike) -> NDArray[np.int64]:
    """For each of `times` [s] the index of the nearest of the rising `stamps` [s]; of two as near, the earlier."""
    s, t = np.asarray(stamps, np.float64), np.asarray(times, np.float64)
    after = np.clip(np.searchsorted(s, t), 1, max(len(s) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(s) - 1)
    return np.asarray(np.where(np.abs(s[after] - t) < np.abs(s[before] - t), after, before), dtype=np.int64)


def _interval(times: F64) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _fitted(camera: Camera, film: CameraFilm, options: ObservedOptions) -> Camera:
    """The scene's camera with as many pixels as the film; RefineError where the film has another shape."""
    height, width = film.frames.shape[1:3]
    if abs(camera.width / camera.height - width / height) > options.same_aspect * width / height:
        raise RefineError(
            f"film of camera '{film.name}': found pictures of {width} x {height} px, expected the shape of "
            f"{camera.width} x {camera.height} px",
            code=ErrorCode.INVALID_TARGET,
        )
    return camera.resized(width, height)


def _sized(
    film: CameraFilm, i: int, size: tuple[int, int], options: ObservedOptions
) -> tuple[Frames, NDArray[np.bool_], Masks | None]:
    """Frame i of a film, scaled to size (H, W): pixels, what of them is wholly observed, masks (-1 where they mix)."""
    import cv2

    h, w = size
    picture = film.frames[i]
    seen = np.ones(picture.shape[:2], np.bool_) if film.valid is None else film.valid[i]
    mask = None if film.masks is None else film.masks[i]
    if picture.shape[:2] == size:
        return picture, seen, mask
    smaller = w < picture.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    share = cv2.resize(seen.astype(np.float32), (w, h), interpolation=way)
    out = None
    if mask is not None:
        out = np.full(size, UNCERTAIN, np.int32)
        for label in np.unique(mask):
            part = cv2.resize((mask == label).astype(np.float32), (w, h), interpolation=way)
            out[part > options.least_label_share] = label
    return np.asarray(cv2.resize(picture, (w, h), interpolation=way), np.uint8), share > options.least_valid_share, out
