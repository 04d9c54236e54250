"""Exports read back by libraries that did not write them: what they hold of particles and Gaussians.

Each reader gives a `Read`; its arrays are as the format holds them, in the order that was written.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Read:
    """times [s] (T,); particles and means [m] (T, J or N, 3); colours 0 to 1 and opacities of the Gaussians, and their
    covariances [m²], of the last frame; meshes [m] of the last frame."""

    times: np.ndarray
    particles: np.ndarray | None = None
    means: np.ndarray | None = None
    colors: np.ndarray | None = None
    opacities: np.ndarray | None = None
    covariances: np.ndarray | None = None
    more: dict = field(default_factory=dict)


def covariances(quats_xyzw: np.ndarray, scales: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    m = Rotation.from_quat(quats_xyzw).as_matrix() * scales[:, None, :]
    return m @ m.transpose(0, 2, 1)


SH_C0 = 0.5 / np.sqrt(np.pi)


def read_frames(folder: Path) -> Read:
    """A folder of PLY files, with plyfile."""
    told = json.loads((folder / "frames.json").read_text())
    means = []
    for each in told["frames"]:
        vertex = ply(folder / each["file"])
        means.append(vertex[:, :3])
    return Read(
        np.array([f["time_s"] for f in told["frames"]]), None, np.array(means), *ply_looks(folder / each["file"])
    )


def ply(path: Path) -> np.ndarray:
    from plyfile import PlyData

    vertex = PlyData.read(str(path))["vertex"]
    names = ["x", "y", "z", *(f"f_dc_{k}" for k in range(3)), "opacity", *(f"scale_{k}" for k in range(3)),
             *(f"rot_{k}" for k in range(4))]  # fmt: skip
    return np.stack([np.asarray(vertex[n]) for n in names], 1)


def ply_looks(path: Path) -> tuple:
    v = ply(path)
    return 0.5 + SH_C0 * v[:, 3:6], 1 / (1 + np.exp(-v[:, 6])), covariances(v[:, [11, 12, 13, 10]], np.exp(v[:, 7:10]))


def read_glb(path: Path) -> Read:
    """With pygltflib, whose dataclasses keep the extension's attributes."""
    import struct

    from pygltflib import GLTF2

    gltf = GLTF2().load(str(path))
    blob = gltf.binary_blob()
    size = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
    raw = path.read_bytes()
    told = json.loads(raw[20 : 20 + struct.unpack_from("<I", raw, 12)[0]])

    def array(index: int) -> np.ndarray:
        accessor, view = gltf.accessors[index], gltf.bufferViews[gltf.accessors[index].bufferView]
        kind = np.float32 if accessor.componentType == 5126 else np.uint8
        count = accessor.count * size[accessor.type]
        return np.frombuffer(blob, kind, count, view.byteOffset).reshape(accessor.count, -1)

    parts: dict[str, list[np.ndarray]] = {}
    for mesh in told["meshes"]:
        (primitive,) = mesh["primitives"]
        assert primitive["mode"] == 0 and "KHR_gaussian_splatting" in primitive["extensions"]
        for name, index in primitive["attributes"].items():
            parts.setdefault(name.removeprefix("KHR_gaussian_splatting:"), []).append(array(index))
    a = {name: np.concatenate(each) for name, each in parts.items()}
    return Read(np.zeros(1), None, a["POSITION"][None], 0.5 + SH_C0 * a["SH_DEGREE_0_COEF_0"], a["OPACITY"][:, 0],
                covariances(a["ROTATION"], a["SCALE"]), {"fallback": a["COLOR_0"]})  # fmt: skip


def read_usd(path: Path) -> Read:
    """With OpenUSD."""
    from pxr import Usd, UsdGeom, UsdVol

    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Z" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    splats = [UsdVol.ParticleField3DGaussianSplat.Get(stage, f"/World/{n}") for n in ("things", "background")]
    points = [UsdGeom.Points(p) for p in stage.GetPrimAtPath("/World/particles").GetChildren()]
    codes = points[0].GetPointsAttr().GetTimeSamples() or [Usd.TimeCode.Default()]

    def at(attribute: str, code: object, things: list = splats) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(p, f"Get{attribute}Attr")().Get(code)) for p in things])

    last = codes[-1]
    turns = np.concatenate([[[*q.imaginary, q.real] for q in s.GetOrientationsAttr().Get(last)] for s in splats])
    stretch = covariances(turns, at("Scales", last))
    first_harmonic = 0.5 + SH_C0 * at("RadianceSphericalHarmonicsCoefficients", last)
    seconds = [float(c.GetValue() if isinstance(c, Usd.TimeCode) else c) / stage.GetTimeCodesPerSecond() for c in codes]
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/World/cameras").GetChildren()[0]).GetCamera(codes[0])
    meshes = [UsdGeom.Mesh(p) for p in stage.GetPrimAtPath("/World/meshes").GetChildren()]
    more = {"camera": camera, "mesh": at("Points", last, meshes), "velocities": at("Velocities", last, points)}
    return Read(
        np.array(seconds), np.array([at("Points", c, points) for c in codes]),
        np.array([at("Positions", c) for c in codes]), first_harmonic, at("Opacities", last), stretch, more,
    )  # fmt: skip


def read_usd_elsewhere(path: Path) -> Read:
    """With tinyusdz, which shares no code with OpenUSD: it decodes the file, and its text is what is compared, since
    its Python side gives no arrays. Release 0.9.4 stops in the middle of arrays, and leaves out later ones, once a part
    of the file has some ten million characters: frames that are not whole are not in `times`, colours may be None."""
    import tinyusdz

    stage = tinyusdz.load(str(path))
    arrays: dict[tuple[str, str, str], dict[float, np.ndarray]] = {}
    prim = attribute = ("", "")
    for line in stage.export_to_string().splitlines():
        if found := re.match(r'\s*def (\w+) "(\w+)"', line):
            prim = found.groups()
        elif found := re.match(r"\s*\S+ (\S+)\.timeSamples = \{", line):
            attribute = (*prim, found[1])
        elif found := re.match(r"\s*(?:(\S+): |\S+\[\] (\S+) = )\[(.*)\]", line):
            code, name, numbers = found.groups()
            key = attribute if code else (*prim, name)
            values = re.sub("[() ]", "", numbers).split(",")
            whole = "" not in values
            arrays.setdefault(key, {})[float(code or 0)] = np.array(values, np.float32) if whole else np.zeros(0)
    rate = stage.get_metadata("timeCodesPerSecond")
    bodies = [k for k in arrays if k[0] == "Points" and k[2] == "points"]
    splats = [("ParticleField3DGaussianSplat", each) for each in ("things", "background")]
    placed = [*bodies, *((*each, "positions") for each in splats)]

    def whole(key: tuple[str, str, str], code: float) -> bool:
        own = arrays[key]
        return bool(own[code].size) if code in own else len(own) == 1 and all(a.size for a in own.values())

    codes = [c for c in sorted(arrays[bodies[0]]) if all(whole(k, c) for k in placed)]

    def at(name: str, code: float, keys: list[tuple[str, str, str]] | None = None) -> np.ndarray:
        keys = keys or [(*each, name) for each in splats]
        return np.concatenate([arrays[k].get(code, list(arrays[k].values())[-1]) for k in keys])

    harmonics = "radiance:sphericalHarmonicsCoefficients"
    known = all(whole((*each, harmonics), codes[-1]) for each in splats)
    colors = 0.5 + SH_C0 * at(harmonics, codes[-1]).reshape(-1, 3) if known else None
    return Read(
        np.array(codes) / rate, np.array([at("points", c, bodies).reshape(-1, 3) for c in codes]),
        np.array([at("positions", c).reshape(-1, 3) for c in codes]), colors, at("opacities", codes[-1]),
    )  # fmt: skip


def read_mcap(path: Path) -> Read:
    """With Foxglove's own reader and its ROS 2 decoder."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    read: dict[str, list] = {}
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for schema, channel, record, message in reader.iter_decoded_messages():
            read.setdefault(channel.topic, []).append((record.log_time * 1e-9, schema.name, message))
    particles, splats = read["/perpetual_wonder/prediction/particles"], read["/perpetual_wonder/prediction/splats"]
    ((_, _, still),) = read["/perpetual_wonder/background/splats"]
    ground = cloud(still)
    last = np.concatenate([cloud(splats[-1][2]), ground])
    rgb = np.stack([last["rgb"] >> s & 255 for s in (16, 8, 0)], 1) / 255
    means = np.array([np.concatenate([xyz(cloud(m)), xyz(ground)]) for _, _, m in splats])
    places = np.array([xyz(cloud(m)) for _, _, m in particles])
    return Read(np.array([t for t, _, _ in particles]), places, means, rgb, last["opacity"], None,
                {"topics": read, "size": last["size"]})  # fmt: skip


def cloud(message) -> np.ndarray:
    formats = {7: "<f4", 6: "<u4"}
    kinds = [(f.name, "<u4" if f.name == "rgb" else formats[f.datatype]) for f in message.fields]
    return np.frombuffer(bytes(message.data), np.dtype(kinds))


def xyz(points: np.ndarray) -> np.ndarray:
    return np.stack([points[n] for n in "xyz"], 1)


def read_rrd(path: Path) -> Read:
    """With Rerun's reader, which gives Arrow tables."""
    from rerun.chunk import RrdReader

    rows: dict[str, list] = {}
    for chunk in RrdReader(str(path)).stream().to_chunks():
        batch = chunk.to_record_batch()
        table = batch.select([n for n in batch.schema.names if n not in ("log_time", "log_tick")]).to_pydict()
        for k in range(chunk.num_rows):
            rows.setdefault(chunk.entity_path.lstrip("/"), []).append({n: v[k] for n, v in table.items()})
    for each in rows.values():  # chunks come as they were filled, on a busy machine not in the order of time
        each.sort(key=lambda row: row["sim_time"].total_seconds() if row.get("sim_time") is not None else -1.0)

    def times(name: str) -> np.ndarray:
        return np.array([r["sim_time"].total_seconds() for r in rows[name]])

    def of(name: str, what: str, k: int) -> np.ndarray:
        return np.asarray(rows[f"world/{name}"][k][f"GaussianSplats3D:{what}"])

    # What is logged of the ground later replaces its colours alone.
    ground = {w: [r[f"GaussianSplats3D:{w}"] for r in rows["world/background"] if r.get(f"GaussianSplats3D:{w}")][-1]
              for w in ("centers", "colors", "quaternions", "scales")}  # fmt: skip
    count = len(rows["world/things"])
    both = {w: np.concatenate([of("things", w, -1), ground[w]])
            for w in ("colors", "quaternions", "scales")}  # fmt: skip
    means = [np.concatenate([of("things", "centers", k), ground["centers"]]) for k in range(count)]
    rgba = np.stack([both["colors"].astype(np.uint32) >> s & 255 for s in (24, 16, 8, 0)], 1) / 255
    places = np.array([r["Points3D:positions"] for r in rows["world/particles"]])
    return Read(times("world/things"), places, np.array(means), rgba[:, :3], rgba[:, 3],
                covariances(both["quaternions"], both["scales"]), {"rows": rows})  # fmt: skip


READERS = {"": read_frames, ".usd": read_usd, ".mcap": read_mcap, ".rrd": read_rrd, ".glb": read_glb}
