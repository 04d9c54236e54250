"""Which engine a scene gets: Genesis, the reference, or this project's own kernels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pw_core.errors import RolloutError
from pw_core.scene import Scene
from pw_core.simulate.engine import Runner
from pw_core.simulate.settings import SimulationSettings
from pw_core.simulate.stepping import Stepping

EngineName = Literal["genesis", "fast"]
OFF_CENTRE = 0.02
"""How far from a body's origin its centre of mass may lie, in its mesh's diagonals; reconstruction puts it there."""


def make_runner(name: EngineName, scene: Scene, settings: SimulationSettings, *, device: str) -> Runner:
    """The engine of that name with the scene's entities in it, compiled or not.

    Raises:
        RolloutError: there is no such device, or Genesis already runs on another one.
    """
    if name == "genesis":
        from pw_core.simulate.genesis_engine import GenesisEngine

        return Stepping(scene, settings, GenesisEngine(scene, settings, device=device))
    if device not in ("cpu", "cuda"):
        raise RolloutError(f"unknown device '{device}' for the simulator: use 'cpu' or 'cuda'")
    if on_gpu(scene, name, device=device):
        from pw_core.simulate.fast_cuda.worlds import CudaWorld

        return CudaWorld(scene, settings)
    from pw_core.simulate.fast.engine import FastEngine

    return Stepping(scene, settings, FastEngine(scene, settings))


def on_gpu(scene: Scene, wanted: EngineName, *, device: str) -> bool:
    """Whether the scene gets the fast engine's CUDA kernels; where nothing deforms, there is nothing for them."""
    fast = engine_for(scene, wanted, device=device)[0] == "fast"
    return fast and device == "cuda" and any(e.kind == "deformable" for e in scene.entities)


def engine_for(scene: Scene, wanted: EngineName, *, device: str) -> tuple[EngineName, str]:
    """The engine that a scene gets, and why it is not the wanted one; empty where it is."""
    if wanted == "fast" and device == "cuda":
        from pw_core.simulate.fast_cuda.bodies import MOST_BODIES

        bodies = sum(e.kind != "deformable" for e in scene.entities)
        if bodies > MOST_BODIES:
            return "genesis", (
                f"the fast engine takes {MOST_BODIES} rigid bodies at most on a GPU, and this scene has {bodies}: "
                "Genesis takes over"
            )
    if wanted == "fast" and device == "cuda" and (held := _held_or_hanging(scene)):
        return "genesis", f"{held}, which the fast engine does not know on a GPU: Genesis takes over"
    if wanted == "fast" and (why := _uncovered(scene)):
        return "genesis", f"{why}, and the fast engine turns bodies about their origins: Genesis takes over"
    return wanted, ""


def _held_or_hanging(scene: Scene) -> str:
    """What of a scene without a table, or with things that are held, its CUDA kernels do not know; empty: nothing."""
    if not scene.config.has_table:
        return "the scene has no table (ground: none)"
    fixed = [e.name for e in scene.config.entities if e.fixed != "no"]
    return f"'{fixed[0]}' is held in place (fixed)" if fixed else ""


def _uncovered(scene: Scene) -> str:
    """What of a scene the fast engine would do wrong; empty where there is nothing."""
    for entity in scene.entities:
        if entity.kind != "deformable" and len(entity.mesh.faces):
            import trimesh  # slow to load, and most scenes hold nothing rigid

            mesh = trimesh.Trimesh(entity.mesh.vertices - entity.origin, entity.mesh.faces, process=False)
            apart = float(np.linalg.norm(mesh.center_mass))
            if mesh.is_watertight and apart > OFF_CENTRE * mesh.scale:
                return f"body '{entity.name}' has its origin {1e3 * apart:.1f} mm from its centre of mass"
    return ""
