"""Compile the engine's kernels ahead of the first rollout: `python -m pw_core.simulate.fast.warm`, a minute once.

`make setup` does it.
"""

from __future__ import annotations

import time


def compile_kernels() -> float:
    """Compile, or load from the cache, all that the engine needs; returns the seconds it took."""
    import numpy as np

    from pw_core.simulate.fast.distance import distance_grid, points_inside
    from pw_core.simulate.fast.particles import Solver

    start = time.perf_counter()
    solver = Solver(
        np.zeros(2, np.int32), entities=1, dx=0.01, dt=1e-4, volume=1e-6, lower=np.full(3, -0.2), upper=np.full(3, 0.2)
    )
    solver.set_entity(0, "elastic", lam=1e4, mu=1e4, threshold=1.0, viscosity=1.0, mass=1e-3)
    solver.F[:] = np.eye(3).reshape(9)
    corners = 0.01 * np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    distance_grid(corners, faces)
    points_inside(corners, faces, step_m=0.005)
    solver.advance(1)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(f"the fast engine's kernels are ready after {compile_kernels():.1f} s")
