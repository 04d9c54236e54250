"""A target provider of your own in 20 lines: it claims that the scene should be brighter. docs/targets.md has the rest.

Install it beside this package, with these lines in its pyproject.toml; then say `provider: brighter`:

    [project.entry-points."pw_core.target_providers"]
    brighter = "target_provider:Brighter"
"""

import numpy as np

from pw_core.progress import Progress
from pw_core.refine.targets.types import TargetFrames, TargetRequest


class Brighter:
    name = "brighter"

    def __init__(self, *, gain: float = 1.2) -> None:  # the settings of the goal or the scene file
        self.gain = gain

    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        out = np.clip(request.frames * self.gain, 0, 255).astype(np.uint8)
        if progress is not None:
            progress("brightening", 1.0)  # may raise: the goal was cancelled
        return TargetFrames(out, valid=np.ones(request.shape, np.bool_), masks=request.masks)
