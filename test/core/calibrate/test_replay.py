"""A trajectory once more, under other constants."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.calibrate.replay import replay
from pw_core.scene import State
from pw_core.tree import ROOT
from support.spotted import TIMES, WindOnly, still


def test_a_replay_has_the_times_and_ids_and_the_motion_of_the_new_constants(spotted) -> None:
    scene, _ = spotted
    simulation, start = WindOnly(), State(ROOT, "", 0.0, scene.initial_physics())
    again, end = replay(simulation, start, still(scene), {"wind_y": 2.0})
    assert simulation.constants == {"wind_y": 2.0}
    assert (again.id, again.end) == ("t-still", "s-still") and np.array_equal(again.times, TIMES)
    moved = again.positions - scene.rest
    assert moved[-1, :, 1] == pytest.approx(0.5 * 2 * TIMES[-1] ** 2, abs=1e-5) and not moved[0].any()
    assert np.array_equal(end.particles.positions, again.positions[-1])
