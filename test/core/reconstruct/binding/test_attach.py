"""A thing that another tool scanned becomes an entity."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.config import Material
from pw_core.errors import ReconstructError, SceneError
from pw_core.gaussians import Gaussians
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.binding.attach import with_splats
from pw_core.render.ply import write_ply
from pw_core.world import World
from support.ball_scene import ball_scene
from support.full_disk import full_disk

CLAY = Material(model="plastic", density_kg_m3=1500)


def egg(half: tuple[float, float, float] = (0.03, 0.02, 0.04), *, centre: tuple[float, float, float] = (0.6, 0.2, 0.04),
        count: int = 4000, open_below: float = 0.0, seed: int = 0) -> Gaussians:  # fmt: skip
    """Flat Gaussians on an ellipsoid, as a scan leaves them; none on the lowest `open_below` of its height."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    d = rng.normal(size=(count, 3))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    d = d[d[:, 2] > -1 + 2 * open_below]
    normal = d / np.array(half)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    turn, _ = zip(*(Rotation.align_vectors([n], [[0, 0, 1]]) for n in normal))
    quats = np.stack([t.as_quat() for t in turn])[:, [3, 0, 1, 2]]
    size = 0.9 * np.sqrt(4 * np.pi * np.mean(half) ** 2 / count)
    scales = np.tile(np.log([size, size, size / 10]), (len(d), 1))
    sh = np.tile(rng.uniform(-1, 1, (len(d), 1, 3)), (1, 4, 1)) * np.array([1, 0.1, 0.1, 0.1])[:, None]
    return Gaussians(
        (d * half + centre).astype(np.float32), quats.astype(np.float32), scales.astype(np.float32),
        np.full(len(d), 3.0, np.float32), sh.astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("open_below", [0.0, 0.15])
def test_a_shell_of_gaussians_is_filled_with_particles_of_the_scenes_size(open_below: float) -> None:
    scene = ball_scene()
    made = with_splats(scene, egg(open_below=open_below), name="egg", material=CLAY)
    e = made.entity("egg")
    assert e.id == 1 and e.kind == "deformable"
    # An ellipsoid's volume, but for the cap that is missing.
    h = 2 * open_below
    whole = 4 / 3 * np.pi * 0.03 * 0.02 * 0.04
    assert e.volume_m3 == pytest.approx(whole * (1 - h**2 * (3 - h) / 4), rel=0.06)
    assert np.allclose(e.origin[:2], [0.6, 0.2], atol=1e-3)
    assert e.particle_size_m == pytest.approx(scene.entities[0].particle_size_m, rel=0.3)
    own = made.rest[e.particles]
    assert (((own - [0.6, 0.2, 0.04]) / [0.033, 0.023, 0.043]) ** 2).sum(1).max() < 1


def test_floaters_in_the_air_do_not_count_and_a_fog_of_them_is_refused() -> None:
    scene, scan, rng = ball_scene(), egg(), np.random.default_rng(1)

    def among(count: int, reach: float) -> Gaussians:
        places = np.array([0.6, 0.2, reach]) + rng.uniform(-reach, reach, (count, 3))
        one = scan[np.arange(count) % len(scan)]
        return Gaussians.concatenate([scan, replace(one, means=places.astype(np.float32))])

    alone = with_splats(scene, scan, name="egg", material=CLAY).entity("egg").volume_m3
    for count, reach in ((200, 0.3), (4000, 0.3), (8000, 1.0)):
        made = with_splats(scene, among(count, reach), name="egg", material=CLAY)
        assert made.entity("egg").volume_m3 == pytest.approx(alone, rel=0.05)
    with pytest.raises(ReconstructError):
        with_splats(scene, among(100_000, 0.3), name="egg", material=CLAY)


def test_what_was_there_is_untouched_and_what_is_new_lies_where_it_was_scanned() -> None:
    scene, scan = ball_scene(), egg()
    made = with_splats(scene, scan, name="egg", material=CLAY)
    n, j = len(scene.foreground), len(scene.rest)
    assert np.array_equal(made.foreground.means[:n], scene.foreground.means)
    assert np.array_equal(made.rest[:j], scene.rest) and np.array_equal(made.binding.raw[:n], scene.binding.raw)
    e = made.entity("egg")
    new = made.foreground[e.gaussians]
    assert len(new) > 0.95 * len(scan)
    from scipy.spatial import cKDTree

    assert np.quantile(cKDTree(scan.means).query(new.means)[0], 0.95) < 0.003
    assert (made.binding.index[n:] >= j).all() and np.allclose(made.binding.weights.sum(1), 1, atol=1e-5)
    assert (made.entity_ids[e.particles] == 1).all()


def test_a_rigid_scan_is_a_body_with_its_mass() -> None:
    made = with_splats(ball_scene(), egg(), name="stone", material=Material(model="rigid", density_kg_m3=2600))
    e = made.entity("stone")
    assert e.kind == "rigid" and e.mass_kg == pytest.approx(2600 * 4 / 3 * np.pi * 0.03 * 0.02 * 0.04, rel=0.06)
    assert set(made.initial_physics().bodies) == {"stone"}


def test_it_stands_on_the_table_if_asked_and_may_not_lie_in_it_or_in_others() -> None:
    scene = ball_scene()
    made = with_splats(scene, egg(centre=(0.6, 0.2, 0.3)), name="egg", material=CLAY, stand=True)
    assert made.entity("egg").mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert made.rest[made.entity("egg").particles, 2].min() < 0.012
    with pytest.raises(ReconstructError, match=r"reaches 0\.03\d m below the table"):
        with_splats(scene, egg(centre=(0.6, 0.2, 0.005)), name="egg", material=CLAY)
    with pytest.raises(ReconstructError, match=r"of its \d+ particles lie in 'ball'"):
        with_splats(scene, egg(centre=(0.6, 0.03, 0.05)), name="egg", material=CLAY)


def test_what_cannot_be_a_body_is_refused_by_name() -> None:
    scene, scan = ball_scene(), egg()
    lying = np.tile(np.array([[1, 0, 0, 0]], np.float32), (len(scan), 1))
    sheet = replace(scan, means=(scan.means * [1, 1, 0] + [0, 0, 0.05]).astype(np.float32), quats=lying)
    for wrong, text in [
        (sheet, "enclose no volume"), (replace(scan, opacities=scan.opacities - 20), "none of its 4000 Gaussians"),
        (scan.moved(np.eye(3), np.zeros(3), scale=100.0), "check the scale"),
    ]:  # fmt: skip
        with pytest.raises(ReconstructError, match=text):
            with_splats(scene, wrong, name="egg", material=CLAY, stand=True)
    with pytest.raises(SceneError, match="has an entity 'ball' already"):
        with_splats(scene, scan, name="ball", material=CLAY)
    with pytest.raises(SceneError, match=r"entity '\.\./x'"):
        with_splats(scene, scan, name="../x", material=CLAY)


def test_pw_entity_makes_a_scene_that_rolls_out(tmp_path: Path) -> None:
    store = tmp_path / "store"
    World(store).adopt(ball_scene())
    write_ply(tmp_path / "egg.ply", egg(centre=(0.0, 0.0, 0.0)).moved(np.eye(3), np.zeros(3), scale=10.0))
    arguments = ["entity", "ball", str(tmp_path / "egg.ply"), "--as", "two", "--name", "egg", "--material", "clay",
                 "--scale", "0.1", "--at", "0.6", "0.2", "0", "--stand", "--store", str(store)]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "'egg' of 10" in result.output and "particles" in result.output
    assert "two: storing" in result.stderr and "ETA" in result.stderr
    world = World.open(store, scene="two")
    before = world.entity_poses(world.scene.initial_physics())[1].position
    *_, last = world.rollout([], 0.1)
    assert np.abs(world.entity_poses(last.physics)[1].position - before).max() < 0.01  # it stands
    assert CliRunner().invoke(app, arguments).exit_code == 1  # 'two' is there


def in_store(store: Path) -> dict[str, bytes]:
    """Its files but for who holds its locks."""
    names = {str(p.relative_to(store)): p for p in store.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(".locks")}


@pytest.mark.parametrize("left", [300, 60_000, 200_000])
@pytest.mark.parametrize("replace", [False, True])
def test_pw_entity_on_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path, left: int, replace: bool) -> None:
    store = tmp_path / "store"
    World(store).adopt(ball_scene())
    write_ply(tmp_path / "egg.ply", egg(centre=(0.0, 0.0, 0.0)))
    before = in_store(store)
    arguments = ["entity", "ball", str(tmp_path / "egg.ply"), "--as", "ball" if replace else "two", "--name", "egg",
                 "--material", "clay", "--at", "0.6", "0.2", "0", "--stand", "--store", str(store)]  # fmt: skip
    with full_disk(left):
        result = CliRunner().invoke(app, [*arguments, *["--replace"] * replace])
    assert result.exit_code == 1 and "File too large" in result.stderr and "Traceback" not in result.stderr
    assert in_store(store) == before and World.open(store, scene="ball").scene is not None


def test_pw_entity_into_a_store_that_is_read_only_is_refused_before_any_work(tmp_path: Path, monkeypatch) -> None:
    store = tmp_path / "store"
    World(store).adopt(ball_scene())
    writable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and writable(path, mode))
    result = CliRunner().invoke(app, ["entity", "ball", "no-such-file.ply", "--as", "two", "--name", "egg",
                                      "--material", "clay", "--store", str(store)])  # fmt: skip
    assert result.exit_code == 1 and "read-only" in result.stderr


def test_a_photo_is_not_searched_for_what_was_added() -> None:
    made = with_splats(ball_scene(), egg(), name="egg", material=CLAY, source="egg.ply")
    with pytest.raises(ReconstructError, match=r"'egg' was made of egg\.ply, no picture shows it"):
        reconstruct(made.config)
