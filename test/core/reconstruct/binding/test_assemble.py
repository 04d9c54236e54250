"""What was made of each entity to one scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from pw_core.config import SceneConfig
from pw_core.gaussians import Gaussians
from pw_core.reconstruct.binding.assemble import AssemblyOptions, assemble, measure
from pw_core.reconstruct.binding.bind import Bound
from pw_core.scene import Mesh
from support.ball import config


def two(particles: int = 900) -> SceneConfig:
    """A deformable thing and a rigid one."""
    fields = config().model_dump(mode="json")
    first = fields["entities"][0]
    fields["entities"] = [first, first | {"name": "stone", "material": {"model": "rigid"}}]
    fields["simulation"]["particles"] = particles
    return SceneConfig.parse(fields)


def box(side: float, centre: float) -> Mesh:
    made = trimesh.creation.box((side, side, side)).apply_translation((centre, 0, side / 2))
    return Mesh(np.asarray(made.vertices), np.asarray(made.faces))


def bound(count: int, gaussians: int, at: float) -> Bound:
    rng = np.random.default_rng(count)
    g = Gaussians(*(rng.normal(size=s).astype(np.float32) for s in ((gaussians, 3), (gaussians, 4), (gaussians, 3),
                                                                  (gaussians,), (gaussians, 1, 3))))  # fmt: skip
    index = rng.integers(0, count, (gaussians, 4))
    return Bound(at + rng.uniform(size=(count, 3)), 0.01 * count, g, index, np.full((gaussians, 4), 0.25),
                 rng.uniform(-1, 1, (gaussians, 3)))  # fmt: skip


def test_deformables_share_the_particles_by_volume_and_rigid_ones_have_their_own_number() -> None:
    small, large = box(0.1, 0.0), box(0.2, 1.0)
    fields = two().model_dump(mode="json")
    fields["entities"][1]["material"] = fields["entities"][0]["material"]
    assert [b.count for b in measure(SceneConfig.parse(fields), [small, large])] == [100, 800]
    rigid = measure(two(), [small, large], options=AssemblyOptions(rigid_particles=77))
    assert [b.count for b in rigid] == [900, 77]
    assert rigid[1].volume_m3 == pytest.approx(0.008) and np.allclose(rigid[1].centre, [1, 0, 0.1])


def test_a_tiny_deformable_keeps_its_least_number() -> None:
    fields = two().model_dump(mode="json")
    fields["entities"][1]["material"] = fields["entities"][0]["material"]
    made = measure(SceneConfig.parse(fields), [box(0.01, 0.0), box(0.3, 1.0)])
    assert made[0].count == 100


def test_slices_follow_one_another_and_gaussians_lie_where_their_binding_puts_them() -> None:
    bodies = measure(two(), [box(0.1, 0.0), box(0.2, 1.0)])
    parts = [bound(5, 12, 0.0), bound(7, 9, 10.0)]
    background = parts[0].gaussians[:3]
    scene = assemble(two(), bodies, parts, background)
    first, second = scene.entities
    assert (first.particles, second.particles) == (slice(0, 5), slice(5, 12))
    assert (first.gaussians, second.gaussians) == (slice(0, 12), slice(12, 21))
    assert scene.entity_ids.tolist() == [0] * 5 + [1] * 7
    assert (first.kind, second.kind) == ("deformable", "rigid")
    assert np.array_equal(scene.binding.index[12:], parts[1].index + 5)
    assert np.allclose(scene.binding.delta[:12], 0.05) and np.allclose(scene.binding.delta[12:], 0.07)
    own = scene.rest[scene.binding.index[:, 0]] + scene.binding.offsets()
    assert np.array_equal(scene.foreground.means, own) and (scene.foreground.means[12:] > 9).all()
    given = Gaussians.concatenate([p.gaussians for p in parts])
    same = replace(given, means=scene.foreground.means)
    assert all(np.array_equal(a, b) for a, b in zip(same.arrays().values(), scene.foreground.arrays().values()))
    assert second.particle_size_m == pytest.approx((0.008 / 7) ** (1 / 3)) and scene.cameras == ()
