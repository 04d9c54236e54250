"""Pictures of what is shown, from any camera: as all pictures of this package, or quicker while the camera moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.appearance import Appearance, placed_positions
from pw_core.gaussians import F32, Camera
from pw_core.scene import AppearanceParameters, Scene
from pw_core.studio.fewer import Fewer
from pw_core.studio.shown import Moment, Sight

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PaintingOptions:
    """How depths are shown."""

    nearest_share: float = 0.7
    """Of the depth of the nearest thing in the photo's camera: drawn in the colour of what is near."""
    farthest_share: float = 1.3
    """Of the depth that 95 % of the photo do not reach: drawn in the colour of what is far."""
    line_px: int = 2
    """Between two pictures side by side."""


class Painter:
    """Draws one scene. Not for two threads at once."""

    def __init__(self, scene: Scene, *, device: str = "cpu", options: PaintingOptions = PaintingOptions()) -> None:
        self.scene, self.options, self._device = scene, options, device
        self._appearance = Appearance(scene, device=device)
        self._quick = _Quick(scene, self._appearance)
        self._range: tuple[float, float] | None = None

    def picture(self, sight: Sight, camera: Camera, *, quick: bool = False) -> Picture:
        """RGB (H, W, 3). quick: from fewer Gaussians, for a camera that no picture was drawn from before.

        Raises:
            RenderError (INVALID_VIEW): a camera that cannot be drawn.
        """
        other = sight.other
        if other is None or sight.layout == "alone":
            return self._one(sight.moment, sight, camera, quick)
        if sight.layout == "ghost":
            one, two = (self._one(m, sight, camera, quick).astype(np.uint16) for m in (sight.moment, other))
            return ((one + two + 1) // 2).astype(np.uint8)
        half = _narrowed(camera)
        left, right = (self._one(m, sight, half, quick) for m in (sight.moment, other))
        line = np.full((camera.height, self.options.line_px, 3), 255, np.uint8)
        return np.concatenate([left, line, right], 1)

    def _one(self, moment: Moment, sight: Sight, camera: Camera, quick: bool) -> Picture:
        if quick:
            rgb, depth = self._quick.draw(moment, camera)
        else:
            view = self._appearance.render(camera, moment.physics, appearance=moment.looks)
            rgb, depth = view.rgb, view.depth
        return rgb if sight.kind == "colours" else self._in_colours(depth)

    def _in_colours(self, depth: F32) -> Picture:
        """Depths [m] (H, W) as colours: red is near, blue far, black nothing."""
        import cv2

        near, far = self._depths()
        share = np.clip((1 / np.maximum(depth, 1e-6) - 1 / far) / (1 / near - 1 / far), 0, 1)
        out = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
        out[depth <= 0] = 0
        return np.asarray(out, np.uint8)

    def _depths(self) -> tuple[float, float]:
        """Nearest and farthest [m] that colours tell apart."""
        if self._range is None:
            camera, o = self.scene.cameras[0], self.options
            things = camera.project(self.scene.rest)[1]
            seen = self._appearance.render(camera, self.scene.initial_physics()).depth
            far = float(np.percentile(seen[seen > 0], 95)) if (seen > 0).any() else float(things.max())
            near = float(max(things.min(), 1e-3))
            self._range = (o.nearest_share * near, max(o.farthest_share * far, 1.01 * near))
        return self._range


class _Quick:
    """Pictures from fewer Gaussians, of the background and of the things; the shadows are those of the full ones.

    What does not depend on the camera is kept for the last two moments: a camera that moves about one only rasterises.
    """

    def __init__(self, scene: Scene, appearance: Appearance) -> None:
        self.scene, self._appearance = scene, appearance
        camera = scene.cameras[0]
        self._fewer = Fewer(scene.background, camera)
        self._things = Fewer(scene.foreground, camera, owners=scene.binding.index[:, 0])
        self._looks: AppearanceParameters | None = None
        self._still: F32 | None = None
        self._placed: list[tuple[Moment, list[Any]]] = []
        self._caster: Any = None
        if scene.light is not None:
            from pw_core.light.cast import Caster
            from pw_core.light.overlay import receivers

            self._caster = Caster(scene.rest, scene.entities, scene.light)
            self._places = receivers(self._fewer.means, scene.light)

    def draw(self, moment: Moment, camera: Camera) -> tuple[Picture, F32]:
        """RGB (H, W, 3) and depth [m] (H, W)."""
        import torch

        from pw_core.render import rasterize

        means, covars, alpha, colors = self._arrays(moment)
        drawn = rasterize(
            means, None, None, alpha, colors, torch.from_numpy(camera.viewmat.astype(np.float32))[None],
            torch.from_numpy(camera.K.astype(np.float32))[None], camera.width, camera.height, covars=covars,
            render_depth="expected",
        )  # fmt: skip
        assert drawn.depth is not None
        picture = (drawn.rgb[0].numpy() * 255).round().clip(0, 255).astype(np.uint8)
        return picture, np.asarray(drawn.depth[0, ..., 0].numpy())

    def _arrays(self, moment: Moment) -> list[Any]:
        """Means, covariances, opacities and colours of all, as tensors."""
        import torch

        for known, arrays in self._placed:
            if known is moment:
                return arrays
        means, covariances = self._things.placed(*self._appearance.foreground(moment.physics))
        opacities, colors = self._seen(moment.looks)
        pairs = (
            (self._fewer.means, means), (self._fewer.covariances, covariances), (self._fewer.opacities, opacities),
            (self._ground(moment), colors),
        )  # fmt: skip
        made = [torch.from_numpy(np.concatenate(pair).astype(np.float32)) for pair in pairs]
        self._placed = [*self._placed[-1:], (moment, made)]
        return made

    def _seen(self, looks: AppearanceParameters | None) -> tuple[F32, F32]:
        """Opacities 0 to 1 (M,) and colours (M, 3) of the things."""
        if looks is None:
            return self._things.opacities, self._things.colors(self.scene.foreground.sh)
        alpha = 1 / (1 + np.exp(-looks.opacities.astype(np.float64)))
        return self._things.mean(alpha[:, None])[:, 0], self._things.colors(looks.sh)

    def _ground(self, moment: Moment) -> F32:
        """The background's colours (M, 3) under the shadows of the moment."""
        if self._still is None or moment.looks is not self._looks:
            sh = self.scene.background.sh if moment.looks is None else moment.looks.background_sh
            self._still, self._looks = self._fewer.colors(sh), moment.looks
        if self._caster is None:
            return self._still
        from pw_core.light.overlay import kept

        now = placed_positions(self.scene, moment.physics)
        return self._still * kept(self._caster.shade(now), self._places)


def _narrowed(camera: Camera) -> Camera:
    """The left-right middle half of its picture."""
    width = camera.width // 2
    K = camera.K.copy()
    K[0, 2] -= (camera.width - width) / 2
    return Camera(camera.name, K, camera.viewmat, width, camera.height)
