"""The real World with a simulator that drifts instead of Genesis and a reconstruction that is a ball: fast, no kernels.

An action's name steers the stand-in: "slow compile" builds for 2 s, "very slow compile" for 8 s; "slow" takes 50 ms a
frame, "very slow" 0.5 s.
"""

from __future__ import annotations

import time
from dataclasses import replace
from unittest import mock

import numpy as np

from pw_core.calibrate.gauss_newton import Estimate
from pw_core.errors import ErrorCode, RolloutError
from pw_core.refine.targets.registry import provide
from pw_core.refine.targets.types import TargetRequest
from pw_core.refine.types import Correction, RefineStep
from pw_core.scene import PhysicsState
from pw_core.world import World
from support.ball_scene import ball_scene
from support.full_disk import full_disk
from support.sliding import Sliding

COMPILE_S = {"slow compile": 2.0, "very slow compile": 8.0}


class Drift:
    """Carries every particle along y at 1 m/s while there are actions."""

    def reset(self, physics, *, time_s=0.0):
        self.physics, self.time = physics, time_s

    def set_actions(self, actions):
        names = {a.name for a in actions}
        if any(getattr(a, "radius", 0) and a.radius < 0.01 for a in actions):
            raise RolloutError("radius 0.001 m is under two cells", code=ErrorCode.INVALID_ACTION)
        self.speed, self.pause = float(bool(actions)), 0.5 if "very slow" in names else 0.05 if "slow" in names else 0.0

    def advance_to(self, t):
        time.sleep(self.pause)
        p = self.physics.particles
        step = np.array([0, self.speed * (t - self.time), 0], np.float32)
        moved = type(p)(**{**p.arrays(), "positions": p.positions + step})
        self.physics, self.time = PhysicsState(moved, self.physics.bodies), t

    def check(self):
        pass

    def read(self):
        return self.physics


class Moved:
    """In place of a Refinement: asks the provider, then moves matter 1 cm up. Prompt "slow": 50 ms a step."""

    def __init__(self, scene, trajectory, start, end, *, provider, cameras, config, progress, **_):
        self.scene, self.trajectory, self.start, self.end = scene, trajectory, start, end
        self.provider, self.cameras, self.config, self.progress = provider, cameras, config, progress
        self.correction, self.seen = None, False

    def finish_now(self):
        if self.seen:
            p = self.end.physics.particles
            up = type(p)(**{**p.arrays(), "positions": p.positions + np.float32([0, 0, 0.01])})
            appearance = self.scene.initial_appearance()
            self.correction = Correction(
                PhysicsState(up, self.end.physics.bodies), replace(appearance, sh=-appearance.sh),
                self.trajectory.positions + 0,
                self.trajectory.bodies, {"wind_x": 1.0}, (Estimate("wind_x", 0.0, 1.0, 0.25, True),),
                {"psnr_before": 20.0, "psnr_after": 30.0, "moved_mean_m": 0.01, "moved_max_m": 0.01}, {},
            )  # fmt: skip

    def run(self):
        shape = (len(self.cameras), len(self.trajectory), self.cameras[0].height, self.cameras[0].width)
        request = TargetRequest(
            times=self.trajectory.times, cameras=self.cameras, frames=np.zeros((*shape, 3), np.uint8),
            flow=np.zeros((shape[0], shape[1] - 1, *shape[2:], 2), np.float32), masks=np.zeros(shape, np.int32),
            prompt="", strengths=(0.5,) * shape[0], seed=0, stage="all views",
        )  # fmt: skip
        provide(self.provider, request, progress=self.progress)
        self.seen = True
        count = self.config.iterations
        for k in range(count):
            time.sleep(0.05 if self.config.prompt == "slow" else 0)
            yield RefineStep("all views", k + 1, count, (k + 1) / count, 1 / (k + 1), 20.0 + k, 1.0)
        self.finish_now()


class FakeWorld(World):
    def reconstruct(self, config, inputs=None, *, replace=False, progress=None):
        self.store.check_free(config.name, replace=replace)
        steps = 40 if config.title == "slow" else 2
        for k in range(steps):
            if progress is not None:
                progress("fit", k / steps)
            time.sleep(0.05)
        return self.adopt(ball_scene().with_id(config.name), replace=replace)

    def rollout(self, actions, duration, **options):
        self._compile_s = max((COMPILE_S.get(a.name, 0.0) for a in actions), default=0.0)
        return super().rollout(actions, duration, **options)

    def refine(self, provider, **options):
        with mock.patch("pw_core.refine.refinement.Refinement", Moved):
            return super().refine(provider, **options)

    def _build(self, progress, parameters):
        if progress is not None:
            progress("compiling", 0.0)
        time.sleep(self._compile_s)
        return Drift()


class SlidingWorld(FakeWorld):
    """Bodies slide over the table under pushes. Candidates whose first action is named "slow" take 50 ms a frame."""

    def _build(self, progress, parameters):
        if self._simulation is None:
            self._simulation = SlowSliding(self.scene)
        self._simulation.set_constants(parameters)
        return self._simulation


class SlowSliding(Sliding):
    def advance_to(self, time_s):
        time.sleep(0.05 if self.actions and self.actions[0].name == "slow" else 0)
        super().advance_to(time_s)


class PhotoWorld(World):
    """The real reconstruction with the stand-in simulator, and a disk that is full while `<store>/full` is there."""

    def _build(self, progress, parameters):
        return Drift()

    def commit(self, state_id):
        if not (self.store.root / "full").exists():
            return super().commit(state_id)
        with full_disk(20_000):  # in the middle of a state's file
            return super().commit(state_id)
