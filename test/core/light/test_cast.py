"""Shadows cast on the table from particles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.light.cast import Caster
from pw_core.light.occlusion import Shade
from support.lit import light, lit_scene


def at(shade: Shade, x: float, y: float) -> float:
    row, column = np.rint(np.array([x, y]) / 0.002).astype(int) - shade.first
    return float(shade.kept[row, column, 0])


@pytest.fixture
def caster() -> Caster:
    scene = lit_scene()
    assert scene.light is not None
    return Caster(scene.rest, scene.entities, scene.light)


def test_a_lamp_on_the_left_throws_the_shadow_to_the_right(caster: Caster) -> None:
    x, y, _ = caster.rest.mean(0)
    radius = float(np.ptp(caster.rest[:, 1])) / 2
    shade = caster.shade(caster.rest)
    assert at(shade, x, y - 1.8 * radius) < at(shade, x, y + 1.8 * radius) - 0.1
    assert shade.kept.max() <= 1 and at(shade, x, y) < 0.5


def test_the_shadow_slides_with_the_thing(caster: Caster) -> None:
    away = np.float32([0.008, -0.012, 0])  # whole cells
    here, there = caster.shade(caster.rest), caster.shade(caster.rest + away)
    assert np.array_equal(there.first - here.first, [4, -6])
    rows, columns = np.minimum(here.kept.shape[:2], there.kept.shape[:2])
    assert np.abs(here.kept[:rows, :columns] - there.kept[:rows, :columns])[8:-8, 8:-8].max() < 0.02


def test_lifted_off_the_table_its_contact_shadow_fades(caster: Caster) -> None:
    x, y, _ = caster.rest.mean(0)
    lifted = caster.shade(caster.rest + np.float32([0, 0, 0.05]))
    assert at(lifted, x, y) > at(caster.shade(caster.rest), x, y) + 0.2


def test_what_the_photo_showed_goes_with_the_thing_and_stays_behind_when_it_is_lifted() -> None:
    scene = lit_scene()
    plain, dark = (Caster(scene.rest, scene.entities, light(observed=o)) for o in (0.0, np.log(0.5)))
    x, y, _ = scene.rest.mean(0)
    for move, share in (((0, 0, 0), 0.5), ((0.02, 0.01, 0), 0.5), ((0, 0, 0.1), 1.0)):
        now = scene.rest + np.float32(move)
        ratio = at(dark.shade(now), x + move[0], y + move[1]) / at(plain.shade(now), x + move[0], y + move[1])
        assert ratio == pytest.approx(share, abs=0.03)


def test_one_crumb_far_away_does_not_take_the_shadows_along(caster: Caster) -> None:
    x, y, _ = caster.rest.mean(0)
    now = caster.rest.copy()
    now[0] += np.float32([0.9, -0.6, 0])
    assert at(caster.shade(now), x, y) == pytest.approx(at(caster.shade(caster.rest), x, y), abs=0.03)


def test_both_of_two_things_far_apart_have_shadows() -> None:
    scene = lit_scene()
    (one,), count, away = scene.entities, len(scene.rest), np.float32([0.0, 0.6, 0.0])
    other = replace(one, name="other", particles=slice(count, 2 * count))
    assert scene.light is not None
    both = replace(scene.light, observed=np.concatenate([scene.light.observed] * 2))
    rest = np.concatenate([scene.rest, scene.rest + away])
    shade = Caster(rest, [one, other], both).shade(rest)
    x, y, _ = scene.rest.mean(0)
    alone = at(Caster(scene.rest, [one], scene.light).shade(scene.rest), x, y)
    assert at(shade, x, y) == pytest.approx(alone, abs=0.05)
    assert at(shade, x, y + 0.6) == pytest.approx(alone, abs=0.05)


def test_turned_where_it_stands_only_what_the_photo_showed_at_its_foot_turns_with_it() -> None:
    scene = lit_scene()
    lit, (x, y, _) = light(), scene.rest.mean(0)
    reach = int(np.ptp(scene.rest[:, 0]) / lit.step_m)
    middle = np.floor(np.array([x, y]) / lit.step_m).astype(np.int64)
    patch = np.zeros((1, 4 * reach + 1, 4 * reach + 1, 3), np.float32)
    row = 2 * reach + 6 * reach // 5  # further away in x: not at its foot
    patch[0, row - 3 : row + 4, 2 * reach - 3 : 2 * reach + 4] = np.log(0.5)
    dark = replace(lit, observed=patch, first=middle - 2 * reach)
    plain, marked = (Caster(scene.rest, scene.entities, a) for a in (lit, dark))
    centre = np.array([x, y, 0], np.float32)
    turned = (scene.rest - centre) @ np.float32([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) + centre
    far = (6 * reach // 5) * lit.step_m
    for now in (scene.rest, turned):
        ratio = at(marked.shade(now), x + far, y) / at(plain.shade(now), x + far, y)
        assert ratio == pytest.approx(0.5, abs=0.1)
        assert at(marked.shade(now), x, y + far) == pytest.approx(at(plain.shade(now), x, y + far), abs=0.05)


@pytest.mark.parametrize("block", [False, True])
def test_turned_where_it_stands_a_round_thing_s_foot_looks_as_it_did_and_a_block_s_does_not(block: bool) -> None:
    scene = lit_scene()
    lit, side = light(), np.linspace(-0.03, 0.03, 14)
    cube = np.stack(np.meshgrid(side, side, side + 0.03, indexing="ij"), -1).reshape(-1, 3)
    own = cube * [1.6, 1, 1] if block else cube[np.hypot(cube[:, 0], cube[:, 1]) < 0.031]
    rest = (own + np.array([*scene.rest.mean(0)[:2], 0])).astype(np.float32)
    (entity,) = (replace(e, particles=slice(0, len(rest))) for e in scene.entities)
    x, y, _ = rest.mean(0)
    middle = np.floor(np.array([x, y]) / lit.step_m).astype(np.int64)
    patch = np.zeros((1, 41, 41, 3), np.float32)
    patch[0, 28:33, 18:23] = np.log(0.5)  # 2 cm further away in x, under the thing
    dark = replace(lit, observed=patch, first=middle - 20)
    plain, marked = (Caster(rest, [entity], a) for a in (lit, dark))
    centre = np.array([x, y, 0], np.float32)
    turned = (rest - centre) @ np.float32([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) + centre
    stays, turns = (
        at(marked.shade(turned), *place) / at(plain.shade(turned), *place) for place in ((x + 0.02, y), (x, y + 0.02))
    )
    wanted = (1.0, 0.5) if block else (0.5, 1.0)
    assert (stays, turns) == pytest.approx(wanted, abs=0.1)


def test_while_nothing_moves_shadows_are_not_cast_again(caster: Caster) -> None:
    now = caster.rest.copy()
    first = caster.shade(now)
    assert caster.shade(caster.rest) is first
    now[0] += 0.01
    assert caster.shade(now) is not first
