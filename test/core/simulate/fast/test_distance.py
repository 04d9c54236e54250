"""Distances of a sphere and a box, which are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pw_core.simulate.fast.distance import DistanceOptions, distance_grid, points_inside


def nodes(grid):
    steps = np.stack(np.meshgrid(*(np.arange(n) for n in grid.distance.shape), indexing="ij"), -1)
    return grid.lower + steps * grid.cell


def test_a_sphere() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.03)
    mesh.apply_translation([0.1, 0, 0])
    grid = distance_grid(mesh.vertices, mesh.faces)
    arm = nodes(grid) - [0.1, 0, 0]
    radius = np.linalg.norm(arm, axis=-1)
    assert np.abs(grid.distance - (radius - 0.03)).max() < 4e-4  # the mesh lies within its sphere
    outside = radius > 0.031
    along = (grid.gradient[outside] * arm[outside]).sum(-1) / radius[outside]
    assert along.min() > 0.98 and np.allclose(np.linalg.norm(grid.gradient, axis=-1), 1, atol=1e-5)


def test_points_inside_a_box_are_a_lattice_of_it() -> None:
    mesh = trimesh.creation.box((0.2, 0.1, 0.04))
    points = points_inside(mesh.vertices, mesh.faces, step_m=0.01)
    assert len(points) == 20 * 10 * 4 and np.allclose(np.abs(points).max(0), [0.095, 0.045, 0.015])


def test_a_box_and_how_fine_its_grid_is() -> None:
    mesh = trimesh.creation.box((0.2, 0.1, 0.04))
    grid = distance_grid(mesh.vertices, mesh.faces, options=DistanceOptions(fewest_cells=16))
    q = np.abs(nodes(grid)) - [0.1, 0.05, 0.02]
    exact = np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
    assert np.abs(grid.distance - exact).max() < 1e-6
    assert grid.cell == pytest.approx([0.005, 0.005, 0.005]) and min(grid.distance.shape) >= 17
