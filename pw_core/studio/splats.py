"""The Gaussians in the browser itself, moved in place: for machines whose browser has a GPU."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.export.content import Content, opacities_of
from pw_core.gaussians import F32
from pw_core.scene import AppearanceParameters, Scene
from pw_core.studio.fewer import Fewer, FewerOptions
from pw_core.studio.shown import Moment

if TYPE_CHECKING:
    import viser


@dataclass(frozen=True, kw_only=True)
class SplatOptions:
    """What the browser gets."""

    units: float = 100.0
    """Of its Gaussians in a metre: viser holds covariances as halves, whose least steps are 6e-8, and a Gaussian of
    0.2 mm has 4e-8 m²."""
    cell_px: float = 2.0
    """See `FewerOptions`: 130 000 Gaussians for a photo of 640 x 352."""
    spread: float = 2.4
    """See `FewerOptions`."""


class Splats:
    """The background and the things, which viser sorts together; made when first shown."""

    def __init__(self, server: viser.ViserServer, scene: Scene, *, options: SplatOptions = SplatOptions()) -> None:
        self.server, self.scene, self.options = server, scene, options
        self.things: Any = None
        self.still: Any = None
        self._lock = threading.Lock()
        self._content: Content | None = None
        self._looks: AppearanceParameters | None = None

    def show(self, moment: Moment) -> None:
        """Put the things where they are, and make all visible."""
        with self._lock:
            content = self._told(moment.looks)
            means, covariances = content.follow(moment.physics)
            arrays = self._arrays(means, covariances, self._things.colors(), opacities_of(self._things))
            if self.things is None:
                self.things = self.server.scene.add_gaussian_splats("/things", *arrays, scale=1 / self.options.units)
            else:
                self.things.set_gaussians(*arrays)
            self.things.visible = self.still.visible = True

    def hide(self) -> None:
        """Not seen from now on."""
        with self._lock:
            if self.things is not None:
                self.things.visible = self.still.visible = False

    def _arrays(self, means: F32, covariances: F32, colors: F32, opacities: F32) -> tuple[F32, F32, Any, F32]:
        """As viser takes them, in the browser's units."""
        units = self.options.units
        return means * units, covariances * units**2, (colors * 255).round().astype(np.uint8), opacities[:, None]

    def _told(self, looks: AppearanceParameters | None) -> Content:
        """What makes Gaussians of physics; where the looks are others, made anew, and the background with it."""
        if self._content is None or looks is not self._looks:
            scene, o = self.scene, self.options
            self._content = Content(scene, [0.0], lambda _: scene.initial_physics(), appearance=looks)
            self._looks, own = looks, self._content.looks
            self._things = replace(scene.foreground, opacities=own.opacities, sh=own.sh)
            fewer = Fewer(scene.background, scene.cameras[0],
                          options=FewerOptions(cell_px=o.cell_px, spread=o.spread))  # fmt: skip
            arrays = self._arrays(fewer.means, fewer.covariances, fewer.colors(own.background_sh), fewer.opacities)
            self.still = self.server.scene.add_gaussian_splats("/background", *arrays, scale=1 / o.units)
        return self._content
