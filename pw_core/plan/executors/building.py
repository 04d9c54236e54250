"""The simulation that candidates run on, wherever they run: built alike, or the bits would differ."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pw_core.calibrate.constants import ConstantsOptions
from pw_core.plan.executors.serial import Serial
from pw_core.plan.executors.types import Executor
from pw_core.progress import Progress
from pw_core.scene import Scene
from pw_core.simulate.engines import on_gpu
from pw_core.simulate.settings import choose_settings

if TYPE_CHECKING:
    from pw_core.simulate import Simulation


def headroom(scene: Scene) -> float:
    """How many times stiffer and more viscous the scene's refinements may make things."""
    return ConstantsOptions().headroom if scene.config.refine.estimate else 1.0


def build_simulation(scene: Scene, *, device: str = "cpu", progress: Progress | None = None) -> Simulation:
    """With a substep that leaves room for the constants that the scene's refinements may estimate.

    Raises:
        RolloutError (UNSTABLE): the configured substep is above the limit.
    """
    from pw_core.simulate import Simulation

    return Simulation.build(scene, device=device, headroom=headroom(scene), progress=progress)


def all_at_once(scene: Scene, *, device: str) -> Executor | None:
    """What runs that scene's candidates together in one launch; None where the device or its engine cannot."""
    if not on_gpu(scene, scene.config.simulation.engine, device=device):
        return None
    from pw_core.plan.executors.together import Together

    return Together(lambda scene: choose_settings(scene, headroom=headroom(scene)))


def in_process(scene: Scene, *, device: str = "cpu") -> Executor:
    """An executor of this process for that scene, on "cpu" or "cuda"."""
    if (together := all_at_once(scene, device=device)) is not None:
        return together
    return Serial(partial(with_constants, build_simulation(scene, device=device)))


def with_constants(simulation: Simulation, constants: dict[str, float]) -> Simulation:
    """The simulation, with these constants set."""
    simulation.set_constants(constants)
    return simulation
