"""One thread's blending against what its arithmetic and memory would take."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit

from parts.records import record
from parts.render_scenes import camera, cloud, forward_backward, timed
from pw_core.kernels.simd import vload, vstore
from pw_core.render.checks import Options
from pw_core.render.image import Settings, project


@njit(nogil=True, error_model="numpy")
def _count_rows(rec, offsets, ids, across, height):  # type: ignore[no-untyped-def]
    """Rows of 16 pixels that the ellipses of the tiles' lists reach, and those pixels of theirs with alpha >= 1/255."""
    rows = lanes = 0
    for tile in range(len(offsets) - 1):
        x0, y0 = (tile % across) * 16, (tile // across) * 16
        for k in range(offsets[tile], offsets[tile + 1]):
            r = rec[ids[k]]
            for y in range(min(16, height - y0)):
                dy = r[1] - (y0 + y + 0.5)
                hit = 0
                for x in range(16):
                    dx = r[0] - (x0 + x + 0.5)
                    hit += 0.5 * r[2] * dx * dx + r[3] * dx * dy + 0.5 * r[4] * dy * dy <= r[14]
                rows += hit > 0
                lanes += hit
    return rows, lanes


@njit(nogil=True, error_model="numpy")
def _multiply_add(x, repeats):  # type: ignore[no-untyped-def]
    a, b = vload(x, 0), vload(x, 16)
    c, d, e, f, g, h = a, b, a, b, a, b
    for _ in range(repeats):
        a, b, c, d = a * x[0] + x[1], b * x[0] + x[1], c * x[0] + x[1], d * x[0] + x[1]
        e, f, g, h = e * x[0] + x[1], f * x[0] + x[1], g * x[0] + x[1], h * x[0] + x[1]
    vstore(x, 0, a + b + c + d + e + f + g + h)


# Vector instructions that a row of 16 pixels takes, counted in the kernels' source: exponential 14, sums of colour and
# depth 12 and 8 with their loads, a division counted as 10, and so on.
ROW_OPS = {"forward": 45, "backward": 80}


def roofline() -> None:
    """One thread's blending of the benchmark scene against what its arithmetic and memory would take."""
    scene, shape = cloud(), camera()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = Options(near=0.01, far=1e10, eps2d=0.3, antialiased=False, radius_clip=0.0)
    s = Settings((), shape["width"], shape["height"], -1, options)
    arrays = {k: v.numpy() for k, v in scene.items()}
    arrays |= {"covars": np.empty((0, 3, 3), np.float32), "view": np.eye(4, dtype=np.float32),
               "intr": np.array([1100, 1100, 640, 352], np.float32)}  # fmt: skip
    seen = project(arrays, s)
    offsets, ids, rec = seen.offsets, seen.ids, seen.rec
    rows, lanes = _count_rows(rec, offsets, ids, -(-s.width // 16), s.height)
    x = np.full(32, 0.5, np.float32)
    op_ns = timed(lambda: _multiply_add(x, 2_000_000)) * 1e6 / (8 * 2_000_000)
    big = np.ones(25_000_000, np.float32)
    copied = np.empty_like(big)
    gb_s = 2 * big.nbytes / 1e6 / timed(lambda: np.copyto(copied, big))
    measured = forward_backward(scene, shape)
    torch.set_num_threads(threads)
    read = {"forward": len(ids) * 68 + s.width * s.height * 24, "backward": len(ids) * 108 + s.width * s.height * 44}
    record("roofline: pairs of tile and Gaussian", len(ids), "", "reported", None)
    record("roofline: rows of 16 pixels blended", int(rows), "", "reported", None, f"{int(lanes)} pixels hit")
    record("roofline: lanes that work", 100 * lanes / (16 * rows), "%", "reported", None)
    record("roofline: 16-lane multiply-add", op_ns, "ns", "reported", None)
    record("roofline: memory, copying", gb_s, "GB/s", "reported", None)
    for name, ops in ROW_OPS.items():
        arithmetic, memory = rows * ops * op_ns / 1e6, read[name] / gb_s / 1e6
        record(f"roofline: {name}, one thread", measured[name], "ms", "reported", None,
               f"arithmetic {arithmetic:.0f} ms ({ops} vector instructions a row), memory {memory:.1f} ms")  # fmt: skip
