"""A scene small enough to make in milliseconds: a ball of 300 particles on a table, drawn with 900 Gaussians."""

from __future__ import annotations

import numpy as np

from pw_core.config import SceneConfig
from pw_core.gaussians import Binding, Camera, Gaussians
from pw_core.scene import Entity, Mesh, Particles, Scene


def ball_config(model: str = "elastic") -> SceneConfig:
    return SceneConfig.parse(
        {
            "name": "ball",
            "camera": {"height_m": 0.2, "pitch_deg": 15, "hfov_deg": 40},
            "table": {"edge_m": 1.2},
            "entities": [{"name": "ball", "material": {"model": model}, "prompt": {"box": [10, 10, 60, 60]}}],
        }
    )


def ball_scene(model: str = "elastic", *, radius: float = 0.05, count: int = 300, seed: int = 0) -> Scene:
    import trimesh

    rng = np.random.default_rng(seed)
    config = ball_config(model)
    centre = np.array([0.6, 0.0, radius])
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    points = (centre + direction * radius * rng.uniform(size=(count, 1)) ** (1 / 3)).astype(np.float32)
    volume = 4 / 3 * np.pi * radius**3
    size = (volume / count) ** (1 / 3)
    n = 3 * count
    own = np.repeat(np.arange(count), 3)
    raw = rng.uniform(-0.5, 0.5, size=(n, 3)).astype(np.float32)
    delta = np.full(n, size, np.float32)
    binding = Binding(own[:, None].astype(np.int64), np.ones((n, 1), np.float32), raw, delta)
    quats = np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1))

    def gaussians(means: np.ndarray, scale: float, color: np.ndarray) -> Gaussians:
        m = len(means)
        sh = np.tile(((color - 0.5) / 0.28209479)[None, None], (m, 1, 1)).astype(np.float32)
        return Gaussians(
            means.astype(np.float32), quats[:1].repeat(m, 0), np.full((m, 3), np.log(scale), np.float32),
            np.full(m, 3.0, np.float32), sh,
        )  # fmt: skip

    mesh = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    entity = Entity(
        "ball", 0, "deformable", config.entities[0].material, Mesh(mesh.vertices + centre, mesh.faces), centre, volume,
        size, slice(0, count), slice(0, n),
    )  # fmt: skip
    table = np.stack(np.meshgrid(np.linspace(0.2, 1.2, 40), np.linspace(-0.5, 0.5, 40), [0.0]), -1).reshape(-1, 3)
    camera = Camera.above_table(height_m=0.2, pitch_deg=15, hfov_deg=40, width=96, height=64, name="photo")
    return Scene(
        id="ball", config=config, entities=(entity,), particles=Particles.at_rest(points),
        entity_ids=np.zeros(count, np.int32),
        foreground=gaussians(points[own] + binding.offsets(), 0.004, np.array([0.8, 0.2, 0.2])), binding=binding,
        background=gaussians(table, 0.015, np.array([0.2, 0.6, 0.3])), cameras=(camera,), provenance={"from": "test"},
    )  # fmt: skip
