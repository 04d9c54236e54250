"""Which tool left a folder, and what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pw_core.reconstruct.layouts import bags, colmap, own, sequences, telephones, transforms
from pw_core.reconstruct.layouts.types import Listing

_KINDS: tuple[tuple[Callable[[Path], bool], Callable[..., Listing]], ...] = (
    (lambda folder: (folder / own.CAMERAS).is_file(), own.read_own),
    (transforms.is_transforms, transforms.read_transforms),
    (telephones.is_record3d, telephones.read_record3d),
    (telephones.is_polycam, telephones.read_polycam),
    (sequences.is_scannet, sequences.read_scannet),
    (sequences.is_replica, sequences.read_replica),
    (sequences.is_tum, sequences.read_tum),
    (colmap.is_colmap, colmap.read_colmap),
    (lambda folder: True, own.read_own),
)


def read_folder(folder: Path, *, max_frames: int, depth_scale: float = 0.0) -> Listing:
    """What is in a folder or a recording, by the first layout whose marks it has. Of a sequence, `max_frames` evenly
    spaced ones.

    Args:
        depth_scale: [m] of a unit of the depth pictures; 0: as the layout has it.

    Raises:
        MediaError, CameraFileError: what of it cannot be used, and why.
    """
    if bags.is_bag(folder):
        return bags.read_bag(folder, max_frames=max_frames, depth_scale=depth_scale)
    read = next(read for is_one, read in _KINDS if is_one(folder))
    listing = read(folder, depth_scale=depth_scale)
    count = len(listing.sources)
    if not listing.ordered or count <= max_frames:
        return listing
    taken = set(np.round(np.linspace(0, count - 1, max_frames)).astype(int).tolist())
    reason = f"{max_frames} of {count} frames are taken (reconstruct.views.max_frames)"
    more: dict[Path, str] = {}
    for i, source in enumerate(listing.sources):
        if i not in taken:
            more |= {p: reason for p in (source.picture, source.depth) if p is not None}
    kept = tuple(s for i, s in enumerate(listing.sources) if i in taken)
    return replace(listing, sources=kept, reasons=listing.reasons | more)
