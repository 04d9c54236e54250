"""Constants are fitted to a corrected motion, from what is not chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.calibrate.gauss_newton import Fit
from pw_core.errors import PWError, RolloutError
from pw_core.scene import Body, PhysicsState, State
from pw_core.tree import ROOT
from support.spotted import FRAMES, TIMES, WindOnly, still


def fit_of(simulation, scene, names: list[str]) -> Fit:
    start = State(ROOT, "", 0.0, scene.initial_physics())
    return Fit(simulation, scene, start, still(scene), start.physics, names=names, parameters={})


def test_wind_that_nobody_told_of_is_found(spotted) -> None:
    scene, _ = spotted
    goal = np.stack([scene.rest + np.float32([0, 1.5 * t**2 / 2, 0]) for t in TIMES])
    fit = fit_of(WindOnly(), scene, ["wind_x", "wind_y"])
    everywhere = np.arange(len(scene.rest))
    assert list(fit.improve(goal, everywhere)) == [1, 2, 3]
    assert fit.parameters["wind_y"] == pytest.approx(1.5, abs=0.1) and abs(fit.parameters["wind_x"]) < 0.1
    assert fit.estimates()[1].error > 0
    assert np.abs(fit.trajectory.positions - goal).max() < 0.01
    nearer = fit.parameters["wind_y"]
    list(fit.improve(goal, everywhere))
    assert fit.parameters["wind_y"] == pytest.approx(nearer, abs=0.05)


def test_constants_that_do_not_run_are_an_error_and_not_a_guess(spotted) -> None:
    class Broken(WindOnly):
        def check(self) -> None:
            raise RolloutError("left the domain")

    scene, _ = spotted
    goal = np.repeat(scene.rest[None], FRAMES, 0)
    fit = fit_of(Broken(), scene, ["wind_x"])
    with pytest.raises(PWError, match="does not get through"):
        list(fit.improve(goal, np.arange(len(scene.rest))))


def test_what_hangs_on_chance_does_not_tell_constants(spotted) -> None:
    """From the middle on, the least that a body's start is off throws everything to the other side: the wind must come
    from what happened before."""

    class Chancy(WindOnly):
        def read(self) -> PhysicsState:
            state = super().read()
            aside = 0.03 if self.t > TIMES[-1] / 2 else 0.0
            if not np.array_equal(self.start.bodies["die"].position, die.position):
                aside = -aside
            p = state.particles
            return PhysicsState(replace(p, positions=p.positions + np.float32([0, aside, 0])), self.start.bodies)

    scene, _ = spotted
    die = Body.at_rest(np.array([0.3, 0.3, 0.1]))
    physics = replace(scene.initial_physics(), bodies={"die": die})
    start = State(ROOT, "", 0.0, physics)
    late = TIMES[-1] / 2 < TIMES
    unmoved = replace(still(scene), positions=still(scene).positions + np.float32([0, 0.03, 0]) * late[:, None, None])
    rows = np.tile(np.concatenate([die.position, die.orientation, np.zeros(6)]), (FRAMES, 1))
    unmoved = replace(unmoved, bodies={"die": rows})
    goal = np.stack([scene.rest + np.float32([0, 3 * t**2 / 2, 0]) for t in TIMES])
    goal -= np.float32([0, 0.03, 0]) * late[:, None, None]
    fit = Fit(Chancy(), scene, start, unmoved, physics, names=["wind_y"], parameters={})
    list(fit.improve(goal, np.arange(len(scene.rest))))
    assert fit.parameters["wind_y"] > 1.5
