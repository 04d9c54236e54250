"""Parameters of a built simulation that change without another build, and states that come from elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.scene import PhysicsState


@pytest.fixture
def built(elastic):
    scene, simulation = elastic
    yield scene, simulation
    simulation.set_materials({"ball": scene.entities[0].material})
    simulation.set_floor_friction(scene.config.simulation.floor_friction)
    simulation.set_wind((0.0, 0.0, 0.0))


def run(simulation, physics, duration, *actions):
    simulation.reset(physics)
    simulation.set_actions([parse_action(a) for a in actions])
    simulation.advance_to(duration)
    return simulation.read()


def squash(simulation, physics):
    p = run(simulation, physics, 0.1).particles.positions
    return float(physics.particles.positions[:, 2].mean() - p[:, 2].mean())


def test_softer_sags_more_and_the_old_stiffness_comes_back_to_the_bit(built) -> None:
    scene, simulation = built
    start, material = scene.initial_physics(), scene.entities[0].material
    before = run(simulation, start, 0.06)
    usual = squash(simulation, start)
    simulation.set_materials({"ball": material.model_copy(update={"youngs_modulus_pa": 2e3})})
    assert squash(simulation, start) > 1.5 * usual
    assert simulation.scene.entities[0].material.youngs_modulus_pa == 2e3
    simulation.set_materials({"ball": material})
    after = run(simulation, start, 0.06)
    for key, value in before.particles.arrays().items():
        assert np.array_equal(value, after.particles.arrays()[key]), key


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("ball", {"youngs_modulus_pa": 1e7}, ErrorCode.UNSTABLE),
        ("ball", {"density_kg_m3": 500.0}, ErrorCode.INVALID_ACTION),
        ("ball", {"model": "liquid"}, ErrorCode.INVALID_ACTION),
        ("toast", {}, ErrorCode.UNKNOWN_ENTITY),
    ],
)
def test_what_needs_another_build_is_refused(built, name, change, code) -> None:
    scene, simulation = built
    material = scene.entities[0].material
    with pytest.raises(RolloutError, match=name) as error:
        simulation.set_materials({name: material.model_copy(update=change)})
    assert error.value.code == code and simulation.scene.entities[0].material == material


def test_wind_and_floor_friction(built) -> None:
    scene, simulation = built
    start = scene.initial_physics()
    still = run(simulation, start, 0.1).particles.positions.mean(0)
    simulation.set_wind((0.0, 6.0, 0.0))
    blown = run(simulation, start, 0.1).particles.positions.mean(0)
    simulation.set_floor_friction(0.0)
    slid = run(simulation, start, 0.1).particles.positions.mean(0)
    assert slid[1] - still[1] == pytest.approx(0.5 * 6 * 0.1**2, rel=0.05)
    assert 0 < blown[1] - still[1] < 0.9 * (slid[1] - still[1])
    with pytest.raises(RolloutError, match="friction"):
        simulation.set_floor_friction(-1.0)
    with pytest.raises(RolloutError, match="wind"):
        simulation.set_wind((0.0, float("nan"), 0.0))


def test_constants_set_what_they_name_and_the_configs_for_the_rest(built) -> None:
    scene, simulation = built
    constants = {"ball.youngs_modulus_pa": 2e3, "wind_y": 1.0}
    simulation.set_constants(constants)
    assert simulation.constants == constants
    assert simulation.scene.entities[0].material.youngs_modulus_pa == 2e3
    for bad in ({"floor_friction": -1.0}, {"wind_x": float("inf")}, {"ball.youngs_modulus_pa": 1e7}):
        with pytest.raises(RolloutError):
            simulation.set_constants({"ball.youngs_modulus_pa": 3e3, **bad})
        assert simulation.constants == constants
        assert simulation.scene.entities[0].material.youngs_modulus_pa == 2e3
    simulation.set_constants({})
    assert simulation.scene.entities[0].material == scene.config.entity("ball").material


def test_any_finite_state_is_put_in_place_exactly(built) -> None:
    scene, simulation = built
    rng = np.random.default_rng(0)
    p = scene.initial_physics().particles
    noise = {k: rng.normal(size=v.shape).astype(np.float32) for k, v in p.arrays().items() if k != "active"}
    corrected = replace(
        p, positions=p.positions + 0.003 * noise["positions"], velocities=noise["velocities"], C=noise["C"],
        F=p.F + 0.1 * noise["F"], Jp=np.abs(noise["Jp"]) + np.float32(0.5),
    )  # fmt: skip
    simulation.reset(PhysicsState(corrected))
    for key, value in simulation.read().particles.arrays().items():
        assert np.array_equal(value, corrected.arrays()[key]), key


def test_a_state_that_cannot_be_is_refused(built) -> None:
    scene, simulation = built
    start = scene.initial_physics()
    p = start.particles
    low, high = simulation.settings.inside
    assert (low < p.positions.min(0)).all() and low[2] < simulation.settings.floor_m == 0.0

    def changed(**arrays):
        return PhysicsState(replace(p, **arrays))

    outside, inverted, endless = p.positions.copy(), p.F.copy(), p.velocities.copy()
    outside[7, 0], inverted[3], endless[2, 1] = high[0] + 0.01, np.diag([1, 1, -1]), np.inf
    for state, code, words in (
        (changed(positions=outside), ErrorCode.OUT_OF_BOUNDS, "'ball' at the start.*1 particles left the domain"),
        (changed(F=inverted), ErrorCode.UNSTABLE, "1 particles are turned inside out"),
        (changed(velocities=endless), ErrorCode.UNSTABLE, "velocities are not all finite"),
        (changed(Jp=p.Jp[:, None]), ErrorCode.ROLLOUT_UNKNOWN, "Jp have shape"),
    ):
        with pytest.raises(RolloutError, match=words) as error:
            simulation.reset(state)
        assert error.value.code == code


@pytest.mark.parametrize("model", ["snow", "liquid"])
def test_laws_keep_what_they_promise(build_ball, engine, model) -> None:
    from pw_core.simulate.materials import SNOW_COMPRESSION, SNOW_STRETCH

    scene, simulation = build_ball(model, engine, count=600)
    end = run(simulation, scene.initial_physics(), 0.3).particles
    values = np.linalg.svd(end.F.astype(np.float64), compute_uv=False)
    assert end.positions[:, 2].max() < 0.075  # it fell apart, from 0.1
    if model == "snow":
        assert values.min() > 1 - SNOW_COMPRESSION - 1e-4 and values.max() < 1 + SNOW_STRETCH + 1e-4
        assert np.ptp(end.Jp) > 0.01
    else:
        assert np.ptp(values, axis=1).max() < 1e-4 and np.abs(np.prod(values, 1) - 1).max() < 0.2
