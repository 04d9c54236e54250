"""What the CPU rasteriser compiles: harmonics, projection, depth order and tile lists, blending, with their gradients.
`pw_core.render.image` calls them."""

from __future__ import annotations

from pathlib import Path

import pw_core.kernels
from pw_core.kernels.cache import drop_stale

drop_stale(Path(__file__).parent, uses=(Path(pw_core.kernels.__file__).parent,))
