"""The engine on a GPU against the reference, and the same world in whatever company."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.errors import RolloutError
from pw_core.simulate.fast_cuda.engine import EMPTY_PUSH, SPREAD, UNSTABLE, CudaEngine, CudaOptions
from pw_core.simulate.fast_cuda.tables import ACTION_SIZE, ALL, FOREVER, HALF_SINE, MODELS, STEADY, Domain
from support import mpm_reference

DOMAIN = Domain(0.01, 2e-4, 6, (-14, -14, -8), (32, 32, 30), (-0.105, -0.105, -0.055), (0.145, 0.145, 0.185), 0.005**3)
COUNT = 900


@pytest.fixture(scope="module", autouse=True)
def gpu():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA here")


pytestmark = pytest.mark.gpu


def ball(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(COUNT, 3))
    x *= 0.04 * rng.uniform(size=(COUNT, 1)) ** (1 / 3) / np.linalg.norm(x, axis=1, keepdims=True)
    return {
        "positions": (x + np.array([0, 0, 0.035])).astype(np.float32),
        "velocities": (rng.normal(size=3) + 0.3 * rng.normal(size=(COUNT, 3))).astype(np.float32),
        "C": (5 * rng.normal(size=(COUNT, 3, 3))).astype(np.float32),
        "F": (np.eye(3) + 0.03 * rng.normal(size=(COUNT, 3, 3))).astype(np.float32),
        "Jp": rng.uniform(0.95, 1.02, COUNT).astype(np.float32),
        "active": (rng.uniform(size=COUNT) > 0.02).astype(np.float32),
    }


def constants(model):
    liquid = model == "liquid"
    return np.array(
        [[MODELS[model], s, 0 if liquid else s / 2, s / 60, 2e3 if liquid else 0, m, 0, 0]
         for s, m in ((4e4, 1.3e-4), (3e4, 1e-4))], np.float32,
    )  # fmt: skip


def actions():
    """Gravity; a push and a poke on all, whose mass is found at their start; an impulse on each entity."""
    table = np.zeros((5, ACTION_SIZE))
    table[0, :3], table[0, 8:12] = (0, 0, -9.81), (-1, FOREVER, STEADY, ALL)
    table[1, :8], table[1, 8:13] = (0, 3, -2, 0.0213, 0.0007, 0.0511, 0.0503, 2), (5e-4, 0.2, STEADY, ALL, 1)
    table[2, :8], table[2, 8:13] = (4, 0, 0, 0.0011, 0, 0.0313, 0.0407, 1), (0, 0.002, HALF_SINE, ALL, 1)
    table[3, :8], table[3, 8:13] = (0, 20, 0, 0, 0, 0.03, 0.05, 0), (0.001, 0.2, STEADY, 1, 0)
    table[4, :3], table[4, 8:13] = (3, 20, 0), (0, 0.2, STEADY, 0, 0)
    return table


ENTITY = (np.arange(COUNT) > 600).astype(np.int32)


def run(state, rows, table, *, steps=(3,), world=-1, friction=0.4, **how):
    engine = CudaEngine(DOMAIN, entity=ENTITY, rows=rows, friction=friction, actions=8, **how)
    engine.set_actions(table)
    engine.reset(state)
    for n in steps:
        engine.advance(n)
    return {k: v[world].cpu().numpy() for k, v in engine.read().items()}, engine.status()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["block", "grid"])
def test_follows_the_reference(model, method):
    state = ball()
    wanted = mpm_reference.advance(state, constants(model), ENTITY, actions(), 0.4, DOMAIN, 3)
    got, status = run(state, constants(model), actions(), method=method)
    assert not status.any()
    moved = np.linalg.norm(wanted["positions"] - state["positions"])
    assert np.linalg.norm(got["positions"] - wanted["positions"]) < 5e-5 * moved
    for name in ("velocities", "C", "F", "Jp"):
        assert np.linalg.norm(got[name] - wanted[name]) < 3e-4 * np.linalg.norm(wanted[name]), name
    assert np.array_equal(got["active"], state["active"])


@pytest.mark.parametrize("model", ["plastic", "liquid"])
def test_a_world_gives_the_same_bits_however_it_is_run(model):
    state, rows = ball(), constants(model)
    alone, _ = run(state, rows, actions(), method="block", options=CudaOptions(largest_cluster=1))
    little = 2048 + 233472 - 32 * 700  # nodes beyond those in shared memory lie in device memory
    for how in (
        {"method": "grid"}, {"method": "block"}, {"method": "block", "worlds": 3}, {"method": "block", "worlds": 300},
        {"method": "grid", "worlds": 5, "options": CudaOptions(order="cells", particle_threads=128)},
        {"method": "block", "options": CudaOptions(order="given", block_threads=256)},
        {"method": "block", "options": CudaOptions(reserved_shared_bytes=little, largest_cluster=1)},
        {"method": "block", "options": CudaOptions(reserved_shared_bytes=little)},
        {"method": "grid", "steps": (1, 2)}, {"method": "block", "steps": (2, 1)},
    ):  # fmt: skip
        got, status = run(state, rows, actions(), **how)
        assert not status.any() and all(np.array_equal(got[k], alone[k]) for k in alone), how


def test_worlds_have_their_own_states_constants_and_actions():
    states, rows = [ball(s) for s in range(3)], np.stack([constants(m) for m in ("elastic", "snow", "liquid")])
    rows[1, :, 5] *= 3
    tables = [actions(), actions()[:1], actions()[2:]]
    friction = np.array([0.1, 0.9, 0.5], np.float32)
    together = {k: np.stack([s[k] for s in states]) for k in states[0]}
    for n in range(3):
        alone, _ = run(states[n], rows[n], tables[n], friction=float(friction[n]))
        for method in ("block", "grid"):
            got, _ = run(together, rows, tables, friction=friction, worlds=3, world=n, method=method)
            assert all(np.array_equal(got[k], alone[k]) for k in alone), (n, method)


def test_a_state_goes_in_and_comes_out_to_the_bit():
    state = ball()
    got, status = run(state, constants("snow"), actions(), steps=(), worlds=2)
    assert not status.any() and all(np.array_equal(got[k], state[k]) for k in state)


@pytest.mark.parametrize("method", ["block", "grid"])
def test_faults_are_told_of_their_world_alone(method):
    states = [ball(), ball(), ball()]
    states[1]["velocities"][5] = np.nan
    tables = [actions(), actions(), actions()[:2]]
    tables[2][1, 3:6] = 0.5, 0.5, 0.5
    together = {k: np.stack([s[k] for s in states]) for k in states[0]}
    healthy, _ = run(states[0], constants("elastic"), tables[0], method=method)
    got, status = run(together, constants("elastic"), tables, worlds=3, world=0, method=method)
    assert status.tolist() == [0, UNSTABLE, EMPTY_PUSH]
    assert all(np.array_equal(got[k], healthy[k]) for k in got)


def test_too_spread_out_is_a_fault():
    state = ball()
    state["positions"][0] = 0.13, 0.13, 0.17
    options = CudaOptions(reserved_shared_bytes=2048 + 233472 - 32 * 700, spare_nodes=100)
    _, status = run(state, constants("elastic"), actions(), method="block", options=options)
    assert status.tolist() == [SPREAD]


def test_without_cuda_the_error_says_so(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RolloutError, match="needs an NVIDIA GPU"):
        run(ball(), constants("elastic"), actions())
