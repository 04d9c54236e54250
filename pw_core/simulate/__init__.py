"""Physics behind a small interface: build once, then reset, step, read and write the whole physical state."""

from pw_core.simulate.settings import SimulationSettings, choose_settings
from pw_core.simulate.simulation import Simulation

__all__ = ["Simulation", "SimulationSettings", "choose_settings"]
