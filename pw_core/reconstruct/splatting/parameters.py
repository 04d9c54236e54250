"""The tensors that a photometric fit moves: where they start, how fast they go, how they grow and shrink (Kerbl et al.
2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pw_core.gaussians import F64, SH_C0, Gaussians, quats_to_rotations
from pw_core.reconstruct.types import View


@dataclass(frozen=True, kw_only=True)
class RateOptions:
    """Adam's step sizes, by tensor, as in the paper's own code."""

    means: float = 1.6e-4
    """[sizes of the scene], at the first step."""
    log_scales: float = 5e-3
    """[log m]"""
    quats: float = 1e-3
    """Of quaternions that are not normalised."""
    opacities: float = 5e-2
    """[logit]"""
    sh0: float = 2.5e-3
    """Of the harmonics' constant part."""
    shN: float = 2.5e-3 / 20
    """Of the rest of them: slower, or colours change with the view where they should not."""

    def by_name(self, size: float) -> dict[str, float]:
        """The rates in the tensors' order; size of the scene [m]."""
        rates = {f.name: getattr(self, f.name) for f in fields(self)}
        return rates | {"means": self.means * size}


@dataclass(frozen=True, kw_only=True)
class DensifyOptions:
    """When and which Gaussians are copied, split and dropped."""

    least_gradient: float = 2e-4
    """Mean gradient of the loss by a Gaussian's place in the picture [half widths] from which it grows."""
    split_width_ratio: float = 0.01
    """[sizes of the scene]: wider ones are split, narrower ones copied."""
    least_opacity: float = 0.005
    """Fainter ones are dropped."""
    most_width_ratio: float = 0.5
    """[sizes of the scene]: wider ones are dropped."""
    split_shrink: float = 1.6
    """By how much the two parts of a split one are narrower."""
    most_gaussians: int = 60_000
    """Where no number was asked for."""
    first_step_least: int = 60
    """Densification begins at an eighth of the steps, but no earlier than this and no later than the next ..."""
    first_step_most: int = 500
    """... as in the paper, whose fits take 30 000."""
    first_step_share: int = 8
    """One in so many of the steps."""
    interval_least: int = 30
    """Steps between two densifications: a thirtieth of all, but no fewer: gradients are summed over views ..."""
    interval_most: int = 100
    """... and no more than this, as in the paper."""
    interval_share: int = 30
    """One in so many of the steps."""
    stop_share: float = 0.7
    """Of the steps, after which nothing grows: the rest settles what there is."""

    def schedule(self, steps: int) -> tuple[int, int, int]:
        """First step, steps between, and the step at which it ends, of a fit of that many."""
        begin = max(self.first_step_least, min(self.first_step_most, steps // self.first_step_share))
        every = max(self.interval_least, min(self.interval_most, steps // self.interval_share))
        return begin, every, int(self.stop_share * steps)


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """Gaussians made of sparse points."""

    opacity: float = 0.1
    """Low, so that light reaches what is behind them."""
    neighbours: int = 3
    """Whose mean distance is a Gaussian's width."""
    least_width: float = 1e-6
    """[m] of points that coincide."""


def start(points: F64, colors: F64, *, sh_degree: int, options: StartOptions = StartOptions()) -> Gaussians:
    """One Gaussian a point, as wide as its three nearest neighbours are away."""
    from scipy.spatial import cKDTree

    near = cKDTree(points).query(points, k=min(1 + options.neighbours, len(points)))[0][:, 1:]
    wide = np.maximum(np.sqrt((near**2).mean(1)), options.least_width)
    n = len(points)
    sh = np.zeros((n, (sh_degree + 1) ** 2, 3), np.float32)
    sh[:, 0] = (colors - 0.5) / SH_C0
    rng = np.random.default_rng(0)
    return Gaussians(
        points.astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32),
        np.repeat(np.log(wide)[:, None], 3, 1).astype(np.float32),
        np.full(n, math.log(options.opacity / (1 - options.opacity)), np.float32), sh,
    )  # fmt: skip


def extent(views: Sequence[View]) -> float:
    """The scene's size for step sizes: 1.1 times the furthest camera from the cameras' mean [m]; 1 where they coincide
    (as in the paper's code)."""
    centres = np.array([v.camera.centre for v in views])
    return float(1.1 * np.linalg.norm(centres - centres.mean(0), axis=1).max()) or 1.0


class Params:
    """The tensors being fitted, their Adam states, and how they grow and shrink."""

    def __init__(
        self, first: Gaussians, size: float, device: str, *, rates: RateOptions = RateOptions(),
        final_rate_ratio: float = 0.01,
    ) -> None:  # fmt: skip
        import torch

        raw = first.arrays()
        raw |= {"sh0": first.sh[:, :1], "shN": first.sh[:, 1:]}
        self.size, self.rates, self.final_rate_ratio = size, rates.by_name(size), final_rate_ratio
        # Copies: the optimiser writes in place.
        self.tensors = {
            k: torch.tensor(raw[k], dtype=torch.float32, device=device).requires_grad_() for k in self.rates
        }
        self.optimiser = torch.optim.Adam(
            [{"params": [t], "lr": self.rates[k], "name": k} for k, t in self.tensors.items()], eps=1e-15
        )

    @property
    def n(self) -> int:
        """How many Gaussians there are."""
        return len(self.tensors["means"])

    def drawn(self) -> tuple[Any, ...]:
        """means, quats, scales, opacities and harmonics, as `rasterize` takes them, with gradients."""
        import torch

        t = self.tensors
        sh = torch.cat([t["sh0"], t["shN"]], 1)
        return t["means"], t["quats"], torch.exp(t["log_scales"]), torch.sigmoid(t["opacities"]), sh

    def zero_grad(self) -> None:
        """Before a backward pass."""
        self.optimiser.zero_grad(set_to_none=True)

    def means_rate(self, step: int, steps: int) -> float:
        """The means' step size [m], which falls to `final_rate_ratio` of the first over the fit."""
        return self.rates["means"] * self.final_rate_ratio ** (step / steps)

    def step(self, step: int, steps: int) -> None:
        """One step of Adam."""
        self.optimiser.param_groups[0]["lr"] = self.means_rate(step, steps)
        self.optimiser.step()

    def densify(self, grad: Any, budget: int, *, seed: int, options: DensifyOptions = DensifyOptions()) -> None:
        """Copy small Gaussians whose place is uncertain (grad (N,): mean gradient by their place in the picture), split
        large ones, drop faint and huge ones; no more than `budget` stay."""
        import torch

        t = {k: v.detach() for k, v in self.tensors.items()}
        wide = torch.exp(t["log_scales"]).max(1).values
        keep = (torch.sigmoid(t["opacities"]) > options.least_opacity) & (wide < options.most_width_ratio * self.size)
        room = budget - int(keep.sum())
        grow = (grad > options.least_gradient) & keep
        if int(grow.sum()) > room:
            if room <= 0:
                grow = torch.zeros_like(grow)
            else:
                least = torch.topk(torch.where(grow, grad, 0), room).values[-1]
                grow &= grad >= least
        split = grow & (wide > options.split_width_ratio * self.size)
        copy = grow & ~split
        rng = np.random.default_rng(seed)
        turn = torch.from_numpy(quats_to_rotations(t["quats"][split].numpy())).float()
        scale = torch.exp(t["log_scales"][split])
        parts = []
        for _ in range(2):
            new = {k: v[split].clone() for k, v in t.items()}
            shift = torch.from_numpy(rng.normal(size=scale.shape).astype(np.float32)) * scale
            new["means"] = new["means"] + torch.einsum("nij,nj->ni", turn, shift)
            new["log_scales"] = torch.log(scale / options.split_shrink)
            parts.append(new)
        stay = torch.nonzero(keep & ~split)[:, 0]
        fresh = {k: torch.cat([t[k][copy], *(p[k] for p in parts)]) for k in t}
        self._replace(stay, fresh)

    def _replace(self, stay: Any, fresh: dict[str, Any]) -> None:
        """Those of the numbers `stay` and then new ones, which Adam knows nothing of yet."""
        import torch

        for group in self.optimiser.param_groups:
            k = group["name"]
            old = self.tensors[k]
            state = self.optimiser.state.pop(old, None)
            value = torch.cat([old.detach()[stay], fresh[k]]).requires_grad_()
            if state is not None:
                for moment in ("exp_avg", "exp_avg_sq"):
                    state[moment] = torch.cat([state[moment][stay], torch.zeros_like(fresh[k])])
                self.optimiser.state[value] = state
            group["params"] = [value]
            self.tensors[k] = value

    def gaussians(self) -> Gaussians:
        """As plain arrays."""
        t = {k: v.detach().cpu().numpy() for k, v in self.tensors.items()}
        quats = t["quats"] / np.linalg.norm(t["quats"], axis=1, keepdims=True)
        sh = np.concatenate([t["sh0"], t["shN"]], 1)
        return Gaussians(t["means"].copy(), quats, t["log_scales"].copy(), t["opacities"].copy(), sh)
