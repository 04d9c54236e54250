"""What a reconstruction says of itself, the same for every route: read from a scene's provenance in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pw_core.scene import Scene

BY_CONFIGURATION = "camera height and pitch of the configuration"
"""Where the lift of a single photo has its metres from."""


@dataclass(frozen=True, kw_only=True)
class OutcomeOptions:
    """What a good scene is."""

    good_psnr_db: float = 30.0
    """From here on a scene looks like its pictures: differences are hard to see side by side."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """psnr_db [dB]: of the bound scene against the pictures, NaN where it was not measured; scale_from: where metres
    come from; left_out: names of pictures that could not be placed, and of files that were not used, with the
    reason; notes: what was done to pictures that their pixels do not tell; doubts: sentences about masks and sizes,
    each with a remedy."""

    psnr_db: float = math.nan
    scale_from: str = BY_CONFIGURATION
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    options: OutcomeOptions = OutcomeOptions()

    @property
    def good(self) -> bool:
        """Whether it looks like its pictures, by the figure as it is printed."""
        return round(self.psnr_db, 1) >= self.options.good_psnr_db

    @classmethod
    def of(cls, scene: Scene) -> Outcome:
        """Of a scene as a route left it, or as it was loaded."""
        made = scene.provenance
        given = made.get("inputs", {})
        bound = made.get("figures", {}).get("bound", {})
        return cls(
            psnr_db=float(made.get("psnr_db", bound.get("psnr_db", math.nan))),
            scale_from=str(made.get("plane", {}).get("scale_from", BY_CONFIGURATION)),
            left_out=(*made.get("poses", {}).get("not_registered", ()), *given.get("left_out", ())),
            notes=tuple(given.get("notes", ())),
            doubts=tuple(made.get("doubts", ())),
        )
