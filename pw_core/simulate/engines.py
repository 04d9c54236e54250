"""Which engine a scene gets: Genesis, the reference, or this project's own kernels."""

from __future__ import annotations

from typing import Literal

from pw_core.scene import Scene
from pw_core.simulate.engine import Engine
from pw_core.simulate.settings import SimulationSettings

EngineName = Literal["genesis", "fast"]


def make_engine(name: EngineName, scene: Scene, settings: SimulationSettings, *, device: str) -> Engine:
    """The engine of that name with the scene's entities in it, compiled or not.

    Raises:
        RolloutError: there is no such device, or Genesis already runs on another one.
    """
    if name == "fast":
        from pw_core.simulate.fast.engine import FastEngine

        return FastEngine(scene, settings)
    from pw_core.simulate.genesis_engine import GenesisEngine

    return GenesisEngine(scene, settings, device=device)


def engine_for(scene: Scene, wanted: EngineName, *, device: str) -> tuple[EngineName, str]:
    """The engine that a scene gets, and why it is not the wanted one; empty where it is."""
    if wanted == "fast" and device != "cpu":
        return "genesis", f"the fast engine runs on the CPU only, and this world on '{device}': Genesis takes over"
    return wanted, ""
