"""The kernels against the plain equations, whole trajectories of bits, and physics that needs no simulator to judge."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from pw_core.kernels import denormals
from pw_core.simulate.fast import layout
from pw_core.simulate.fast.particles import OutOfDomain, Solver
from pw_core.simulate.fast.reference import Matter, Setting, substep

LAWS = ("elastic", "plastic", "snow", "liquid")
DX, DT, VOLUME = 0.01, 1e-4, 0.005**3
LAM, MU, THRESHOLD, VISCOSITY, MASS = 2e4, 1.5e4, 400.0, 3e4, 1000 * VOLUME
LOWER, UPPER = np.array([-0.2, -0.2, -0.07]), np.array([0.2, 0.2, 0.3])
STATE = ("positions", "velocities", "C", "F", "Jp")


def solver(laws=("elastic",), *, count=300, seed=0, height=0.03, stir=0.0, gravity=-9.81) -> Solver:
    """Balls of 300 particles beside each other, one a law; with `stir` in disturbed states of that size."""
    rng = np.random.default_rng(seed)
    n = count * len(laws)
    made = Solver(
        np.repeat(np.arange(len(laws)), count).astype(np.int32), entities=len(laws), dx=DX, dt=DT, volume=VOLUME,
        lower=LOWER, upper=UPPER,
    )  # fmt: skip
    d = rng.normal(size=(n, 3))
    d *= 0.03 * rng.uniform(size=(n, 1)) ** (1 / 3) / np.linalg.norm(d, axis=1, keepdims=True)
    made.positions[:] = d + [0, 0, height] + 0.04 * (made.owners[:, None] - 0.5 * (len(laws) - 1)) * [1.0, 0.3, 0.0]
    made.velocities[:] = stir * rng.normal(size=(n, 3))
    made.C[:] = 100 * stir * rng.normal(size=(n, 9))
    made.F[:] = np.eye(3).reshape(9) + 0.1 * stir * rng.normal(size=(n, 9))
    made.Jp[:] = 1 + 0.1 * stir * rng.normal(size=n)
    for row, law in enumerate(laws):
        mu = 0.0 if law == "liquid" else MU
        made.set_entity(row, law, lam=LAM, mu=mu, threshold=THRESHOLD, viscosity=VISCOSITY, mass=MASS)
        if law == "liquid":
            mine = made.owners == row
            made.F[mine] = np.cbrt(np.linalg.det(made.F[mine].reshape(-1, 3, 3)))[:, None] * np.eye(3).reshape(9)
    made.constants[layout.GRAVITY + 2] = gravity
    made.friction = np.float32(0.4)
    return made


def as_reference(s: Solver, laws) -> tuple[list[Matter], Setting]:
    matter = []
    for row, law in enumerate(laws):
        mine = s.owners == row
        matrices = [a[mine].reshape(-1, 3, 3).astype(np.float64) for a in (s.C, s.F)]
        matter.append(
            Matter(
                s.positions[mine].astype(np.float64), s.velocities[mine].astype(np.float64), *matrices,
                s.Jp[mine].astype(np.float64), law, LAM, 0.0 if law == "liquid" else MU, THRESHOLD, VISCOSITY, MASS,
            )
        )  # fmt: skip
    gravity = s.constants[layout.GRAVITY : layout.GRAVITY + 3].astype(np.float64)
    return matter, Setting(
        dx=DX, dt=DT, volume=VOLUME, lower=LOWER, upper=UPPER, gravity=gravity, friction=0.4,
        slots=s.slots[: s.slot_count].astype(np.float64),
    )  # fmt: skip


def state(s: Solver) -> list[np.ndarray]:
    return [getattr(s, name).copy() for name in STATE]


def assert_agree(s: Solver, laws, substeps: int, *, tolerance: float) -> None:
    matter, setting = as_reference(s, laws)
    s.advance(substeps)
    for _ in range(substeps):
        substep(matter, setting)
    for row, m in enumerate(matter):
        mine = s.owners == row
        pairs = {"positions": (m.x, tolerance * DX), "velocities": (m.v, tolerance), "C": (m.C, 200 * tolerance),
                 "F": (m.F, tolerance), "Jp": (m.Jp, 2 * tolerance)}  # fmt: skip
        for name, (wanted, most) in pairs.items():
            errors = np.abs(getattr(s, name)[mine].reshape(wanted.shape) - wanted)
            # A node of hardly any mass is at rest or not by a rounding: the outermost particles feel it.
            assert np.quantile(errors, 0.99) < most and errors.max() < (most if substeps == 1 else 50 * most), name


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("stir", [0.0, 0.3, 1.0])
def test_a_substep_is_what_the_equations_say(law, stir) -> None:
    assert_agree(solver([law], stir=stir), [law], 1, tolerance=2e-5)


@pytest.mark.parametrize("law", LAWS)
def test_many_substeps_too(law) -> None:
    assert_agree(solver([law], stir=0.1), [law], 60, tolerance=1e-3)


def test_four_materials_that_touch_and_actions_with_a_radius() -> None:
    s = solver(LAWS, stir=0.2)
    s.slots[:3] = [
        [30, 0, 5, 0.013, 0, 0.031, 0.0517, 0], [0, 40, 0, -0.03, 0, 0.05, 0.0431, 1],
        [0, 0, 50, 0.05, 0.02, 0.02, 0.0613, 2],
    ]  # fmt: skip
    s.slot_count = 3
    assert_agree(s, LAWS, 10, tolerance=2e-4)


@pytest.mark.parametrize("side", [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)])
def test_what_is_thrown_against_the_wall(side) -> None:
    side = np.float32(side)
    s = solver(["elastic"], height=0.12, gravity=0.0)
    inner = np.where(side > 0, UPPER, LOWER) - 3 * DX * side - 0.024 * side
    s.positions[:] = np.where(side != 0, s.positions - [0, 0, 0.12] + inner, s.positions)
    s.velocities[:] = 1.5 * side
    # A hair further in than the nodes there, so that no rounding decides whether they are on it.
    s.constants[layout.LOW : layout.LOW + 3] += 1e-6
    s.constants[layout.HIGH : layout.HIGH + 3] -= 1e-6
    s.positions[:] = np.clip(s.positions, LOWER + 3 * DX + 1e-5, UPPER - 3 * DX - 1e-5)
    assert_agree(s, ["elastic"], 40, tolerance=2e-3)
    assert np.abs(s.velocities @ side).mean() < 1.4


def test_particles_turned_inside_out_are_taken_as_they_are() -> None:
    s = solver(["elastic"])
    s.F[::7, 8] = -0.4
    assert_agree(s, ["elastic"], 1, tolerance=2e-4)


@pytest.mark.parametrize("laws", [("elastic",), LAWS])
def test_the_same_bits_on_any_number_of_threads(laws) -> None:
    ends = []
    for threads in (1, 2, 3):
        s = solver(laws, stir=0.3)
        s.advance(25, threads=threads)
        ends.append(state(s))
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_whatever_the_process_does_with_denormal_numbers(threads) -> None:
    before, ends = denormals.control(), []
    for change in (0, 1 << 15, 1 << 15 | 1 << 6) if platform.machine() == "x86_64" else (0, 1 << 24):
        denormals.set_control(before | change)
        try:
            s = solver(LAWS, stir=0.3)
            s.velocities[::2] *= np.float32(1e-38)
            s.advance(25, threads=threads)
        finally:
            denormals.set_control(before)
        ends.append(state(s))
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            assert np.array_equal(a, b)


def test_going_on_from_a_saved_state_gives_the_same_bits() -> None:
    whole, half = solver(LAWS, stir=0.3), solver(LAWS, stir=0.3)
    for _ in range(4):
        whole.advance(10)
    half.advance(10)
    half.advance(10)
    other = solver(LAWS, seed=5)
    for name, value in zip(STATE, state(half), strict=True):
        getattr(other, name)[:] = value
    other.advance(10)
    other.advance(10)
    for a, b in zip(state(whole), state(other), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("law", LAWS)
def test_momentum_in_free_flight(law) -> None:
    s = solver([law], height=0.12, gravity=0.0, stir=0.05)
    s.C[:] = 0
    s.velocities += np.float32([0.4, -0.3, 0.5])
    before = s.velocities.astype(np.float64).mean(0)
    s.advance(500)
    assert np.abs(s.velocities.astype(np.float64).mean(0) - before).max() < 1e-6 * np.linalg.norm(before)


def test_free_fall() -> None:
    s = solver(["elastic"], height=0.2)
    before = s.positions.astype(np.float64).mean(0)
    s.advance(1000)
    fallen = s.positions.astype(np.float64).mean(0) - before
    assert fallen[2] == pytest.approx(-0.5 * 9.81 * 0.1**2, rel=2e-3) and np.abs(fallen[:2]).max() < 1e-6


def test_what_flies_fast_is_sorted_again_and_still_right() -> None:
    s = solver(["elastic"], height=0.12, gravity=0.0)
    s.velocities[:] = [0, 30, 0]
    matter, setting = as_reference(s, ["elastic"])
    assert s.advance(60) > 1
    for _ in range(60):
        substep(matter, setting)
    assert np.abs(s.positions - matter[0].x).max() < 1e-3 * DX


def test_inactive_particles_stay_and_weigh_nothing() -> None:
    s, alone = solver(["elastic"]), solver(["elastic"])
    s.active[::3] = False
    before = s.positions[::3].copy()
    s.advance(5)
    assert np.array_equal(s.positions[::3], before)
    alone.velocities[::3] = [5, 0, 0]
    alone.active[::3] = False
    alone.advance(5)
    assert np.array_equal(s.positions[1::3], alone.positions[1::3])


def test_what_is_nowhere_is_said() -> None:
    s = solver(["elastic"])
    s.positions[4, 1] = np.nan
    with pytest.raises(OutOfDomain):
        s.advance(1)
