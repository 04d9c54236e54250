"""Connected parts of masks and volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def largest_component(mask: NDArray[np.bool_], *, structure: NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """The largest connected part of a mask, any number of axes; the mask itself where there is none.

    structure: which cells are neighbours, as `scipy.ndimage.label` takes it; None: those that share a side. Of two
    equally large parts, the one met first.
    """
    parts, count = ndimage.label(mask, structure=structure)
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())


def large_components(mask: NDArray[np.bool_], *, share: float) -> NDArray[np.bool_]:
    """The connected parts of a mask that are larger than that share of its largest one; the mask itself where it has
    one part or none."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())[1:]
    return np.asarray(np.isin(parts, 1 + np.flatnonzero(sizes > share * sizes.max())))
