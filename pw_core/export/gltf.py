"""One instant as binary glTF 2.0 with KHR_gaussian_splatting: viewers without it show coloured points.

The layout is that of the extension: linear scales, opacities from 0 to 1, quaternions xyzw, harmonics as they are, in
display colours. Plain JSON and bytes, since no library writes the extension yet.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.export.content import Content, attributes, opacities_of
from pw_core.gaussians import Gaussians

EXTENSION = "KHR_gaussian_splatting"
_FLOAT, _BYTE = 5126, 5121
_Z_UP = [-(0.5**0.5), 0.0, 0.0, 0.5**0.5]  # a quarter turn about x, xyzw: glTF's y is up


class _Buffer:
    """Accessors, views and the bytes behind them."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: NDArray[Any], *, bounds: bool = False) -> int:
        """An array (N,) or (N, 3 or 4), float32 or uint8; returns its accessor's index."""
        array = np.ascontiguousarray(array)
        float_ = array.dtype == np.float32
        kind = "SCALAR" if array.ndim == 1 else f"VEC{array.shape[1]}"
        entry = {"bufferView": len(self.views), "componentType": _FLOAT if float_ else _BYTE, "count": len(array),
                 "type": kind}  # fmt: skip
        if not float_:
            entry["normalized"] = True
        if bounds:
            entry |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes})
        self.accessors.append(entry)
        self.data += array.tobytes()
        self.data += bytes(-len(self.data) % 4)
        return len(self.accessors) - 1


def write_glb(content: Content, path: Path) -> None:
    """The only instant of `content`, its things and its background as two meshes."""
    frame = next(content.frames())
    buffer = _Buffer()
    parts = {"things": frame.things, "background": frame.background}
    parts = {name: part for name, part in parts.items() if len(part)}
    meshes = [{"name": name, "primitives": [_primitive(buffer, part)]} for name, part in parts.items()]
    children = [{"name": mesh["name"], "mesh": k} for k, mesh in enumerate(meshes)]
    root = {"name": content.scene.id, "rotation": _Z_UP, "children": list(range(1, len(children) + 1))}
    told = {
        "asset": {"version": "2.0", "generator": "perpetual-wonder", "extras": attributes(content)},
        "extensionsUsed": [EXTENSION], "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [root, *children],
        "meshes": meshes, "accessors": buffer.accessors, "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }  # fmt: skip
    text = json.dumps(told, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer.data), b"BIN\0") + bytes(buffer.data)
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _primitive(buffer: _Buffer, g: Gaussians) -> dict[str, Any]:
    opacity = opacities_of(g)
    color = np.concatenate([g.colors() ** 2.2, opacity[:, None]], axis=1)  # COLOR_0 is linear light
    quats = g.quats / np.linalg.norm(g.quats, axis=1, keepdims=True)
    there = {
        "POSITION": buffer.add(g.means, bounds=True),
        "COLOR_0": buffer.add((color * 255).round().astype(np.uint8)),
        f"{EXTENSION}:ROTATION": buffer.add(quats[:, [1, 2, 3, 0]].astype(np.float32)),
        f"{EXTENSION}:SCALE": buffer.add(np.exp(g.log_scales).astype(np.float32)),
        f"{EXTENSION}:OPACITY": buffer.add(opacity),
    }
    for degree in range(g.sh_degree + 1):
        for k in range(2 * degree + 1):
            name = f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{k}"
            there[name] = buffer.add(g.sh[:, degree**2 + k].astype(np.float32))
    kind = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    return {"mode": 0, "attributes": there, "extensions": {EXTENSION: kind}}
