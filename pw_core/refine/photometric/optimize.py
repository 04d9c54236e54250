"""The fine part: gradients of pictures correct the motion by parts of a pixel, and take up detail in the appearance.

    loss = (L1 + SSIM) foreground + (L1 + SSIM) background + mask term + lambda_sim mean |u|^2 / delta^2 + smoothness

(PerpetualWonder, arXiv 2602.04876; design section 5). Each step draws a few random frames through all cameras in one
call. The background's geometry is frozen: it is one picture a view, under a smooth gain on the table
(shadow_gain.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.gaussians import F32, F64
from pw_core.light.between import shaded
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.losses import mean_over, picture_error
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.tracking.film import Film
from pw_core.scene import AppearanceParameters

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PhotometricOptions:
    """Weights of the loss's terms, and learning rates (of Adam) of what is optimised."""

    foreground_weight: float = 1.0
    """Of the picture where the target shows an entity."""
    background_weight: float = 0.3
    """Of the picture elsewhere."""
    mask_weight: float = 0.5
    """Of the squared difference of each entity's cover and its mask."""
    simulation_weight: float = 1e-4
    """Of displacements from the simulation, squared, in particle sizes; `RefineConfig.lambda_sim` goes before it."""
    smooth_weight: float = 1e-2
    """Of bumps of the field that move apart, in `smooth_spacing_ratio` of their spacing, squared."""
    smooth_spacing_ratio: float = 0.1
    """See `smooth_weight`."""
    steady_weight: float = 1e-2
    """Of accelerations of the correction from frame to frame, squared, in particle sizes."""
    offset_weight: float = 1e-2
    """Of changes of the Gaussians' raw offsets, squared."""
    shadow_weight: float = 1e-2
    """Of the shadow gain's roughness."""

    motion_rate: float = 0.005
    """Of displacements, in particle sizes."""
    turn_rate: float = 0.001
    """Of rigid entities' turns [rad]."""
    offset_rate: float = 0.01
    """Of raw offsets."""
    opacity_rate: float = 0.02
    """Of opacity logits."""
    color_rate: float = 0.015
    """Of spherical harmonics."""
    shadow_rate: float = 0.01
    """Of the logarithmic shadow gain."""
    time_rate: float = 0.02
    """Of temporal opacity: of its centre in spans of the trajectory, and of its logarithmic width."""
    adam_betas: tuple[float, float] = (0.9, 0.99)
    """Second moments forget faster than usual: a round has some hundred iterations."""
    last_rate: float = 0.1
    """Rates fall exponentially to this share of themselves."""

    default_particle_size_m: float = 0.01
    """Stands for the particle size where a scene has rigid entities alone."""
    first_duration: float = 3.0
    """Width of a Gaussian's time, in spans of the trajectory, that temporal opacity begins with: nearly always
    there."""
    shortest_span_s: float = 1e-3
    """A trajectory of one frame counts as so long."""
    stretch_visits: int = 2
    """Deformations hardly change any more: each serves for so many visits of its frame ..."""
    stretch_iterations: int = 25
    """... and for at least so many iterations."""
    window_pad_px: int = 16
    """Pictures are compared in a window round the entities, so much wider on each side."""


@dataclass(frozen=True)
class Step:
    """One iteration: its loss, and PSNR [dB] over the foreground of the frames that it drew."""

    iteration: int
    loss: float
    psnr: float


class PhotometricOptimizer:
    """All that is optimised, as tensors; `run` steps, `motion_now` and `appearance_now` hold what is reached.

    Args:
        double: in double precision, to check gradients; gsplat has none.
    """

    def __init__(
        self, model: Model, film: Film, motion: Motion, shadow_gain: ShadowGain, *,
        options: PhotometricOptions = PhotometricOptions(), iterations: int = 201, frames_per_step: int = 1,
        temporal_opacity: bool = False, seed: int = 0, double: bool = False,
    ) -> None:  # fmt: skip
        import torch

        self._dtype = torch.float64 if double else torch.float32
        self.model, self.film, self.motion, self.shadow_gain = model, film, motion, shadow_gain
        self.options = options
        self.iterations, self.frames_per_step = iterations, frames_per_step
        self.temporal_opacity, self.rng = temporal_opacity, np.random.default_rng(seed)
        scene, appearance = model.scene, model.appearance

        def free(a: Any) -> Tensor:
            return self._tensor(a).requires_grad_(True)

        # A tensor a frame: Adam leaves alone what a step did not draw. In one tensor, frames that are not drawn move on
        # by their momentum, and the last few end beside where they were best.
        self.c = {n: [free(row) for row in x] for n, x in motion.coefficients.items()}
        self.shifts, self.turns = (
            {n: [self._tensor(row) if known else free(row) for row, known in zip(x, motion.commanded[n], strict=True)]
             for n, x in of.items()}
            for of in (motion.shifts, motion.turns)
        )  # fmt: skip
        self.raw, self.opacities, self.sh = free(appearance.raw), free(appearance.opacities), free(appearance.sh)
        self.grid = free(shadow_gain.gain)
        span = float(motion.trajectory.times[-1] - motion.trajectory.times[0])
        self.mu = free(np.full(len(appearance.raw), span / 2))
        width = options.first_duration * max(span, options.shortest_span_s)
        self.log_s = free(np.full(len(appearance.raw), math.log(width)))
        self._values = {n: self._tensor(b.values) for n, b in motion.bases.items()}
        self._stiff = {n: self._tensor(b.stiffness) for n, b in motion.bases.items()}
        self._rest, self._delta = self._tensor(scene.rest), self._tensor(model.binding.delta)
        self._index = torch.from_numpy(model.binding.index).to(model.device)
        self._blend = self._tensor(model.binding.weights)
        self._covariances = self._tensor(model.covariances)
        self._positions = self._tensor(motion.trajectory.positions)
        self._onehot = self._tensor(np.eye(len(scene.entities), dtype=np.float32)[model.entity_of])
        self._raw0 = self.raw.detach().clone()
        self._stretches: dict[int, Tensor] = {}
        self._shares: dict[int, Tensor | None] = {}
        self._adam = torch.optim.Adam(
            self._groups(span), betas=options.adam_betas, fused=model.device != "cpu"
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._adam, lambda i: options.last_rate ** (i / max(iterations, 1))
        )
        self._views = [_View(film, v, self._tensor, pad=options.window_pad_px) for v in range(len(film.cameras))]
        self._seen = np.array([any(film.seen(v, t) for v in range(len(film.cameras))) for t in range(film.frames)])

    def _groups(self, span: float) -> list[dict[str, Any]]:
        """Tensors and their learning rates, as Adam takes them; span [s]: of the trajectory."""
        o = self.options
        soft = [e for e in self.model.scene.entities if e.kind == "deformable"]
        size = min((e.particle_size_m for e in soft), default=o.default_particle_size_m)
        rates = [(_flat(self.c), o.motion_rate * size), (_flat(self.shifts), o.motion_rate * size),
                 (_flat(self.turns), o.turn_rate)]  # fmt: skip
        rates += [([self.raw], o.offset_rate), ([self.opacities], o.opacity_rate), ([self.sh], o.color_rate),
                  ([self.grid], o.shadow_rate)]  # fmt: skip
        if self.temporal_opacity:
            rates += [([self.mu], o.time_rate * span), ([self.log_s], o.time_rate)]
        return [{"params": params, "lr": rate} for params, rate in rates if params]

    def _tensor(self, a: Any) -> Tensor:
        import torch

        return torch.as_tensor(np.ascontiguousarray(a), dtype=self._dtype, device=self.model.device).clone()

    # --- the model, differentiable ------------------------------------------------------------------------------------

    def particles(self, t: int) -> Tensor:
        """Positions [m] (J, 3) in frame t."""
        parts = []
        for e in self.model.scene.entities:
            if e.name in self.c:
                parts.append(self._positions[t, e.particles] + self._values[e.name] @ self.c[e.name][t])
            else:
                row = self._tensor(self.motion.trajectory.bodies[e.name][t])
                arm = self._positions[t, e.particles] - row[:3]
                parts.append(arm @ _rotation(self.turns[e.name][t]).T + row[:3] + self.shifts[e.name][t])
        import torch

        return torch.cat(parts)

    def stretch(self, t: int, now: Tensor) -> Tensor:
        """Deformation A (J, 3, 3) of the particles, refreshed now and then; no gradient goes through it."""
        if t not in self._stretches:
            turns = {}
            for name in self.turns:
                row = self.motion.trajectory.bodies[name][t]
                predicted = self.model.turns({name: row})[name]
                turns[name] = _rotation(self.turns[name][t].detach()).cpu().numpy() @ predicted
            self._stretches[t] = self._tensor(self.model.stretch(now.detach().cpu().numpy(), turns))
        return self._stretches[t]

    def gaussians(self, t: int) -> tuple[Tensor, Tensor]:
        """Means [m] (N, 3) and covariances [m²] (N, 3, 3) in frame t."""
        import torch

        now = self.particles(t)
        A = self.stretch(t, now)
        x = self._rest[self._index[:, 0]] + self._delta[:, None] * torch.tanh(self.raw)
        means = torch.zeros_like(x)
        blended = torch.zeros((len(x), 3, 3), dtype=x.dtype, device=x.device)
        for b in range(self._index.shape[1]):
            j, w = self._index[:, b], self._blend[:, b, None]
            means = means + w * (now[j] + (A[j] @ (x - self._rest[j])[..., None])[..., 0])
            blended = blended + w[..., None] * A[j]
        return means, blended @ self._covariances @ blended.mT

    def colors(self, frames: list[int]) -> Tensor:
        """Spherical harmonics of those frames [B, N, K, 3], or of all alike (N, K, 3): under the shadows that entities
        cast on each other in the simulation."""
        import torch

        for t in frames:
            if t not in self._shares:
                share = self.model.share(self.motion.trajectory.positions[t])
                self._shares[t] = None if share is None else self._tensor(share)
        shares = [self._shares[t] for t in frames]
        if all(s is None for s in shares):
            return self.sh
        return torch.stack([self.sh if s is None else shaded(self.sh, s) for s in shares])

    def opacity(self, t: int) -> Tensor:
        """0 to 1 (N,), in frame t."""
        import torch

        out = torch.sigmoid(self.opacities)
        if self.temporal_opacity:
            times = self.motion.trajectory.times
            out = out * torch.exp(-0.5 * ((float(times[t] - times[0]) - self.mu) / self.log_s.exp()) ** 2)
        return out

    # --- the loss -----------------------------------------------------------------------------------------------------

    def loss(self, frames: list[int]) -> tuple[Tensor, float]:
        """The whole loss over these frames, and PSNR [dB] of their foreground."""
        import torch

        o = self.options
        total = torch.zeros((), device=self.model.device)
        squares, pixels = torch.zeros_like(total), torch.zeros_like(total)
        pairs = [self.gaussians(t) for t in frames]
        means, covars = torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])
        opacity = torch.stack([self.opacity(t) for t in frames])
        for v, view in enumerate(self._views):
            drawn, alpha = self._blended(v, frames, means, covars, opacity)
            target, masks, valid = (x[frames] for x in (view.target, view.masks, view.valid))
            fg, bg = ((masks > 0) & valid).float(), ((masks == 0) & valid).float()
            error = picture_error(drawn, target)
            each = o.foreground_weight * mean_over(error, fg) + o.background_weight * mean_over(error, bg)
            certain = ((masks >= 0) & valid).float()
            for e in self.model.scene.entities:
                wrong = (alpha[..., e.id] - (masks == e.id + 1).float()) ** 2
                each = each + o.mask_weight * mean_over(wrong, certain)
            total = total + self.film.weights[v] * each.sum() / len(frames) / len(self._views)
            with torch.no_grad():  # no figure is read here: that would wait for the device
                squares += (((drawn - target) ** 2).mean(-1) * fg).sum()
                pixels += fg.sum()
        total = total + self._priors(frames)
        return total, -10 * math.log10(max(float(squares / pixels.clamp_min(1.0)), 1e-10))

    def _blended(
        self, v: int, frames: list[int], means: Tensor, covars: Tensor, opacity: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pictures [B, H, W, 3] of that view's window, and how much of each entity is in a pixel [B, H, W, E]."""
        import torch

        from pw_core.render import rasterize

        view = self._views[v]
        out = rasterize(
            means, None, None, opacity, self.colors(frames), view.viewmat, view.K, view.width, view.height,
            covars=covars, sh_degree=math.isqrt(self.sh.shape[1]) - 1, features=self._onehot,
        )  # fmt: skip
        assert out.features is not None
        back = torch.stack([
            self.shadow_gain.picture(v, self.grid[t], frame=t, window=view.window) for t in frames
        ])
        return out.rgb[:, 0] + (1 - out.alpha[:, 0]) * back, out.features[:, 0]

    def _priors(self, frames: list[int]) -> Tensor:
        """What is known without looking, over the frames drawn and their neighbours."""
        import torch

        o = self.options
        total = torch.zeros((), device=self.model.device)
        last = self.film.frames - 1
        for e in self.model.scene.entities:
            if e.name not in self.c:
                continue
            c, basis = self.c[e.name], self.motion.bases[e.name]
            for t in frames:
                u = self._values[e.name] @ c[t]
                total = total + o.simulation_weight * (u**2).sum(-1).mean() / e.particle_size_m**2 / len(frames)
                bend = (c[t] * (self._stiff[e.name] @ c[t])).sum() / (o.smooth_spacing_ratio * basis.spacing_m) ** 2
                total = total + o.smooth_weight * bend / c[t].shape[0] / len(frames)
                if 0 < t < last:
                    jerk = self._values[e.name] @ (c[t - 1] - 2 * c[t] + c[t + 1])
                    total = total + o.steady_weight * (jerk**2).sum(-1).mean() / e.particle_size_m**2 / len(frames)
        total = total + o.offset_weight * ((self.raw - self._raw0) ** 2).sum(-1).mean()
        return total + o.shadow_weight * self.shadow_gain.roughness(self.grid)

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self) -> Iterator[Step]:
        """Optimise; one step a yield. Stopping to iterate leaves what is reached."""
        order: list[int] = []
        usable = np.flatnonzero(self._seen)
        visit = math.ceil(len(usable) / self.frames_per_step)
        again = max(self.options.stretch_iterations, self.options.stretch_visits * visit)
        for i in range(self.iterations if len(usable) else 0):
            if len(order) < self.frames_per_step:
                order = [*order, *self.rng.permutation(usable).tolist()]
            frames, order = order[: self.frames_per_step], order[self.frames_per_step :]
            if i % again == 0:
                self._stretches.clear()
            self._adam.zero_grad()
            loss, psnr = self.loss(frames)
            loss.backward()
            self._adam.step()
            self._schedule.step()
            yield Step(i, float(loss.detach()), psnr)

    def motion_now(self) -> Motion:
        """The motion as optimised so far."""

        import torch

        def stacked(rows: list[Tensor]) -> F64:
            return np.asarray(torch.stack(rows).detach().cpu().numpy().astype(np.float64))

        return replace(
            self.motion, coefficients={n: stacked(x) for n, x in self.c.items()},
            shifts={n: stacked(x) for n, x in self.shifts.items()},
            turns={n: stacked(x) for n, x in self.turns.items()},
        )  # fmt: skip

    def appearance_now(self) -> AppearanceParameters:
        """The appearance as optimised so far; temporal opacity is baked in as it is in the last frame."""
        import torch

        def array(x: Tensor) -> F32:
            return np.asarray(x.detach().cpu().numpy(), np.float32)

        opacities = self.opacities
        if self.temporal_opacity:
            opacities = torch.logit(self.opacity(self.film.frames - 1).clamp(1e-4, 1 - 1e-4))
        gain = array(self.grid)
        return AppearanceParameters(array(self.raw), array(opacities), array(self.sh), self.shadow_gain.baked(gain[-1]))


def _flat(rows: dict[str, list[Tensor]]) -> list[Tensor]:
    return [row for each in rows.values() for row in each if row.requires_grad]


def _rotation(vector: Tensor) -> Tensor:
    """Rotation matrix (3, 3) of a rotation vector [rad] (3,), differentiable at zero too."""
    import torch

    zero = torch.zeros((), dtype=vector.dtype, device=vector.device)
    x, y, z = vector
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    return torch.matrix_exp(skew)


class _View:
    """What one view compares, kept where it is needed: the window (rows, columns) in which anything moves."""

    def __init__(self, film: Film, v: int, tensor: Callable[[Any], Tensor], *, pad: int) -> None:
        import torch

        top, bottom, left, right = _crop(film, v, pad=pad)
        self.window = slice(top, bottom), slice(left, right)
        self.height, self.width = bottom - top, right - left
        camera = film.cameras[v]
        self.viewmat, self.K = tensor(camera.viewmat)[None], tensor(camera.K)[None]
        self.K[:, 0, 2] -= left
        self.K[:, 1, 2] -= top
        part = (v, slice(None), *self.window)
        self.target = tensor(film.rgb[part])
        masks, valid = film.masks[part], film.valid[part]
        self.masks = torch.from_numpy(masks.astype(np.int16)).to(self.target.device)
        self.valid = torch.from_numpy(np.ascontiguousarray(valid)).to(self.target.device)


def _crop(film: Film, v: int, *, pad: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of where anything moves in view v, over all frames."""
    shown = (film.masks[v] > 0).any(0)
    h, w = shown.shape
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if not len(rows):
        return 0, h, 0, w
    return max(rows[0] - pad, 0), min(rows[-1] + pad, h), max(columns[0] - pad, 0), min(columns[-1] + pad, w)
