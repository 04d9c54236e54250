"""A smooth change of colour over each entity.

A film tells how light lies on a body; Gaussians that no camera saw would keep the photo's light, and show as specks
when the next round turns them out. So the change that a part of the body has in common is fitted as one smooth field,
and single colours take up what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.gaussians import SH_C0
from pw_core.refine.basis import Basis
from pw_core.refine.model import Model

if TYPE_CHECKING:
    from torch import Tensor

NODES = 24
"""Of the field of each entity."""


class Tint:
    """Colours (K, 3) of an entity's nodes, added to those of its Gaussians; all zero at first. `free` are the tensors
    to optimise, one an entity."""

    def __init__(self, model: Model, tensor: Callable[[Any], Tensor]) -> None:
        import torch

        self.free: list[Tensor] = []
        self._values: list[Tensor] = []
        self._stiffness: list[Tensor] = []
        self._rows: list[Tensor] = []
        for e in model.scene.entities:
            basis = Basis.spread(model.scene.rest[e.particles], nodes=NODES)
            rows = np.flatnonzero(model.entity_of == e.id)
            self._rows.append(torch.from_numpy(rows).to(model.device))
            self._values.append(tensor(basis.values[model.own[rows] - e.particles.start]))
            self._stiffness.append(tensor(basis.stiffness))
            self.free.append(tensor(np.zeros((basis.size, 3))).requires_grad_(True))

    def on(self, sh: Tensor) -> Tensor:
        """Spherical harmonics (N, B, 3) with the change of colour."""
        import torch

        change = torch.zeros_like(sh[:, 0])
        for rows, values, c in zip(self._rows, self._values, self.free, strict=True):
            change = change.index_copy(0, rows, values @ c / SH_C0)
        return torch.cat([(sh[:, 0] + change)[:, None], sh[:, 1:]], dim=1)

    def roughness(self) -> Tensor:
        """How far neighbouring nodes are from changing alike, and how far any changes; squared colours 0 to 1."""
        import torch

        total = torch.zeros((), device=self.free[0].device, dtype=self.free[0].dtype)
        for S, c in zip(self._stiffness, self.free, strict=True):
            total = total + ((c * (S @ c)).sum() + 0.1 * (c**2).sum()) / len(c)
        return total / len(self.free)
