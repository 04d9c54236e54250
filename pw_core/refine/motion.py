"""Where refinement has things: a displacement field of each deformable, a pose of each rigid one, by frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Tool
from pw_core.gaussians import F32, F64, quats_to_rotations
from pw_core.refine.basis import Basis
from pw_core.refine.model import Model
from pw_core.scene import Trajectory


@dataclass
class Motion:
    """Where refinement has things. coefficients: per deformable (T, K, 3) [m]; shifts [m] (T, 3) and turns
    [rad] (T, 3), as rotation vectors about the predicted centre, per rigid entity; commanded (T,): the frames in which
    a rigid entity's pose is known without looking, and is not corrected."""

    trajectory: Trajectory
    bases: dict[str, Basis]
    coefficients: dict[str, F64]
    shifts: dict[str, F64] = field(default_factory=dict)
    turns: dict[str, F64] = field(default_factory=dict)
    commanded: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @classmethod
    def start(cls, model: Model, trajectory: Trajectory, *, nodes: int) -> Motion:
        """No correction yet."""
        t = len(trajectory)
        soft = [e for e in model.scene.entities if e.name not in trajectory.bodies]
        bases = {e.name: Basis.spread(trajectory.positions[0][e.particles], nodes=nodes) for e in soft}
        return cls(
            trajectory, bases, {n: np.zeros((t, b.size, 3)) for n, b in bases.items()},
            {n: np.zeros((t, 3)) for n in trajectory.bodies}, {n: np.zeros((t, 3)) for n in trajectory.bodies},
            {n: commanded(trajectory, n) for n in trajectory.bodies},
        )  # fmt: skip

    def body(self, name: str, t: int) -> F64:
        """The corrected row (13,) of a rigid entity."""
        from scipy.spatial.transform import Rotation

        row = self.trajectory.bodies[name][t].copy()
        if self.turns[name][t].any():
            turn = Rotation.from_rotvec(self.turns[name][t])
            turned = (turn * Rotation.from_quat(row[[4, 5, 6, 3]])).as_quat()
            row[3:7] = turned[[3, 0, 1, 2]]
        row[:3] += self.shifts[name][t]
        return np.asarray(row)

    def positions(self, model: Model, t: int) -> F32:
        """All particles [m] (J, 3) in frame t; exactly the prediction where nothing was corrected."""
        scene = model.scene
        out = self.trajectory.positions[t].copy()
        for name, basis in self.bases.items():
            if self.coefficients[name][t].any():
                out[scene.entity(name).particles] += (basis.values @ self.coefficients[name][t]).astype(np.float32)
        for name in self.shifts:
            if self.shifts[name][t].any() or self.turns[name][t].any():
                e, row = scene.entity(name), self.body(name, t)
                turn = quats_to_rotations(row[3:7])
                out[e.particles] = (scene.rest[e.particles] - e.origin) @ turn.T + row[:3]
        return np.asarray(out)

    def without(self, names: Iterable[str]) -> Motion:
        """The same, but these entities move as predicted."""
        gone = set(names)

        def kept(of: dict[str, F64]) -> dict[str, F64]:
            return {n: np.zeros_like(x) if n in gone else x.copy() for n, x in of.items()}

        return replace(
            self, coefficients=kept(self.coefficients), shifts=kept(self.shifts), turns=kept(self.turns)
        )  # fmt: skip

    def rotations(self, t: int) -> dict[str, F64]:
        """Of rigid entities, (3, 3)."""
        return {n: np.asarray(quats_to_rotations(self.body(n, t)[3:7])) for n in self.shifts}


def commanded(trajectory: Trajectory, name: str) -> NDArray[np.bool_]:
    """Frames (T,) in which a tool action says where the entity is, whatever came before: between the first and the last
    instant of a path in the world's frame. A robot knows where its tool is; of a smooth tool's turn a camera sees
    little, and takes light that lies on it for a turn."""
    out = np.zeros(len(trajectory), bool)
    for a in trajectory.actions:
        if isinstance(a, Tool) and a.entity == name and not a.relative:
            out |= (trajectory.times >= a.start + a.times[0] - 1e-9) & (trajectory.times <= a.end + 1e-9)
    return out
