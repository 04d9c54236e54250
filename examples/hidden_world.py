"""A world that nobody sees into: it plays reality for the examples. It is softer, more slippery and windier than ours
believes, it only ever acts and is filmed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action
from pw_core.appearance import Appearance
from pw_core.gaussians import Camera
from pw_core.plan.executors.building import build_simulation
from pw_core.refine.targets.observed import CameraFilm
from pw_core.rollout import begin
from pw_core.scene import PhysicsState, Scene, State, Trajectory

NOISE = 3.0
"""Of a camera, in grey values."""


def hidden_constants(scene: Scene, *, seed: int) -> dict[str, float]:
    """Its constants, by the names of `pw_core.calibrate.constants`."""
    rng = np.random.default_rng(seed)
    out = {"floor_friction": scene.config.simulation.floor_friction * rng.uniform(0.6, 0.8)}
    for e in scene.entities:
        if e.material.model == "plastic":
            out[f"{e.name}.yield_stress_pa"] = e.material.yield_stress_pa * rng.uniform(0.5, 0.7)
        if e.material.model in ("elastic", "plastic", "snow"):
            out[f"{e.name}.youngs_modulus_pa"] = e.material.youngs_modulus_pa * rng.uniform(0.5, 0.8)
        if e.material.model == "liquid":
            out[f"{e.name}.viscosity_pa_s"] = e.material.viscosity_pa_s * rng.uniform(0.5, 0.8)
    angle = rng.uniform(0, 2 * np.pi)
    return out | {"wind_x": float(np.cos(angle)), "wind_y": float(np.sin(angle))}


class HiddenWorld:
    """Starts as the scene does, and goes on from act to act."""

    def __init__(self, scene: Scene, *, seed: int = 0) -> None:
        self.scene, self.constants = scene, hidden_constants(scene, seed=seed)
        self._simulation = build_simulation(scene)
        self._simulation.set_constants(self.constants)
        self._appearance = Appearance(scene)
        self._rng = np.random.default_rng(seed)
        self.now: PhysicsState = scene.initial_physics()

    def act(self, actions: Sequence[Action], duration: float, *, frame_interval: float) -> Trajectory:
        """What really happens."""
        rollout = begin(
            self.scene, State("hidden", "", 0.0, self.now), actions, duration, simulation=lambda: self._simulation,
            keep=lambda *_: None, frame_interval=frame_interval,
        )  # fmt: skip
        self._frames = list(rollout)
        self.now = rollout.end.physics
        return rollout.trajectory

    def film(self, camera: Camera) -> list[NDArray[np.uint8]]:
        """What a camera saw of the last act, with its noise."""
        pictures = []
        for frame in self._frames:
            clean = self._appearance.render(camera, frame.physics).rgb.astype(np.float32)
            noisy = clean + self._rng.normal(0, NOISE, clean.shape)
            pictures.append(np.clip(noisy, 0, 255).astype(np.uint8))
        return pictures

    def films(self, cameras: Sequence[Camera], trajectory: Trajectory) -> list[CameraFilm]:
        """The same of several, as a refinement takes them."""
        return [CameraFilm(c, trajectory.times, np.stack(self.film(c))) for c in cameras]
