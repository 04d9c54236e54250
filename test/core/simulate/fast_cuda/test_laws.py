"""The kernels' arithmetic on a CPU against the plain reference in double precision."""

from __future__ import annotations

import ctypes
import shutil

import numpy as np
import pytest

from pw_core.simulate.fast_cuda.tables import ACTION_SIZE, ALL, FOREVER, MODELS, STEADY, Domain
from support import mpm_host, mpm_reference

DOMAIN = Domain(0.01, 2e-4, 6, (-14, -14, -8), (32, 32, 30), (-0.105, -0.105, -0.055), (0.145, 0.145, 0.185), 0.005**3)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    return mpm_host.build(tmp_path_factory.mktemp("host"), compiler)


def ball(rng, count=400, height=0.035):
    x = rng.normal(size=(count, 3))
    x *= 0.04 * rng.uniform(size=(count, 1)) ** (1 / 3) / np.linalg.norm(x, axis=1, keepdims=True)
    return {
        "positions": (x + np.array([0, 0, height])).astype(np.float32),
        "velocities": (rng.normal(size=3) + 0.3 * rng.normal(size=(count, 3))).astype(np.float32),
        "C": (5 * rng.normal(size=(count, 3, 3))).astype(np.float32),
        "F": (np.eye(3) + 0.03 * rng.normal(size=(count, 3, 3))).astype(np.float32),
        "Jp": rng.uniform(0.95, 1.02, count).astype(np.float32),
        "active": np.ones(count, np.float32),
    }


def row(model, mass=1.3e-4):
    liquid = model == "liquid"
    return [MODELS[model], 4e4, 0 if liquid else 2e4, 600, 2e3 if liquid else 0, mass, 0, 0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [1e-3, 0.05, 0.3])
def test_laws_of_one_particle(host, model, size):
    rng = np.random.default_rng(1)
    f = (np.eye(3) + size * rng.normal(size=(3000, 3, 3))).astype(np.float32)
    f = f[np.linalg.svd(f)[1].min(1) > 0.06]
    if model == "liquid":
        f = f[np.linalg.det(f) > 0.1]
    packed = rng.uniform(0.8, 1.1, len(f)).astype(np.float32)
    rows = np.tile(np.array(row(model), np.float32), (len(f), 1))
    wanted = mpm_reference.law(f.astype(np.float64), packed.astype(np.float64), rows.astype(np.float64))
    stress = np.zeros_like(f)
    host.laws(*(ctypes.c_void_p(mpm_host.address(a)) for a in (rows, f, packed, stress)), len(f))
    np.testing.assert_allclose(f, wanted[0], atol=2e-6)
    np.testing.assert_allclose(packed, wanted[1], rtol=1e-5)
    # Rounding moves strains by some 1e-7, and snow is eight times as stiff.
    np.testing.assert_allclose(stress, wanted[2], atol=0.5 if model == "snow" else 0.1, rtol=2e-6)


@pytest.mark.parametrize("model", MODELS)
def test_substeps_follow_the_reference(host, model):
    rng = np.random.default_rng(2)
    state, entity = ball(rng), (np.arange(400) > 250).astype(np.int32)
    state["active"][::40] = 0
    rows = np.array([row(model), row(model, 1e-4)])
    table = np.zeros((2, ACTION_SIZE))
    table[0, :3], table[1, :8] = (0, 0, -9.81), (0, 30, -20, 0.0213, 0.0007, 0.0511, 0.0503, 2)
    table[:, 8:12] = -1, FOREVER, STEADY, ALL
    wanted = mpm_reference.advance(state, rows, entity, table.copy(), 0.4, DOMAIN, 2)
    got, fault = mpm_host.advance(host, state, rows, entity, table[:, :8], 0.4, DOMAIN, 2 * DOMAIN.substeps)
    assert fault == 0
    moved = np.linalg.norm(wanted["positions"] - state["positions"])
    assert np.linalg.norm(got["positions"] - wanted["positions"]) < 3e-5 * moved
    for name in ("velocities", "C", "F", "Jp"):
        assert np.linalg.norm(got[name] - wanted[name]) < 2e-4 * np.linalg.norm(wanted[name]), name
    for name in ("positions", "velocities", "C", "F", "Jp"):
        assert np.array_equal(got[name][::40], state[name][::40]), name


def test_free_flight_keeps_momentum(host):
    state = ball(np.random.default_rng(3), height=0.09)
    state["velocities"] = state["velocities"] * 0.3 + np.array([0.31, 0.27, 0.55], np.float32)
    before = state["velocities"].astype(np.float64).mean(0)
    got, fault = mpm_host.advance(
        host, state, np.array([row("elastic")]), np.zeros(400, np.int32), np.zeros((0, 8)), 0.4, DOMAIN, 200
    )
    assert fault == 0
    assert np.abs(got["velocities"].astype(np.float64).mean(0) / before - 1).max() < 1e-6


def test_a_particle_turned_to_nothing_is_reported(host):
    state = ball(np.random.default_rng(4))
    state["F"][7] = 0
    _, fault = mpm_host.advance(
        host, state, np.array([row("liquid")]), np.zeros(400, np.int32), np.zeros((0, 8)), 0.4, DOMAIN, 1
    )
    assert fault == 1
