"""What was given: pictures with or without depth, intrinsics and poses; and which way of reconstruction that allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, Camera
from pw_core.limits import LIMITS, Limits
from pw_core.media.depth import ENDINGS as DEPTH_FILES
from pw_core.media.depth import metres as depth_in_metres
from pw_core.media.errors import CameraFileError, MediaError
from pw_core.media.films import ENDINGS as FILMS
from pw_core.media.listing import FileUse, left_out
from pw_core.progress import Progress, no_progress
from pw_core.reconstruct.image import check_photo
from pw_core.reconstruct.layouts.bags import ENDINGS as RECORDINGS
from pw_core.reconstruct.layouts.read import read_folder
from pw_core.reconstruct.layouts.source import read_source, sharpest_frames
from pw_core.reconstruct.layouts.types import Source
from pw_core.reconstruct.types import Mask, Rgb

Route = Literal["photo", "rgbd", "photos", "rgbd pictures", "posed", "posed rgbd"]
@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """What can be used, and what must be a mistake."""

    least_difference: float = 1.0
    """Mean difference [levels] of two thumbnails below which two photos count as the same."""
    least_sharpness_ratio: float = 0.04
    """Of the median photo's sharpness, below which a photo is blurred."""
    plausible_depth_m: tuple[float, float] = (0.02, 100.0)
    """Between which the median of a depth picture must be: else it is in another unit."""
    plausible_focal_widths: tuple[float, float] = (0.2, 30.0)
    """Between which a focal length must be [widths of the picture]: else it is of another picture."""
    mask_share: tuple[float, float] = (1e-4, 0.95)
    """Of the picture, between which a mask must cover: less is nothing, more leaves no background."""
    rotation_tolerance: float = 1e-3
    """How far from the identity R R^T of a pose may be."""
    least_valid_share: float = 0.02
    """Of a picture that must show something: alpha and lenses leave more."""


@dataclass(frozen=True)
class ViewInput:
    """One picture, uint8 (H, W, 3); depth [m] (H, W), 0 where unknown; K [px] (3, 3), pixel centres at +0.5; viewmat:
    world to camera (4, 4), optical axes; focal_px from EXIF; valid (H, W): False where nothing was seen, None: all was.
    """

    name: str
    image: Rgb
    depth: F32 | None = None
    K: F64 | None = None
    viewmat: F64 | None = None
    focal_px: float = 0.0
    valid: Mask | None = None

    @property
    def camera(self) -> Camera | None:
        """The camera, where intrinsics and pose were given."""
        if self.K is None or self.viewmat is None:
            return None
        return Camera(self.name, self.K, self.viewmat, self.image.shape[1], self.image.shape[0])


@dataclass(frozen=True)
class Inputs:
    """All pictures, and masks by entity and view where they were given instead of prompts.

    ordered: they follow each other, as a film's frames do. metric: poses that were given are in metres. files: what
    became of each file that was given; notes: what was done that the pixels do not tell;
    layout: whose folder it was, in words; up (3,): against gravity, in the first picture's axes (right, down, ahead),
    where an IMU tells.
    """

    views: tuple[ViewInput, ...]
    masks: Mapping[str, Mapping[str, Mask]] = field(default_factory=dict)
    ordered: bool = False
    metric: bool = True
    files: tuple[FileUse, ...] = ()
    notes: tuple[str, ...] = ()
    layout: str = ""
    up: F64 | None = None

    @property
    def account(self) -> dict[str, list[str]]:
        """What provenance keeps of it: the files that were left out, with reasons, and the notes; empty where there is
        nothing to say."""
        told = {"left_out": list(left_out(self.files)), "notes": list(self.notes)}
        return {what: lines for what, lines in told.items() if lines}

    @property
    def route(self) -> Route:
        """Which way of reconstruction they allow: `photo` is the lift of a single photo, `rgbd pictures` are several
        without poses, of which some have depth."""
        posed = all(v.camera is not None for v in self.views)
        deep = all(v.depth is not None for v in self.views)
        if len(self.views) == 1:
            return "rgbd" if deep else "photo"
        if not posed:
            return "rgbd pictures" if any(v.depth is not None for v in self.views) else "photos"
        return "posed rgbd" if deep else "posed"

    @classmethod
    def of_photo(cls, config: SceneConfig, photo: NDArray[np.uint8] | None = None) -> Inputs:
        """A single photo: that one, or the configuration's.

        Raises:
            ReconstructError (INVALID_IMAGE): there is none, or it cannot be used.
        """
        if photo is not None:
            return cls((ViewInput("photo.png", check_photo(photo)),))
        if not config.photo:
            raise ReconstructError(f"scene '{config.name}' names no photo", code=ErrorCode.INVALID_IMAGE)
        view, notes = _single(Path(config.photo), depth=False)
        return cls((view,), files=(FileUse(view.name, "picture"),), notes=notes)

    @classmethod
    def load(
        cls, path: Path | str | Sequence[Path | str], *, max_frames: int = 40, depth_scale: float = 0.0,
        progress: Progress = no_progress,
    ) -> Inputs:  # fmt: skip
        """From a picture, a film, a list of pictures, or a folder, of this project or as another tool left it
        (`pw_core.reconstruct.layouts`).

        A folder holds pictures; with `cameras.json` ([{"name", "K" (3, 3), "viewmat" (4, 4)}]) they are posed (without
        "viewmat" their intrinsics are known, no more), and `depth/<stem>.png` (uint16 mm) or `.npy` (float32 m) is
        their depth.

        Args:
            max_frames: taken from a film or a sequence.
            depth_scale: [m] of a unit of depth pictures; 0: millimetres, metres of floats, or what the layout says.
            progress: told before each picture.

        Raises:
            ReconstructError (INVALID_IMAGE, INVALID_CAMERA): names the file and what is wrong with it.
        """
        if not isinstance(path, (str, Path)):
            paths = [Path(p) for p in path]
            read = _views([_beside(p, depth_scale) for p in paths], progress)
            return cls(tuple(v for v, _ in read), files=tuple(FileUse(v.name, "picture") for v, _ in read),
                       notes=_told(read))  # fmt: skip
        path = Path(path)
        with _refusing():
            if path.is_dir() or path.suffix.lower() in RECORDINGS:
                progress(f"looking through {path.name}", 0.0)
                listing = read_folder(path, max_frames=max_frames, depth_scale=depth_scale)
                read = _views(listing.sources, progress)
                return cls(tuple(v for v, _ in read), ordered=listing.ordered, metric=listing.metric,
                           files=listing.files(path), notes=(*listing.notes, *_told(read)),
                           layout=listing.layout, up=listing.up)  # fmt: skip
            if path.suffix.lower() in FILMS:
                frames = sharpest_frames(path, max_frames, progress)
                views = tuple(ViewInput(f"frame_{f.index:06d}.png", check_photo(f.rgb)) for f in frames)
                return cls(views, ordered=True, files=(FileUse(path.name, f"film, {len(views)} frames of it"),))
        view, notes = _single(path, depth_scale=depth_scale)
        return cls((view,), files=(FileUse(view.name, "picture"),), notes=notes)


def metres(depth: NDArray[np.generic], *, what: str = "depth", scale: float = 0.0) -> F32:
    """16UC1 millimetres or 32FC1 metres to float32 metres (H, W), 0 where unknown; see `pw_core.media.depth.metres`.

    Raises:
        ReconstructError (INVALID_IMAGE): another type or shape, or no value in it.
    """
    with _refusing():
        return depth_in_metres(depth, what=what, scale=scale)


def check(
    inputs: Inputs, *, shared_camera: bool = True, options: InputOptions = InputOptions()
) -> None:  # fmt: skip
    """Refuse what cannot be used, saying which picture and why.

    Raises:
        ReconstructError: INVALID_IMAGE (sizes, blur, twins, depth of another size), INVALID_CAMERA, INVALID_PROMPT
            (masks that cover everything or nothing, or of another size).
    """
    views = inputs.views
    if not views:
        raise ReconstructError("no picture was given", code=ErrorCode.INVALID_IMAGE)
    names = [v.name for v in views]
    if len(set(names)) < len(names):
        raise ReconstructError(f"pictures must have different names, got {names}", code=ErrorCode.INVALID_IMAGE)
    for v in views:
        _check_view(v, options)
    unposed = [v.name for v in views if v.viewmat is None]
    if 0 < len(unposed) < len(views):
        raise ReconstructError(
            f"{', '.join(unposed)} without a pose, the others with one: give it, or leave them out",
            code=ErrorCode.INVALID_CAMERA,
        )
    sizes = {v.name: v.image.shape[1::-1] for v in views}
    if shared_camera and len(set(sizes.values())) > 1 and any(v.camera is None for v in views):
        common = max(set(sizes.values()), key=list(sizes.values()).count)
        odd = {n: s for n, s in sizes.items() if s != common}
        raise ReconstructError(
            f"pictures of mixed sizes: most are {common[0]} x {common[1]} px, but {_sizes(odd)}; leave those out, or "
            "set views.shared_camera: false if they are from different cameras", code=ErrorCode.INVALID_IMAGE,
        )  # fmt: skip
    _check_sharp_and_different(views, options)
    for entity, masks in inputs.masks.items():
        for name, mask in masks.items():
            check_mask(mask, sizes.get(name), what=f"mask of '{entity}' in {name}", options=options)


def _check_sharp_and_different(views: Sequence[ViewInput], options: InputOptions) -> None:
    import cv2

    names = [v.name for v in views]
    grey = [cv2.cvtColor(v.image, cv2.COLOR_RGB2GRAY) for v in views]
    small = np.stack([cv2.resize(g, (64, 48), interpolation=cv2.INTER_AREA) for g in grey]).astype(np.float32)
    for i in range(len(views)):
        for j in range(i):
            if views[i].camera is None and np.abs(small[i] - small[j]).mean() < options.least_difference:
                raise ReconstructError(
                    f"{names[j]} and {names[i]} are the same picture: nothing can be triangulated between them",
                    code=ErrorCode.INVALID_IMAGE,
                )
    if len(views) > 2:
        sharp = np.array([cv2.Laplacian(cv2.resize(g, (640, 480), interpolation=cv2.INTER_AREA), cv2.CV_32F).var()
                          for g in grey])  # fmt: skip
        bad = [f"{n} ({s:.0f})" for n, s in zip(names, sharp) if s < options.least_sharpness_ratio * np.median(sharp)]
        if bad:
            raise ReconstructError(
                f"blurred: {', '.join(bad)}; the median sharpness (variance of the Laplacian) is "
                f"{np.median(sharp):.0f}. Leave them out or take them again", code=ErrorCode.INVALID_IMAGE,
            )  # fmt: skip


def check_mask(
    mask: Mask, size: tuple[int, ...] | None, *, what: str, options: InputOptions = InputOptions()
) -> None:  # fmt: skip
    """Raises ReconstructError (INVALID_PROMPT) if it is not of `size` (W, H), or covers everything or nothing."""
    if size is None or mask.shape[::-1] != tuple(size):
        where = "belongs to no picture" if size is None else f"is {mask.shape[1]} x {mask.shape[0]} px, not {size}"
        raise ReconstructError(f"{what} {where}", code=ErrorCode.INVALID_PROMPT)
    share = float(np.asarray(mask).mean())
    if not options.mask_share[0] < share < options.mask_share[1]:
        raise ReconstructError(
            f"{what} covers {100 * share:.3g} % of the picture; it must cover the thing and leave some background",
            code=ErrorCode.INVALID_PROMPT,
        )


def _check_view(v: ViewInput, options: InputOptions) -> None:
    height, width = v.image.shape[:2]
    if v.depth is not None and v.depth.shape != (height, width):
        raise ReconstructError(
            f"{v.name}: depth is {v.depth.shape[1]} x {v.depth.shape[0]} px and the picture {width} x {height}; "
            "register the depth to the picture first", code=ErrorCode.INVALID_IMAGE,
        )  # fmt: skip
    if v.depth is not None and (v.depth > 0).any():
        middle = float(np.median(v.depth[v.depth > 0]))
        if not options.plausible_depth_m[0] < middle < options.plausible_depth_m[1]:
            raise ReconstructError(
                f"{v.name}: its depth is {middle:.4g} m in the median, which is no distance of things on a table or in "
                "a room: uint16 is millimetres, float is metres", code=ErrorCode.INVALID_IMAGE,
            )  # fmt: skip
    if v.valid is not None and v.valid.mean() < options.least_valid_share:
        raise ReconstructError(
            f"{v.name}: {100 * v.valid.mean():.2g} % of it shows something (alpha, mask, lens): at least "
            f"{100 * options.least_valid_share:.0f} % must", code=ErrorCode.INVALID_IMAGE,
        )  # fmt: skip
    if v.K is not None:
        f, c = np.array([v.K[0, 0], v.K[1, 1]]), v.K[:2, 2]
        size = np.array([width, height])
        least, most = options.plausible_focal_widths
        if not (np.isfinite(v.K).all() and (f > least * width).all() and (f < most * width).all()
                and (c > 0).all() and (c < size).all()):  # fmt: skip
            raise ReconstructError(
                f"{v.name}: intrinsics fx {f[0]:.5g}, fy {f[1]:.5g}, cx {c[0]:.5g}, cy {c[1]:.5g} do not fit a picture "
                f"of {width} x {height} px", code=ErrorCode.INVALID_CAMERA,
            )  # fmt: skip
    if v.viewmat is not None:
        turn = v.viewmat[:3, :3]
        orthogonal = np.allclose(turn @ turn.T, np.eye(3), atol=options.rotation_tolerance)
        if v.viewmat.shape != (4, 4) or not orthogonal or np.linalg.det(turn) < 0:
            raise ReconstructError(f"{v.name}: its pose holds no rotation", code=ErrorCode.INVALID_CAMERA)


def _sizes(odd: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{n} is {s[0]} x {s[1]}" for n, s in odd.items())


@contextmanager
def _refusing() -> Iterator[None]:
    """What readers of files say, as this stage's errors."""
    try:
        yield
    except CameraFileError as error:
        raise ReconstructError(str(error), code=ErrorCode.INVALID_CAMERA) from None
    except MediaError as error:
        raise ReconstructError(str(error), code=ErrorCode.INVALID_IMAGE) from None


def _single(path: Path, *, depth: bool = True, depth_scale: float = 0.0) -> tuple[ViewInput, tuple[str, ...]]:
    """A picture file alone, with what `depth` beside it has for it."""
    read = _views([_beside(path, depth_scale) if depth else Source(path, path.name)])
    return read[0][0], _told(read)


def _beside(path: Path, depth_scale: float) -> Source:
    names = (path.parent / "depth" / f"{path.stem}{ending}" for ending in DEPTH_FILES)
    return Source(path, path.name, depth=next((p for p in names if p.is_file()), None), depth_scale=depth_scale)


def _views(
    sources: Sequence[Source], progress: Progress = no_progress, *, limits: Limits = LIMITS
) -> list[tuple[ViewInput, tuple[str, ...]]]:  # fmt: skip
    """Read one after the other, with what was done to each, as long as all of them fit into memory."""
    out: list[tuple[ViewInput, tuple[str, ...]]] = []
    pixels = 0
    for k, source in enumerate(sources):
        progress(f"reading {source.name}", k / len(sources))
        with _refusing():
            read = read_source(source)
        image = check_photo(read.rgb, what=f"photo {source.picture}")
        out.append((ViewInput(source.name, image, read.depth, read.K, source.viewmat, read.focal_px, read.valid),
                    read.notes))  # fmt: skip
        pixels += image.shape[0] * image.shape[1]
        if pixels > limits.request_pixels:
            raise ReconstructError(
                f"{source.picture.parent}: more than {limits.request_pixels} pixels in all: give fewer or smaller "
                "pictures", code=ErrorCode.INVALID_IMAGE,
            )  # fmt: skip
    return out


def _told(read: Sequence[tuple[ViewInput, tuple[str, ...]]]) -> tuple[str, ...]:
    """A line for each note: of which picture, or of how many."""
    names: dict[str, list[str]] = {}
    for view, notes in read:
        for note in notes:
            names.setdefault(note, []).append(view.name)
    return tuple(f"{of[0]}{f' and {len(of) - 1} more' if len(of) > 1 else ''}: {note}" for note, of in names.items())
