"""What was given: pictures with or without depth, intrinsics and poses; and which way of reconstruction that allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.documents import parse_json, read_text
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F32, F64, Camera
from pw_core.limits import LIMITS, Limits
from pw_core.reconstruct.image import check_photo, load_photo
from pw_core.reconstruct.types import Mask, Rgb

Route = Literal["photo", "rgbd", "photos", "rgbd pictures", "posed", "posed rgbd"]
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
FILMS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}


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


@dataclass(frozen=True)
class ViewInput:
    """One picture, uint8 (H, W, 3); depth [m] (H, W), 0 where unknown; K [px] (3, 3), pixel centres at +0.5; viewmat:
    world to camera (4, 4), optical axes; focal_px from EXIF."""

    name: str
    image: Rgb
    depth: F32 | None = None
    K: F64 | None = None
    viewmat: F64 | None = None
    focal_px: float = 0.0

    @property
    def camera(self) -> Camera | None:
        """The camera, where intrinsics and pose were given."""
        if self.K is None or self.viewmat is None:
            return None
        return Camera(self.name, self.K, self.viewmat, self.image.shape[1], self.image.shape[0])


@dataclass(frozen=True)
class Inputs:
    """All pictures, and masks by entity and view where they were given instead of prompts."""

    views: tuple[ViewInput, ...]
    masks: Mapping[str, Mapping[str, Mask]] = field(default_factory=dict)
    ordered: bool = False

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
        path = Path(config.photo)
        image = load_photo(path)
        return cls((ViewInput(path.name, image, focal_px=_focal(path, image.shape[1], image.shape[0])),))

    @classmethod
    def load(cls, path: Path | str | Sequence[Path | str], *, max_frames: int = 40) -> Inputs:
        """From a picture, a film, a list of pictures, or a folder.

        A folder holds pictures; with `cameras.json` ([{"name", "K" (3, 3), "viewmat" (4, 4)}]) they are posed (without
        "viewmat" their intrinsics are known, no more), and `depth/<stem>.png` (uint16 mm) or `.npy` (float32 m) is
        their depth.

        Raises:
            ReconstructError (INVALID_IMAGE, INVALID_CAMERA): names the file and what is wrong with it.
        """
        if not isinstance(path, (str, Path)):
            return cls(_pictures((Path(p), None) for p in path))
        path = Path(path)
        if path.is_file() and path.suffix.lower() in FILMS:
            return cls(_film(path, max_frames), ordered=True)
        if not path.is_dir():
            return cls((_picture(path),))
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        if not files:
            raise ReconstructError(f"folder {path} holds no picture ({', '.join(sorted(PICTURES))})",
                                   code=ErrorCode.INVALID_IMAGE)  # fmt: skip
        cameras = _cameras(path / "cameras.json")
        if cameras:
            files = [f for f in files if f.name in cameras or f.stem in cameras]
        return cls(_pictures((f, cameras.get(f.name) or cameras.get(f.stem)) for f in files))


def metres(depth: NDArray[np.generic], *, what: str = "depth") -> F32:
    """16UC1 millimetres or 32FC1 metres to float32 metres (H, W), 0 where unknown.

    Raises:
        ReconstructError (INVALID_IMAGE): another type or shape, or no value in it.
    """
    d = np.asarray(depth)
    if d.ndim != 2 or d.dtype not in (np.uint16, np.float32, np.float64):
        raise ReconstructError(f"{what}: expected (H, W), uint16 [mm] or float32 [m], got {d.shape} {d.dtype}",
                               code=ErrorCode.INVALID_IMAGE)  # fmt: skip
    out = d.astype(np.float32) * np.float32(1e-3 if d.dtype == np.uint16 else 1)
    out = np.where(np.isfinite(out) & (out > 0), out, 0).astype(np.float32)
    if not out.any():
        raise ReconstructError(f"{what}: no pixel has a depth above 0", code=ErrorCode.INVALID_IMAGE)
    return out


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


def _pictures(
    files: Iterable[tuple[Path, Mapping[str, list[list[float]]] | None]], *, limits: Limits = LIMITS
) -> tuple[ViewInput, ...]:
    """One after the other, as long as all of them fit into memory."""
    out: list[ViewInput] = []
    pixels = 0
    for path, camera in files:
        out.append(_picture(path, camera))
        pixels += out[-1].image.shape[0] * out[-1].image.shape[1]
        if pixels > limits.request_pixels:
            raise ReconstructError(
                f"{path.parent}: more than {limits.request_pixels} pixels in all: give fewer or smaller pictures",
                code=ErrorCode.INVALID_IMAGE,
            )
    return tuple(out)


def _picture(path: Path, camera: Mapping[str, list[list[float]]] | None = None) -> ViewInput:
    image = load_photo(path)
    depth = None
    for suffix in (".png", ".npy"):
        file = path.parent / "depth" / f"{path.stem}{suffix}"
        if file.is_file():
            depth = metres(_depth_file(file), what=str(file))
    K = None if camera is None else np.asarray(camera["K"], np.float64)
    pose = None if camera is None or "viewmat" not in camera else np.asarray(camera["viewmat"], np.float64)
    return ViewInput(path.name, image, depth, K, pose, _focal(path, image.shape[1], image.shape[0]))


def _depth_file(file: Path) -> NDArray[np.generic]:
    import cv2

    try:
        found = np.load(file, allow_pickle=False) if file.suffix == ".npy" else cv2.imread(str(file), -1)
    except (OSError, ValueError, cv2.error) as error:
        raise ReconstructError(f"{file}: not a depth file: {error}", code=ErrorCode.INVALID_IMAGE) from None
    if found is None:
        raise ReconstructError(f"{file}: not a picture that OpenCV reads", code=ErrorCode.INVALID_IMAGE)
    return np.asarray(found)


def _focal(path: Path, width: int, height: int) -> float:
    """Focal length [px] from EXIF's 35 mm equivalent, 0 where there is none."""
    from PIL import Image

    with Image.open(path) as opened:
        exif = opened.getexif().get_ifd(0x8769)
    equivalent = float(exif.get(0xA405, 0) or 0)
    return equivalent * float(np.hypot(width, height)) / float(np.hypot(36, 24))


def _cameras(file: Path) -> dict[str, Mapping[str, list[list[float]]]]:
    if not file.is_file():
        return {}
    try:
        return {str(c["name"]): {"K": c["K"], **({"viewmat": c["viewmat"]} if "viewmat" in c else {})}
                for c in parse_json(read_text(file))}  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise ReconstructError(f'{file}: expected [{{"name", "K", "viewmat"}}], viewmat where known: {error}',
                               code=ErrorCode.INVALID_CAMERA) from None  # fmt: skip


def _film(path: Path, count: int) -> tuple[ViewInput, ...]:
    """The sharpest frame of each of `count` equal parts."""
    import cv2

    film = cv2.VideoCapture(str(path))
    total = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
    best: dict[int, tuple[float, int, NDArray[np.uint8]]] = {}
    index = 0
    while True:
        ok, frame = film.read()
        if not ok:
            break
        part = min(index * count // max(total, 1), count - 1)
        sharp = float(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())
        if part not in best or sharp > best[part][0]:
            best[part] = (sharp, index, np.asarray(frame[..., ::-1], np.uint8).copy())
        index += 1
    film.release()
    if index == 0:
        raise ReconstructError(f"film {path} has no frame that OpenCV reads", code=ErrorCode.INVALID_IMAGE)
    return tuple(ViewInput(f"frame_{i:06d}.png", check_photo(f)) for _, (_, i, f) in sorted(best.items()))
