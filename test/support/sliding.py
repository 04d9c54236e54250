"""A simulation that needs no engine: bodies slide over a table with friction, as a whole."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from pw_core.errors import ErrorCode, RolloutError
from pw_core.plan.executors.serial import Serial
from pw_core.scene import PhysicsState, Scene


class Sliding:
    """Pushes and pokes with a direction accelerate every entity that they reach; friction stops it."""

    step_s = 0.005

    def __init__(self, scene: Scene, *, friction: float = 0.3) -> None:
        self.scene, self.friction = scene, friction
        self.steps = 0
        self.resets = 0

    def set_constants(self, constants: dict[str, float]) -> None:
        self.friction = constants.get("floor_friction", 0.3)

    def reset(self, physics: PhysicsState, *, time_s: float = 0.0) -> None:
        self.positions = physics.particles.positions.astype(np.float64)
        self.velocities = physics.particles.velocities.astype(np.float64)
        self.physics, self.time_s, self.resets = physics, time_s, self.resets + 1
        self.actions = ()

    def set_actions(self, actions) -> None:
        self.actions = tuple(actions)

    def advance_to(self, time_s: float) -> None:
        while self.time_s < time_s - 0.5 * self.step_s:
            for e in self.scene.entities:
                own, force = e.particles, np.zeros(3)
                for a in self.actions:
                    near = np.linalg.norm(self.positions[own] - np.array(a.center), axis=1) < a.radius
                    if a.start <= self.time_s < a.end and near.any() and a.entity in ("", e.name):
                        force += np.array(a.unit) * a.magnitude
                velocity = self.velocities[own].mean(0) + force / e.mass_kg * self.step_s
                speed = np.linalg.norm(velocity)
                velocity *= max(0.0, 1 - self.friction * 9.81 * self.step_s / speed) if speed > 0 else 0.0
                velocity[2] = 0
                self.positions[own] += velocity * self.step_s
                self.velocities[own] = velocity
            self.time_s += self.step_s
            self.steps += 1

    def check(self) -> None:
        if np.abs(self.positions[:, :2]).max() > 1.5:
            raise RolloutError("particles left the domain", code=ErrorCode.OUT_OF_BOUNDS)

    def read(self) -> PhysicsState:
        arrays = {"positions": self.positions.astype(np.float32), "velocities": self.velocities.astype(np.float32)}
        return PhysicsState(replace(self.physics.particles, **arrays), self.physics.bodies)


class Mortal(Sliding):
    """Takes its process down when it is pushed with 66 N; with 67 N only the first time, which a file remembers."""

    def set_actions(self, actions) -> None:
        super().set_actions(actions)
        for a in self.actions:
            mark = Path(os.environ["PW_TEST_MORTAL"])
            if a.magnitude == 66 or (a.magnitude == 67 and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)


class Slow(Mortal):
    """Takes a tenth of a second a candidate."""

    def reset(self, physics: PhysicsState, *, time_s: float = 0.0) -> None:
        time.sleep(0.1)
        super().reset(physics, time_s=time_s)


def on_ray(scene: Scene, *, device: str) -> Serial:
    """What an actor runs candidates on."""
    made = Slow(scene)

    def simulation(constants: dict[str, float]) -> Slow:
        made.set_constants(constants)
        return made

    return Serial(simulation)


class TellsThreads(Sliding):
    """Says in its error what an engine would take its number of threads from."""

    def check(self) -> None:
        raise RolloutError(f"threads: {os.environ.get('OMP_NUM_THREADS')}")
