"""What is written is what other libraries read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pw_core.errors import PWError
from pw_core.export.content import Content, opacities_of
from pw_core.export.formats import FORMATS, export
from pw_core.scene import Trajectory
from support.exported import READERS, ply_looks, read_glb, read_mcap, read_rrd, read_usd, read_usd_elsewhere
from support.full_disk import full_disk
from support.lit import lit_scene

BYTE = 0.51 / 255
"""Colours in eight bits."""
STAMPED = {".mcap": 100.0}
"""Formats that hold dates."""


@pytest.mark.parametrize("ending", ["", ".usd", ".mcap", ".rrd"])
def test_a_trajectory_is_read_back_by_another_library(moving, tmp_path: Path, ending: str) -> None:
    read = READERS[ending](export(moving, tmp_path / f"out{ending}"))
    frames = list(moving.frames())
    assert np.allclose(read.times - STAMPED.get(ending, 0), moving.times, atol=2e-9 if ending != ".mcap" else 2e-8)
    assert np.array_equal(read.means, [f.all.means for f in frames])
    if read.particles is not None:
        assert np.array_equal(read.particles, [f.positions for f in frames])
    last = frames[-1].all
    near = 1e-6 if ending in ("", ".usd") else BYTE
    assert np.abs(read.colors - last.colors()).max() < near
    assert np.abs(read.opacities - opacities_of(last)).max() < near
    if read.covariances is not None:
        assert np.abs(read.covariances - last.covariances()).max() < 1e-6 * np.abs(last.covariances()).max()


@pytest.mark.parametrize("ending", [".ply", ".glb", ".usd", ".mcap", ".rrd"])
def test_a_state_is_read_back(still, tmp_path: Path, ending: str) -> None:
    path = export(still, tmp_path / f"out{ending}")
    g = next(still.frames()).all
    colors = ply_looks(path)[0] if ending == ".ply" else READERS[ending](path).colors
    assert np.abs(colors - g.colors()).max() < (BYTE if ending in (".mcap", ".rrd") else 1e-6)


@pytest.mark.parametrize("ending", ["", ".usd", ".mcap", ".rrd", ".npz", ".parquet"])
def test_a_full_disk_is_said_in_a_line_and_leaves_nothing(moving, tmp_path: Path, ending: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(PWError) as error, full_disk(500):
        export(moving, tmp_path / "out" / f"t{ending}")
    assert "File too large" in str(error.value) and len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300 and list((tmp_path / "out").iterdir()) == []


def test_gltf_says_what_the_extension_wants(still, tmp_path: Path) -> None:
    read, g = read_glb(export(still, tmp_path / "s.glb")), next(still.frames()).all
    assert np.array_equal(read.means[0], g.means) and np.abs(read.opacities - opacities_of(g)).max() < 1e-7
    assert np.abs(read.covariances - g.covariances()).max() < 1e-6 * np.abs(g.covariances()).max()
    assert read.more["fallback"].dtype == np.uint8 and len(read.more["fallback"]) == len(g)


def test_usd_has_meshes_velocities_and_the_camera(scene, moving, tmp_path: Path) -> None:
    read = read_usd(export(moving, tmp_path / "t.usda"))
    *_, last = moving.frames()
    assert np.array_equal(read.more["mesh"], last.meshes["ball"])
    assert np.array_equal(read.more["velocities"], last.physics.particles.velocities)
    camera, mine = read.more["camera"].frustum, scene.cameras[0]
    assert np.allclose(camera.position, mine.centre) and np.allclose(camera.ComputeViewDirection(), mine.viewmat[2, :3])
    seen = np.array(camera.ComputeProjectionMatrix())
    assert seen[0, 0] == pytest.approx(2 * mine.K[0, 0] / mine.width) and seen[1, 1] == pytest.approx(
        2 * mine.K[1, 1] / mine.height
    )


def test_usd_is_the_same_to_a_library_that_shares_no_code_with_its_writer(moving, tmp_path: Path) -> None:
    path = export(moving, tmp_path / "t.usd")
    theirs, pixar = read_usd_elsewhere(path), read_usd(path)
    assert np.array_equal(theirs.means, pixar.means) and np.array_equal(theirs.particles, pixar.particles)
    assert np.allclose(theirs.colors, pixar.colors, atol=1e-6) and np.array_equal(theirs.opacities, pixar.opacities)
    assert theirs.times == pytest.approx(pixar.times)


def test_mcap_has_what_the_node_publishes(scene, moving, tmp_path: Path) -> None:
    topics = read_mcap(export(moving, tmp_path / "t.mcap")).more["topics"]
    kinds = {name: messages[0][1] for name, messages in topics.items()}
    assert kinds == {
        "/perpetual_wonder/prediction/particles": "sensor_msgs/msg/PointCloud2",
        "/perpetual_wonder/prediction/splats": "sensor_msgs/msg/PointCloud2",
        "/perpetual_wonder/background/splats": "sensor_msgs/msg/PointCloud2",
        "/perpetual_wonder/prediction/entities/ball/pose": "geometry_msgs/msg/PoseStamped",
        "/perpetual_wonder/prediction/entities/ball/path": "nav_msgs/msg/Path",
        "/perpetual_wonder/view/photo/camera_info": "sensor_msgs/msg/CameraInfo",
        "/tf": "tf2_msgs/msg/TFMessage",
        "/tf_static": "tf2_msgs/msg/TFMessage",
    }
    *_, last = moving.frames()
    pose = topics["/perpetual_wonder/prediction/entities/ball/pose"][-1][2]
    there = [pose.pose.position.x, pose.pose.position.y, pose.pose.position.z]
    assert np.allclose(there, last.poses[0].position) and pose.header.frame_id == "world"
    ((_, _, path),) = topics["/perpetual_wonder/prediction/entities/ball/path"]
    assert [p.header.stamp.sec + p.header.stamp.nanosec * 1e-9 for p in path.poses] == pytest.approx(100 + moving.times)


def test_a_recording_plays_as_a_rosbag_does(moving, tmp_path: Path) -> None:
    from rosbags.highlevel import AnyReader

    with AnyReader([export(moving, tmp_path / "t.mcap")]) as bag:
        assert bag.message_count == 1 + 1 + 1 + 3 * 4 + 1
        latched = {
            c.topic for c in bag.connections if c.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
        }
    assert latched == {
        "/tf_static", "/perpetual_wonder/view/photo/camera_info", "/perpetual_wonder/prediction/entities/ball/path",
        "/perpetual_wonder/background/splats",
    }  # fmt: skip


def test_rerun_has_poses_and_a_background_that_is_said_once(moving, tmp_path: Path) -> None:
    rows = read_rrd(export(moving, tmp_path / "t.rrd")).more["rows"]
    assert len(rows["world/things"]) == len(rows["world/entities/ball"]) == 3 and len(rows["world/background"]) == 1
    assert "world/cameras/photo" in rows


def test_harmonics_of_higher_degree_are_kept(scene, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fuller = {n: replace(g, sh=np.concatenate([g.sh, rng.normal(size=(len(g), 3, 3))], 1).astype(np.float32))
              for n, g in (("foreground", scene.foreground), ("background", scene.background))}  # fmt: skip
    content = Content(replace(scene, **fuller), [0.0], lambda _: scene.initial_physics())
    wanted = next(content.frames()).things.sh
    from pxr import Usd, UsdVol

    stage = Usd.Stage.Open(str(export(content, tmp_path / "s.usd")))
    things = UsdVol.ParticleField3DGaussianSplat.Get(stage, "/World/things")
    assert things.GetRadianceSphericalHarmonicsDegreeAttr().Get() == 1
    sh = np.asarray(things.GetRadianceSphericalHarmonicsCoefficientsAttr().Get())
    assert np.array_equal(sh.reshape(wanted.shape), wanted)
    (row,) = read_rrd(export(content, tmp_path / "s.rrd")).more["rows"]["world/things"]
    rest = np.asarray(row["GaussianSplats3D:sh_coefficients"], np.float32).reshape(len(wanted), -1, 3)
    assert np.abs(rest[:, :3] - wanted[:, 1:]).max() < 2e-3 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("what", "name", "said"),
    [("moving", "t.csv", "expected a name ending in .ply, .glb"), ("moving", "t.ply", "holds one instant"),
     ("still", "s.npz", "name a trajectory"), ("still", "taken", "no export made")],
)  # fmt: skip
def test_what_cannot_be_written_is_said(request, tmp_path: Path, what: str, name: str, said: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").touch()
    with pytest.raises(PWError, match=said):
        export(request.getfixturevalue(what), tmp_path / name)
    assert (tmp_path / "taken" / "mine.txt").exists() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("ending", "package"), [(".usd", "usd-core"), (".mcap", "rosbags"), (".rrd", "rerun-sdk")])
def test_a_missing_package_is_named_with_the_command(
    still, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, package: str
) -> None:
    missing = FORMATS[ending].package
    for name in [n for n in sys.modules if n == missing or n.startswith(missing + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Refuse(missing), *sys.meta_path])
    with pytest.raises(PWError, match=f"pip install '{package}'"):
        export(still, tmp_path / f"s{ending}")


class _Refuse:
    """As if a package were not installed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, *_: object) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_an_export_replaces_an_earlier_one(moving, tmp_path: Path) -> None:
    for _ in range(2):
        export(moving, tmp_path / "frames")
    assert len(list((tmp_path / "frames").iterdir())) == 4


@pytest.mark.parametrize("ending", ["", ".usd", ".rrd"])
def test_shadows_that_move_are_exported(tmp_path: Path, ending: str) -> None:
    scene = lit_scene()
    up = replace(scene.particles, positions=scene.rest + np.float32([0, 0, 0.1]))
    states = [scene.initial_physics(), replace(scene.initial_physics(), particles=up)]
    places = np.stack([scene.rest, up.positions])
    moved = Trajectory("t", "a", "b", np.arange(2.0), places, np.zeros_like(places), {})
    content = Content(scene, [0.0, 1.0], lambda k: states[k], trajectory=moved)
    *_, last = content.frames()
    assert np.abs(READERS[ending](export(content, tmp_path / f"t{ending}")).colors - last.all.colors()).max() < BYTE
