"""What every reader of a layout gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F64
from pw_core.media import depth, films, pictures
from pw_core.media.lens import Distortion
from pw_core.media.listing import LEFT_BY_OTHERS, FileUse, everything, is_litter

Matrix = NDArray[np.float64]
TEXTS = (".json", ".csv", ".txt", ".yaml", ".yml", ".ply", ".bin", ".db", ".md", ".xml", ".log")
"""Endings of what lies beside pictures and holds none."""


@dataclass(frozen=True, eq=False)
class Read:
    """rgb, uint8 (H, W, 3); depth [m] (H, W), 0 where unknown; K (3, 3) [px]; valid (H, W): False where nothing was
    seen; focal_px from EXIF; notes: what was done that the pixels do not tell."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    K: Matrix | None
    valid: NDArray[np.bool_] | None
    focal_px: float
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """A picture and what belongs to it: the camera's K (3, 3) [px] for a picture of `size` (width, height; None: of
    the picture's own), viewmat (4, 4) world to camera with optical axes, the lens; a depth file and the unit [m] of its
    numbers (0: as `metres` takes them), a mask file (0: not to be used). A depth picture of another size: that of a
    camera depth_K at the same place, or one of the whole picture (depth_covers). load: reads it in place of all that,
    where it lies among others in one file."""

    picture: Path
    name: str
    K: Matrix | None = None
    viewmat: Matrix | None = None
    size: tuple[int, int] | None = None
    distortion: Distortion | None = None
    depth: Path | None = None
    depth_scale: float = 0.0
    mask: Path | None = None
    depth_K: Matrix | None = None
    depth_covers: bool = False
    load: Callable[[], Read] | None = None


@dataclass(frozen=True, eq=False)
class Listing:
    """What a folder holds. layout: whose it is, in words; ordered: the pictures follow each other as a film's do;
    beside: files that told something, and what; reasons: of files that are left out though they look like part of it;
    metric: poses are in metres; notes: what else there is to say; up (3,): against gravity, in the first picture's axes
    (right, down, ahead), where an IMU tells."""

    layout: str
    sources: tuple[Source, ...]
    ordered: bool = False
    beside: dict[Path, str] = field(default_factory=dict)
    reasons: dict[Path, str] = field(default_factory=dict)
    metric: bool = True
    notes: tuple[str, ...] = ()
    up: F64 | None = None

    def files(self, folder: Path) -> tuple[FileUse, ...]:
        """Each file of the folder: used for what, or left out for which reason."""
        used = dict(self.beside)
        for s in self.sources:
            used.setdefault(s.picture, "picture")
            for path, what in ((s.depth, "depth of"), (s.mask, "mask of")):
                if path is not None:
                    used[path] = f"{what} {s.name}"
        if folder.is_file():
            return (FileUse(folder.name, used[folder]),)
        out = []
        for path in everything(folder):
            name = path.relative_to(folder).as_posix()
            if path in used:
                out.append(FileUse(name, used[path]))
            else:
                out.append(FileUse(name, reason=self.reasons.get(path) or _reason(path, folder, self.layout)))
        return tuple(out)


def _reason(path: Path, folder: Path, layout: str) -> str:
    parts = path.relative_to(folder).parts
    if any(is_litter(Path(p)) for p in parts):
        return LEFT_BY_OTHERS
    ending = path.suffix.lower()
    if ending in pictures.RAW_ENDINGS:
        return "a raw file: develop it to JPEG or PNG"
    if ending in films.ENDINGS:
        return "a film among pictures: give it alone"
    if ending in pictures.ENDINGS or ending in depth.ENDINGS:
        return f"belongs to no picture of {layout}" if parts[0] == "depth" else f"not one of the pictures of {layout}"
    return "nothing here reads it" if ending not in TEXTS else f"not part of {layout}"


def unique_names(paths: Sequence[Path], folder: Path) -> list[str]:
    """A name for each picture: its file's, or with its folders where two would be the same."""
    names = [p.name for p in paths]
    return [n if names.count(n) == 1 else "_".join(p.relative_to(folder).parts) for n, p in zip(names, paths)]


def matched_case(folder: Path, name: str, known: Iterable[Path]) -> Path | None:
    """The file that a text calls `name`: below the folder as it says, or the one of `known` with the same file name,
    whose case and ending need not agree where only one does."""
    path = Path(name)
    if not path.is_absolute() and ".." not in path.parts and (folder / path).is_file():
        return folder / path
    files = list(known)
    for same in (
        lambda p: p.name == path.name, lambda p: p.name.lower() == path.name.lower(),
        lambda p: p.stem.lower() == path.stem.lower() or p.stem.lower() == path.name.lower(),
    ):  # fmt: skip
        alike = [p for p in files if same(p)]
        if len(alike) == 1:
            return alike[0]
        if alike:
            return None
    return None
