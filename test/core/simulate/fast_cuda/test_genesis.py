"""The same state, constants and actions through Genesis and through the CUDA engine's source on a CPU."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from pw_core.simulate.fast_cuda import tables
from support import mpm_host
from support.ball_scene import ball_scene

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("model", tables.MODELS)
def test_state_after_twelve_milliseconds(model, tmp_path):
    from pw_core.simulate import Simulation

    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    scene = ball_scene(model, count=600)
    simulation = Simulation.build(scene, engine="genesis")
    physics = scene.initial_physics()
    rng = np.random.default_rng(0)
    physics.particles.velocities[:] = [0.4, -0.2, -1.5] + 0.1 * rng.normal(size=(600, 3))
    simulation.reset(physics)
    domain = tables.Domain.of(simulation.settings)
    index, entity = tables.particle_entities(scene)
    state = {k: v[index] for k, v in physics.particles.arrays().items()}
    table = tables.schedule([], scene, gravity=scene.config.simulation.gravity_m_s2)
    steps = 6
    got, fault = mpm_host.advance(
        mpm_host.build(tmp_path, compiler), state, tables.constants(scene, simulation.settings), entity, table[:, :8],
        scene.config.simulation.floor_friction, domain, steps * domain.substeps,
    )  # fmt: skip
    assert fault == 0
    for _ in range(steps):
        simulation.step()
    wanted = {k: v[index] for k, v in simulation.read().particles.arrays().items()}
    moved = np.linalg.norm(wanted["positions"] - state["positions"], axis=1)
    apart = np.linalg.norm(got["positions"] - wanted["positions"], axis=1)
    assert moved.mean() > 0.01
    assert apart.mean() < 1e-3 * simulation.settings.particle_size_m
    for name in ("velocities", "C", "F", "Jp"):
        assert np.linalg.norm(got[name] - wanted[name]) < 5e-3 * np.linalg.norm(wanted[name]), name
