"""The background under refinement: frozen in shape, one picture a view, under a smooth gain where shadows can fall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.gaussians import F32, SH_C0, Camera, sh_degree
from pw_core.light.cast import Caster
from pw_core.light.occlusion import Shade
from pw_core.light.overlay import kept_tensor, receivers
from pw_core.scene import AppearanceParameters, Scene

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ShadowGainOptions:
    """Where shadows may fall, and how smooth they are."""

    cells: int = 24
    """Of the gain's grid, along each side: too coarse to draw an object."""
    margin_m: float = 0.15
    """How far about the entities a shadow may fall."""
    table_thickness_m: float = 0.01
    """What of the background is so near to z = 0 lies on the table, and is shaded."""
    smoothness: float = 4.0
    """Steps of the logarithmic gain, from cell to cell and frame to frame, count so many times as much as its size."""


_OUTSIDE = 9.0
"""A place on no grid: those reach from -1 to 1."""


class ShadowGain:
    """Logarithmic gain on a grid over the table round all entities, one grid a frame: gain (T, G, G).

    Smooth by its size, and it cannot draw an object: a gain has no texture and no colour. Where the scene has a light,
    the gain is what is left beside the shadows that the particles cast at `positions` [m] (T, J, 3).
    """

    def __init__(
        self, scene: Scene, appearance: AppearanceParameters, cameras: tuple[Camera, ...], positions: F32, *,
        device: str, options: ShadowGainOptions = ShadowGainOptions(),
    ) -> None:  # fmt: skip
        import torch

        self.scene, self.appearance, self.options = scene, appearance, options
        flat = positions.reshape(-1, 3)
        low, high = flat.min(0)[:2] - options.margin_m, flat.max(0)[:2] + options.margin_m
        self.low, self.size = low, np.maximum(high - low, 1e-6)
        self.gain: F32 = np.zeros((len(positions), options.cells, options.cells), np.float32)
        self.device = device
        drawn = [_draw(scene, appearance, c, device) for c in cameras]
        self._pictures = [torch.from_numpy(rgb).to(device) for rgb, _ in drawn]
        self._places: list[Tensor] = []
        self._receivers: list[Tensor] = []
        self._caster = None if scene.light is None else Caster(scene.rest, scene.entities, scene.light)
        self._positions, self._shades = positions, dict[int, Shade]()
        for camera, (_, depth) in zip(cameras, drawn, strict=True):
            y, x = np.mgrid[: camera.height, : camera.width] + 0.5
            points = camera.unproject(np.stack([x, y], -1), depth)
            at = 2 * (points[..., :2] - low) / self.size - 1
            # Only what lies on the table is shaded; elsewhere the place is outside the grid, where the gain is 0.
            at[np.abs(points[..., 2]) > options.table_thickness_m] = _OUTSIDE
            self._places.append(torch.from_numpy(at.astype(np.float32)).to(device))
            if scene.light is not None:
                self._receivers.append(torch.from_numpy(receivers(points, scene.light)).to(device))

    def picture(
        self, view: int, gain: Tensor, *, frame: int = 0, window: tuple[slice, slice] = (slice(None), slice(None))
    ) -> Tensor:
        """The background (H, W, 3), 0 to 1, of that view and frame under a gain (G, G), whose rows run along y. window:
        rows and columns wanted."""
        import torch.nn.functional as F

        places = self._places[view][window].to(gain.dtype)
        at = F.grid_sample(gain[None, None], places[None], align_corners=False, padding_mode="zeros")
        return self._cast(view, frame, window) * at[0, 0, ..., None].exp()

    def plain(self, view: int, *, frame: int = 0) -> F32:
        """The background (H, W, 3) as it was, under the shadows that the simulation casts in that frame."""
        return np.asarray(self._cast(view, frame, (slice(None), slice(None))).cpu().numpy())

    def _cast(self, view: int, frame: int, window: tuple[slice, slice]) -> Tensor:
        picture = self._pictures[view][window]
        if self._caster is None:
            return picture
        frame = min(frame, len(self._positions) - 1)
        if frame not in self._shades:
            self._shades[frame] = self._caster.shade(np.asarray(self._positions[frame], np.float32))
        return picture * kept_tensor(self._shades[frame], self._receivers[view][window])

    def roughness(self, gain: Tensor) -> Tensor:
        """Mean squared steps of the gain in place and time, and its size."""
        k = self.options.smoothness
        out = (gain**2).mean() + k * (gain.diff(dim=1) ** 2).mean() + k * (gain.diff(dim=2) ** 2).mean()
        return out + k * (gain.diff(dim=0) ** 2).mean() if len(gain) > 1 else out

    def baked(self, gain: F32) -> F32:
        """The background's spherical harmonics (M, K, 3) under that gain (G, G)."""
        if not gain.any():
            return self.appearance.background_sh
        import torch
        import torch.nn.functional as F

        means = self.scene.background.means
        at = 2 * (means[:, :2] - self.low) / self.size - 1
        at[np.abs(means[:, 2]) > self.options.table_thickness_m] = _OUTSIDE
        field = torch.from_numpy(gain)[None, None]
        grid = torch.from_numpy(at.astype(np.float32))[None, None]
        g = F.grid_sample(field, grid, align_corners=False, padding_mode="zeros")[0, 0, 0].exp().numpy()
        out = self.appearance.background_sh * g[:, None, None]
        out[:, 0] += (0.5 * (g - 1) / SH_C0)[:, None]  # colour = 0.5 + SH_C0 * sh: the 0.5 is scaled too
        return np.asarray(out, np.float32)


def _draw(scene: Scene, appearance: AppearanceParameters, camera: Camera, device: str) -> tuple[F32, Any]:
    """The background alone: picture 0 to 1 (H, W, 3) and depth [m] (H, W)."""
    import torch

    from pw_core.render import rasterize

    b = scene.background

    def tensor(a: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device)

    with torch.no_grad():
        out = rasterize(
            tensor(b.means), None, None, torch.sigmoid(tensor(b.opacities)), tensor(appearance.background_sh),
            tensor(camera.viewmat)[None], tensor(camera.K)[None], camera.width, camera.height,
            covars=tensor(b.covariances()), sh_degree=sh_degree(appearance.background_sh),
            render_depth="expected",
        )  # fmt: skip
    assert out.depth is not None
    return out.rgb[0].clamp(0, 1).cpu().numpy(), out.depth[0, ..., 0].cpu().numpy()
