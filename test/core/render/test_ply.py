"""Gaussians in files as other tools write them, and our files read as other tools read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pw_core.errors import SceneError
from pw_core.gaussians import Gaussians
from pw_core.render import rasterize
from pw_core.render.ply import read_ply, write_ply

N = 40


def cloud(degree: int = 3) -> Gaussians:
    rng = np.random.default_rng(degree)
    f = np.float32
    means = (rng.uniform(-0.5, 0.5, size=(N, 3)) + np.array([0, 0, 2])).astype(f)
    return Gaussians(means, rng.normal(size=(N, 4)).astype(f), rng.uniform(-4, -2.5, size=(N, 3)).astype(f),
                     rng.normal(size=N).astype(f), rng.normal(size=(N, (degree + 1) ** 2, 3)).astype(f))  # fmt: skip


def picture(g: Gaussians) -> torch.Tensor:
    """What the file's numbers mean, by their usual activations."""
    t = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in g.arrays().items()}
    K = torch.tensor([[[80.0, 0, 40], [0, 80, 30], [0, 0, 1]]])
    return rasterize(t["means"], t["quats"], t["log_scales"].exp(), t["opacities"].sigmoid(), t["sh"],
                     torch.eye(4)[None], K, 80, 60, sh_degree=round(g.sh.shape[1] ** 0.5) - 1).rgb  # fmt: skip


def same(a: Gaussians, b: Gaussians) -> None:
    for name, array in a.arrays().items():
        np.testing.assert_allclose(b.arrays()[name], array, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_what_gsplat_exports_is_read_and_drawn(tmp_path: Path, degree: int) -> None:
    export_splats = pytest.importorskip("gsplat.exporter").export_splats
    g = cloud(degree)
    t = {k: torch.from_numpy(v) for k, v in g.arrays().items()}
    export_splats(t["means"], t["log_scales"], t["quats"], t["opacities"], t["sh"][:, :1], t["sh"][:, 1:],
                  save_to=str(tmp_path / "splats.ply"))  # fmt: skip
    back = read_ply(tmp_path / "splats.ply")
    same(g, back)
    assert picture(g).max() > 0.3 and torch.equal(picture(g), picture(back))


def columns(g: Gaussians) -> dict[str, NDArray[Any]]:
    """The file's columns, worked out here and not by our writer."""
    bands = g.sh.shape[1]
    out: dict[str, NDArray[Any]] = {}
    for j, axis in enumerate("xyz"):
        out[axis] = g.means[:, j]
    for c in range(3):
        out[f"f_dc_{c}"] = g.sh[:, 0, c]
        for k in range(1, bands):
            out[f"f_rest_{c * (bands - 1) + k - 1}"] = g.sh[:, k, c]
    out["opacity"] = g.opacities
    for j in range(3):
        out[f"scale_{j}"] = g.log_scales[:, j]
    for j in range(4):
        out[f"rot_{j}"] = g.quats[:, j]
    return out


@pytest.mark.parametrize("number", ["f4", "f8"])
@pytest.mark.parametrize("form", ["ascii", "little", "big"])
@pytest.mark.parametrize("degree", [0, 3])
def test_order_numbers_and_further_properties_do_not_matter(
    tmp_path: Path, form: str, number: str, degree: int
) -> None:
    from plyfile import PlyData, PlyElement

    g = cloud(degree)
    have = columns(g) | {"red": np.arange(N), "segment": np.arange(N) % 3, "nx": np.zeros(N)}
    names = list(have)
    np.random.default_rng(5).shuffle(names)
    vertices = np.empty(N, dtype=[(n, "u1" if n in ("red", "segment") else number) for n in names])
    for n in names:
        vertices[n] = have[n]
    faces = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    elements = [PlyElement.describe(faces, "face"), PlyElement.describe(vertices, "vertex", comments=["elsewhere"])]
    PlyData(elements, text=form == "ascii", byte_order=">" if form == "big" else "<").write(str(tmp_path / "a.ply"))
    back = read_ply(tmp_path / "a.ply")
    same(g, back)
    assert all(a.dtype == np.float32 for a in back.arrays().values())
    torch.testing.assert_close(picture(back), picture(g), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_our_files_read_as_the_original_reader_does(tmp_path: Path, degree: int) -> None:
    """Properties found by prefix and sorted by their number, the rest as (N, 3, K - 1): how 3DGS tools read a file."""
    from plyfile import PlyData

    g = cloud(degree)
    write_ply(tmp_path / "a.ply", g)
    vertex = PlyData.read(str(tmp_path / "a.ply")).elements[0]
    assert vertex.name == "vertex" and all(p.val_dtype == "f4" for p in vertex.properties)

    def found(prefix: str) -> NDArray[Any]:
        named = [p.name for p in vertex.properties if p.name.startswith(prefix)]
        return np.stack([vertex[n] for n in sorted(named, key=lambda n: int(n.split("_")[-1]))], 1) if named else \
            np.empty((N, 0))  # fmt: skip

    rest = found("f_rest_").reshape(N, 3, (degree + 1) ** 2 - 1)
    assert np.array_equal(rest.transpose(0, 2, 1), g.sh[:, 1:])
    assert np.array_equal(found("f_dc_"), g.sh[:, 0])
    assert np.array_equal(found("scale_"), g.log_scales) and np.array_equal(found("rot"), g.quats)
    assert np.array_equal(vertex["opacity"], g.opacities)


def test_torn_and_odd_files_say_what_is_wrong(tmp_path: Path) -> None:
    from plyfile import PlyData, PlyElement

    write_ply(tmp_path / "a.ply", cloud())
    whole = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "torn.ply").write_bytes(whole[:-100])
    with pytest.raises(SceneError, match="torn"):
        read_ply(tmp_path / "torn.ply")
    for gone, words in (("f_rest_3", "8 f_rest"), ("rot_2", "rot_2"), ("opacity", "opacity")):
        have = columns(cloud(1))
        del have[gone]
        vertices = np.empty(N, dtype=[(n, "f4") for n in have])
        PlyData([PlyElement.describe(vertices, "vertex")]).write(str(tmp_path / "b.ply"))
        with pytest.raises(SceneError, match=words):
            read_ply(tmp_path / "b.ply")


def test_ply_round_trip_and_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    f = np.float32
    g = Gaussians(rng.normal(size=(7, 3)).astype(f),
                     rng.normal(size=(7, 4)).astype(f), rng.normal(size=(7, 3)).astype(f),
                     rng.normal(size=7).astype(f), rng.normal(size=(7, 16, 3)).astype(f))  # fmt: skip
    write_ply(tmp_path / "a.ply", g)
    back = read_ply(tmp_path / "a.ply").arrays()
    for name, array in g.arrays().items():
        assert np.array_equal(array, back[name]), name
    # The layout other tools expect, read without our reader: 62 little-endian floats a row, rest harmonics channel by
    # channel.
    raw = (tmp_path / "a.ply").read_bytes()
    head, body = raw.split(b"end_header\n", 1)
    names = [line.split()[-1].decode() for line in head.splitlines() if line.startswith(b"property float")]
    rows = np.frombuffer(body, "<f4").reshape(7, 62)
    assert names[:6] == ["x", "y", "z", "nx", "ny", "nz"] and names[-4:] == ["rot_0", "rot_1", "rot_2", "rot_3"]
    assert np.array_equal(rows[:, names.index("f_rest_15")], g.sh[:, 1, 1])
    assert np.array_equal(rows[:, names.index("f_rest_44")], g.sh[:, 15, 2])


def test_ply_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "x.ply").write_text("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1.0\n")
    with pytest.raises(SceneError, match="missing"):
        read_ply(tmp_path / "x.ply")
    with pytest.raises(SceneError, match="absent"):
        read_ply(tmp_path / "absent.ply")
