"""From a corrected motion to a state that a simulator can go on with."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.refine.writeback import transfer_offsets, write_back, written_body, yielded
from support.ball_scene import ball_scene
from support.spotted import FRAMES, INSIDE, TIMES


def test_no_correction_changes_nothing(spotted) -> None:
    scene, _ = spotted
    base = scene.initial_physics()
    zero = np.zeros((FRAMES, *scene.rest.shape), np.float32)
    appearance = scene.initial_appearance()
    A = np.tile(np.eye(3, dtype=np.float32), (len(scene.rest), 1, 1))
    shifts, same = transfer_offsets(scene, appearance, appearance, A)
    assert not shifts.any() and same is appearance
    for stress in ("by_material", "transport", "relax"):
        for velocity in ("inherit", "estimate"):
            out = write_back(
                scene, base, zero, TIMES, bodies={}, inside=INSIDE, velocity=velocity, stress=stress
            )  # fmt: skip
            for key, value in out.particles.arrays().items():
                assert np.array_equal(value, base.particles.arrays()[key]), (key, stress, velocity)


def test_written_back_matter_carries_its_strain_and_stays_on_the_table(spotted) -> None:
    scene, _ = spotted
    stretch = np.float32([1.2, 1, 1])
    middle = scene.rest.mean(0)
    u = (scene.rest - middle) * (stretch - 1)
    corrections = np.linspace(0, 1, FRAMES, dtype=np.float32)[:, None, None] * u
    base = scene.initial_physics()
    out = write_back(scene, base, corrections, TIMES, bodies={}, inside=INSIDE).particles
    assert np.allclose(out.positions, scene.rest + u, atol=1e-6)
    assert np.median(out.F[:, 0, 0]) == pytest.approx(1.2 ** (2 / 3), abs=0.01)
    assert np.allclose(np.linalg.det(out.F), 1, atol=1e-4)  # what a camera sees of volume makes no pressure
    whole = write_back(scene, base, corrections, TIMES, bodies={}, inside=INSIDE, stress="transport").particles
    assert np.median(whole.F[:, 0, 0]) == pytest.approx(1.2, abs=0.01)
    assert np.allclose(out.velocities, u / TIMES[-1], atol=1e-4)
    relaxed = write_back(scene, base, corrections, TIMES, bodies={}, inside=INSIDE, stress="relax").particles
    assert np.allclose(relaxed.F, np.eye(3), atol=1e-3)
    down = np.zeros_like(corrections)
    down[..., 2] = -0.5
    assert write_back(scene, base, down, TIMES, bodies={}, inside=INSIDE).particles.positions[:, 2].min() >= 0


def test_yield_bounds_the_shear_and_keeps_the_volume() -> None:
    entity = ball_scene("plastic").entities[0]
    F = np.diag([1.5, 1.0, 1 / 1.5]).astype(np.float32)[None]
    out = yielded(F, entity)[0]
    m = entity.material
    most = (2 / 3) ** 0.5 * m.yield_stress_pa / (m.youngs_modulus_pa / (1 + m.poisson_ratio))
    assert np.linalg.norm(np.log(np.diag(out))) == pytest.approx(most, rel=1e-3)
    assert np.linalg.det(out) == pytest.approx(1, rel=1e-4)
    tiny = np.eye(3, dtype=np.float32)[None] * 1.0001
    assert np.array_equal(yielded(tiny, entity), tiny)


def test_a_body_has_the_corrected_pose_and_the_rate_of_its_correction() -> None:
    predicted = np.tile(np.concatenate([[0, 0, 0.1], [1, 0, 0, 0], [0.5, 0, 0], [0, 0, 0]]), (FRAMES, 1))
    rows = predicted.copy()
    rows[:, 1] += 0.2 * TIMES
    body = written_body(rows, predicted, TIMES)
    assert np.allclose(body.position, rows[-1, :3]) and np.allclose(body.linear, [0.5, 0.2, 0])
    assert np.allclose(body.angular, 0)
    assert np.allclose(written_body(rows, predicted, TIMES, velocity="inherit").linear, [0.5, 0, 0])
    assert np.array_equal(written_body(predicted, predicted, TIMES).linear, [0.5, 0, 0])
