"""What the kernels read, without a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pw_core.actions import parse_action
from pw_core.errors import RolloutError
from pw_core.simulate.actions import Schedule
from pw_core.simulate.fast_cuda import bodies, tables
from pw_core.simulate.materials import lame
from pw_core.simulate.settings import choose_settings
from support.ball_scene import ball_scene


@pytest.fixture(scope="module")
def scene():
    return ball_scene("plastic")


def push(**fields):
    return parse_action({"type": "push", "duration": 0.1, "center": [0.6, 0, 0.05], "direction": [1, 0, 0],
                         "radius": 0.05, "magnitude": 3, **fields})  # fmt: skip


def test_domain_is_that_of_genesis(scene):
    settings = choose_settings(scene)
    domain = tables.Domain.of(settings)
    assert domain.step_s == pytest.approx(settings.step_s)
    np.testing.assert_allclose(np.array(domain.lowest) * domain.cell_m, settings.lower, atol=1e-9)
    highest = np.array(domain.lowest) + domain.nodes - 1
    np.testing.assert_allclose(highest * domain.cell_m, settings.upper, atol=1e-9)
    np.testing.assert_allclose(domain.low_wall, settings.lower + 3 * settings.cell_m)


def test_constants_are_an_entitys(scene):
    settings = choose_settings(scene)
    (row,) = tables.constants(scene, settings)
    entity = scene.entities[0]
    assert row[tables.MODEL] == tables.MODELS["plastic"]
    share = row[1] / lame(entity.material)[0]
    assert row[tables.MASS] * 300 == pytest.approx(entity.mass_kg, rel=1e-5)
    assert share * settings.particle_size_m**3 * 300 == pytest.approx(entity.volume_m3, rel=1e-5)


def test_masses_are_whole_numbers_of_units(scene):
    domain = tables.Domain.of(choose_settings(scene))
    rows = np.zeros((3, 2, tables.ROW_SIZE), np.float32)
    rows[..., tables.MASS] = [[1.3e-4, 1e-4], [2e-3, 1e-5], [7e-8, 7e-8]]
    units, exact = tables.units(rows, 0.5, domain)
    whole = exact[..., tables.MASS].astype(np.float64) * units[:, :1]
    assert np.array_equal(whole, np.rint(whole)) and whole.max() <= 2**22 and whole.max(1).min() >= 2**21
    np.testing.assert_allclose(exact, rows, rtol=1e-4)
    assert (np.log2(units[:, :2]) % 1 == 0).all() and (units[:, 2] == 0.5).all()
    alone = tables.units(rows[1:2], 0.5, domain)
    assert np.array_equal(alone[0][0], units[1]) and np.array_equal(alone[1][0], exact[1])


def test_schedule_says_what_actions_say(scene):
    gravity = parse_action({"type": "gravity", "duration": 0.3, "start": 0.1, "direction": [0, 1, 0], "magnitude": 2})
    poke = parse_action({"type": "poke", "entity": "ball", "duration": 0.02, "center": [0.6, 0, 0.1],
                         "direction": [0, 0, -2], "radius": 0.05, "magnitude": 5, "falloff": "gaussian"})  # fmt: skip
    table = tables.schedule([gravity, push(), poke], scene, gravity=9.81, wind=np.array([0.5, 0, 0]), length=6)
    assert table.shape == (6, tables.ACTION_SIZE) and not table[4:].any()
    np.testing.assert_allclose(table[0, :3], [0.5, 0, -9.81])
    np.testing.assert_allclose(table[1, :3], [0, 2, 9.81])
    np.testing.assert_allclose(table[2, :13], [3, 0, 0, 0.6, 0, 0.05, 0.05, 0, 0, 0.1, tables.STEADY, tables.ALL, 1])
    np.testing.assert_allclose(
        table[3, :13], [0, 0, -5, 0.6, 0, 0.1, 0.05, 2, 0, 0.02, tables.HALF_SINE, 0, 1], atol=1e-12
    )


def test_reference_shares_a_push_like_the_schedule(scene):
    from support import mpm_reference

    entity = np.zeros(300, np.int32)
    rows = tables.constants(scene, choose_settings(scene))
    masses = np.full(300, rows[0, tables.MASS], np.float64)
    ours = Schedule([push()], scene, gravity=9.81, masses=masses, entity_ids=scene.entity_ids)
    wanted = ours.active(0.0, 0.002, scene.rest)[1].acceleration
    table = tables.schedule([push()], scene, gravity=9.81)
    state = SimpleNamespace(positions=scene.rest.astype(np.float64))
    slots = mpm_reference.begin(vars(state), rows.astype(np.float64), entity, table, 0.0, 0.002)
    np.testing.assert_allclose(slots[1][:3], wanted, rtol=1e-6)


def test_tools_have_a_table_of_their_own(scene):
    poses = [{"position": [0, 0, 0.1]}, {"position": [0, 0, 0.05]}]
    tool = parse_action({"type": "tool", "entity": "pin", "start": 0.2, "duration": 1, "times": [0, 1], "poses": poses})
    assert len(tables.schedule([tool, push()], scene, gravity=9.81)) == 2
    assert bodies.room_for([[tool, tool], [push()]]) == (2, 2)
    rows, keys = bodies.tool_rows([push(), tool], ["cup", "pin"], tools=2, keys=3)
    np.testing.assert_allclose(rows[0, :6], [1, 0.2, 1.2, 0, 2, 0])
    assert rows[1, 0] == -1
    np.testing.assert_allclose(keys[0, 1], [1, 0, 0, 0.05, 1, 0, 0, 0])


def test_more_actions_than_rows_are_refused(scene):
    with pytest.raises(RolloutError, match="3 actions, and a table of 3 rows holds at most 2"):
        tables.schedule([push()] * 3, scene, gravity=9.81, length=3)
