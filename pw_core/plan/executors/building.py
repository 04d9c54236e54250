"""The simulation that candidates run on, wherever they run: built alike, or the bits would differ."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pw_core.calibrate.constants import ConstantsOptions
from pw_core.plan.executors.serial import Serial
from pw_core.plan.executors.types import Executor
from pw_core.progress import Progress
from pw_core.scene import Scene

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


def build_simulation(scene: Scene, *, device: str = "cpu", progress: Progress | None = None) -> Simulation:
    """With a substep that leaves room for the constants that the scene's refinements may estimate.

    Raises:
        RolloutError (UNSTABLE): the configured substep is above the limit.
    """
    from pw_core.simulate import Simulation

    headroom = ConstantsOptions().headroom if scene.config.refine.estimate else 1.0
    return Simulation.build(scene, device=device, headroom=headroom, progress=progress)


def in_process(scene: Scene, *, device: str = "cpu") -> Executor:
    """An executor of this process for that scene, on "cpu" or "cuda"."""
    return Serial(partial(with_constants, build_simulation(scene, device=device)))


def with_constants(simulation: Simulation, constants: dict[str, float]) -> Simulation:
    """The simulation, with these constants set."""
    simulation.set_constants(constants)
    return simulation
