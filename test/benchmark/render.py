"""Rendering figures: `make bench BENCH=render` writes out/bench/render.json.

The scene is that of OpenSplat's CPU measurement (976 ms forward and 556 ms backward on two cores): 100 000 Gaussians,
1280 x 704, 22.7 million blends. Where CUDA and gsplat are there, agreement with it and the overhead of
our entry are measured too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from parts.records import RECORDS
from parts.views import views

from pw_core.render import cpu, rasterize
from pw_core.render.chunks import frames_within, sum_over_frames
from pw_core.render.flow import optical_flow
from pw_core.render.prepared import prepare, rasterize_over
from pw_core.render.reference import covariances
from pw_core.render.simd import vload, vstore

OPENSPLAT_MS = {"forward": 976.0, "backward": 556.0}
BLENDS = 22.7e6
OUT = Path("out/bench/render.json")


def timed(work: Callable[[], Any], repeats: int = 5) -> float:
    """The median time of `work` in ms, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def alternating(first: Callable[[], Any], second: Callable[[], Any], repeats: int = 300) -> tuple[float, float]:
    """Median ms of two CUDA calls taken in turn, so that the card's clock treats them alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for work, into in zip((first, second), times, strict=True):
            torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            into.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[0][30:]), statistics.median(times[1][30:])


def cloud(n: int = 100_000, device: str = "cpu") -> dict[str, Any]:
    torch.manual_seed(0)
    means = torch.randn(n, 3) * 0.5
    means[:, 2] += 3
    tensors = {"means": means, "quats": torch.randn(n, 4), "scales": torch.rand(n, 3) * 0.01 + 0.003,
               "opacities": torch.rand(n), "colors": torch.rand(n, 3)}  # fmt: skip
    return {k: v.to(device) for k, v in tensors.items()}


def camera(width: int = 1280, height: int = 704, device: str = "cpu") -> dict[str, Any]:
    f = 1100.0 * width / 1280
    K = torch.tensor([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]], device=device)
    return {"viewmats": torch.eye(4, device=device)[None], "Ks": K[None], "width": width, "height": height}


def forward_backward(scene: dict[str, Any], view: dict[str, Any]) -> dict[str, float]:
    """Median ms of the forward and the backward pass, with gradients to all five inputs."""
    leaves = {k: v.clone().requires_grad_() for k, v in scene.items()}
    forward: list[float] = []
    backward: list[float] = []
    for _ in range(6):
        a = time.perf_counter()
        picture = rasterize(**leaves, **view).rgb
        b = time.perf_counter()
        picture.sum().backward()
        forward.append(1e3 * (b - a))
        backward.append(1e3 * (time.perf_counter() - b))
    return {"forward_ms": statistics.median(forward[1:]), "backward_ms": statistics.median(backward[1:])}


def speed() -> dict[str, Any]:
    main = forward_backward(cloud(), camera())
    total = main["forward_ms"] + main["backward_ms"]
    main |= {
        "ns_per_blend_forward": 1e6 * main["forward_ms"] / BLENDS,
        "ns_per_blend_backward": 1e6 * main["backward_ms"] / BLENDS,
        "times_faster_than_opensplat": sum(OPENSPLAT_MS.values()) / total,
    }
    scaling: dict[str, Any] = {}
    for n in (20_000, 100_000, 500_000):
        scaling[f"n={n}"] = forward_backward(cloud(n), camera())
    for width, height in ((640, 352), (1920, 1056)):
        scaling[f"{width}x{height}"] = forward_backward(cloud(), camera(width, height))
    threads = torch.get_num_threads()
    for count in sorted({1, 2, 4, 8, 16, 32, threads} & set(range(1, (os.cpu_count() or 1) + 1))):
        torch.set_num_threads(count)
        scaling[f"threads={count}"] = forward_backward(cloud(), camera())
    torch.set_num_threads(threads)
    return {"scene": main, "scaling": scaling, "opensplat_ms": OPENSPLAT_MS}


def first_call() -> dict[str, float]:
    """Seconds of the first forward and backward pass of a process, with an empty and with a filled kernel cache."""
    code = (
        "import sys, time; sys.path[:0] = ['.', 'test/benchmark']; import torch, render as b; s = b.cloud(100);"
        "v = b.camera(64, 48); t = time.perf_counter(); b.forward_backward(s, v); print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        times = [
            float(subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout)
            for _ in range(2)
        ]
    return {"cold_s": times[0], "warm_s": times[1]}


def wall_and_lump() -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Means, quats, scales, opacities, colours of a still wall (220k) and of a lump before it (40k)."""
    n_back, n_front = 220_000, 40_000
    back = torch.rand(n_back, 3) * torch.tensor([3.2, 1.8, 0.02]) - torch.tensor([1.6, 0.9, -2.0])
    front = torch.randn(n_front, 3) * torch.tensor([0.12, 0.08, 0.08]) + torch.tensor([0.0, 0.2, 1.4])

    def parts(means: torch.Tensor, size: float) -> tuple[torch.Tensor, ...]:
        n = len(means)
        return (means, torch.randn(n, 4), torch.full((n, 3), size), torch.full((n,), 0.8), torch.rand(n, 3))

    return parts(back, 0.004), parts(front, 0.003)


def frames_over_background() -> dict[str, Any]:
    """49 frames at 640 x 352, RGB and depth: a wall and a table of 220k Gaussians behind 40k moving ones."""
    torch.manual_seed(1)
    wall, lump = wall_and_lump()
    view, K = torch.eye(4), torch.tensor([[550.0, 0, 320], [0, 550, 176], [0, 0, 1]])
    moves = torch.linspace(0, 0.2, 49)

    def plain() -> None:
        for x in moves:
            both = [torch.cat([a, b]) for a, b in zip(wall, (lump[0] + x, *lump[1:]), strict=True)]
            with torch.no_grad():
                rasterize(*both, view[None], K[None], 640, 352, render_depth="expected")

    def over() -> None:
        prepared = prepare(*wall, view, K, 640, 352)
        for x in moves:
            rasterize_over(prepared, lump[0] + x, *lump[1:], render_depth="expected")

    a, b = timed(plain, 2), timed(over, 2)
    return {"frames": 49, "plain_s": a / 1e3, "prepared_s": b / 1e3, "ratio": a / b}


def dumpling() -> dict[str, Any]:
    """49 frames of the dumpling scene at 640 x 352, RGB and depth: the dough is squashed and pushed along the table."""
    from pw_core.appearance import Appearance
    from pw_core.config import SceneConfig
    from pw_core.reconstruct import reconstruct

    scene = reconstruct(SceneConfig.load(Path("config/scenes/dumpling.yaml")))
    view, appearance, start = scene.cameras[0].resized(640, 352), Appearance(scene), scene.initial_physics()
    dough = scene.entity("dough").particles
    states = []
    for s in np.linspace(0, 1, 49):
        positions = start.particles.positions.copy()
        centre = positions[dough].mean(0)
        squash = np.array([1 + 0.2 * s, 1 + 0.2 * s, 1 - 0.3 * s], np.float32)
        positions[dough] = (positions[dough] - centre) * squash + centre + np.array([0.05 * s, 0, 0], np.float32)
        states.append(replace(start, particles=replace(start.particles, positions=positions)))
    still, look = scene.background, torch.sigmoid(torch.from_numpy(scene.foreground.opacities))
    back = [torch.from_numpy(x) for x in (still.means, still.covariances(), still.opacities, still.sh)]
    back[2] = torch.sigmoid(back[2])
    K, pose = (torch.from_numpy(x.astype(np.float32)) for x in (view.K, view.viewmat))
    degree = round(scene.foreground.sh.shape[1] ** 0.5) - 1
    sh = torch.from_numpy(scene.foreground.sh)
    found = [tuple(torch.from_numpy(x) for x in appearance.foreground(state)) for state in states]

    def whole() -> None:
        for means, covars in found:
            parts = zip(back, (means, covars, look, sh), strict=True)
            m, c, o, h = (torch.cat(pair) for pair in parts)
            with torch.no_grad():
                rasterize(m, None, None, o, h, pose[None], K[None], 640, 352, covars=c, sh_degree=degree,
                          render_depth="expected")  # fmt: skip

    def over() -> None:
        prepared = prepare(back[0], None, None, *back[2:], pose, K, 640, 352, covars=back[1], sh_degree=degree)
        for means, covars in found:
            with torch.no_grad():
                rasterize_over(prepared, means, None, None, look, sh, covars=covars, sh_degree=degree,
                               render_depth="expected")  # fmt: skip

    def in_all() -> None:
        for state in states:
            appearance.render(view, state)

    return {
        "gaussians": {"background": len(still), "foreground": len(scene.foreground)}, "frames": 49,
        "drawn whole_s": timed(whole, 2) / 1e3, "over the prepared background_s": timed(over, 2) / 1e3,
        "following the particles_s": timed(lambda: [appearance.foreground(x) for x in states], 2) / 1e3,
        "state to picture in all_s": timed(in_all, 2) / 1e3,
    }  # fmt: skip


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


def roofline() -> dict[str, Any]:
    """One thread's blending of the benchmark scene against what its arithmetic and memory would take."""
    scene, shape = cloud(), camera()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    s = cpu.Settings((), shape["width"], shape["height"], -1, 0.01, 1e10, 0.3, 0.0, False, False)
    arrays = {k: v.numpy() for k, v in scene.items()}
    rec, rects, _ = cpu.project(
        arrays["means"], arrays["quats"], arrays["scales"], np.empty((0, 3, 3), np.float32), arrays["opacities"],
        arrays["colors"], np.eye(4, dtype=np.float32), np.array([1100, 1100, 640, 352], np.float32), s,
    )  # fmt: skip
    offsets, ids, _, _ = cpu.bin_tiles(rec, rects, s)
    rows, lanes = _count_rows(rec, offsets, ids, -(-s.width // 16), s.height)
    x = np.full(32, 0.5, np.float32)
    op_ns = timed(lambda: _multiply_add(x, 2_000_000)) * 1e6 / (8 * 2_000_000)
    big = np.ones(25_000_000, np.float32)
    copied = np.empty_like(big)
    gb_s = 2 * big.nbytes / 1e6 / timed(lambda: np.copyto(copied, big))
    measured = forward_backward(scene, shape)
    torch.set_num_threads(threads)
    read = {"forward": len(ids) * 68 + s.width * s.height * 24, "backward": len(ids) * 108 + s.width * s.height * 44}
    return {
        "pairs": len(ids), "rows": int(rows), "pixels hit": int(lanes), "lanes that work": lanes / (16 * rows),
        "16-lane multiply-add_ns": op_ns, "memory_gb_s": gb_s,
        **{name: {"arithmetic_ms": rows * ops * op_ns / 1e6, "memory_ms": read[name] / gb_s / 1e6,
                  "measured_one_thread_ms": measured[f"{name}_ms"]} for name, ops in ROW_OPS.items()},
    }  # fmt: skip


def flow_error() -> dict[str, Any]:
    """End-point error of a plate that is moved, turned by 0.15 rad and scaled by 1.08, on visible pixels, with its
    deformation given, and with means and covariances alone."""
    xs = torch.linspace(-0.3, 0.3, 90)
    flat = torch.stack([*torch.meshgrid(xs, xs, indexing="xy"), torch.zeros(90, 90)], -1).reshape(-1, 3)
    cov = covariances(torch.tensor([1.0, 0, 0, 0]).repeat(8100, 1), torch.tensor([0.006, 0.006, 0.001]).expand(8100, 3))
    c, s = torch.cos(torch.tensor(0.15)), torch.sin(torch.tensor(0.15))
    A = 1.08 * torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    shift, move = torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.04, -0.03, 0.05])
    K = torch.tensor([[600.0, 0, 320], [0, 600, 176], [0, 0, 1]])
    y, x = torch.meshgrid(torch.arange(352) + 0.5, torch.arange(640) + 0.5, indexing="ij")
    goal = torch.stack([(x - 320) / 300, (y - 176) / 300, torch.zeros_like(x)], -1) @ A.T + shift + move
    truth = torch.stack([goal[..., 0] / goal[..., 2] * 600 + 320 - x, goal[..., 1] / goal[..., 2] * 600 + 176 - y], -1)
    out: dict[str, Any] = {}
    for name, deformations in (("given", A.expand(8100, 3, 3)), ("fitted", None)):
        start = time.perf_counter()
        flow = optical_flow(flat + shift, cov, flat @ A.T + shift + move, A @ cov @ A.T, torch.full((8100,), 0.9),
                            torch.eye(4)[None], K[None], 640, 352, deformations=deformations)  # fmt: skip
        took = time.perf_counter() - start
        seen = flow.forward_visible[0]
        error = (flow.forward[0] - truth).norm(dim=-1)[seen]
        out[f"deformations {name}"] = {
            "median_px": float(error.median()), "p99_px": float(error.quantile(0.99)),
            "visible_pixels": int(seen.sum()), "median_motion_px": float(truth[seen].norm(dim=-1).median()),
            "s": took,
        }  # fmt: skip
    return out


def refinement_step(device: str = "cpu", cameras: int = 1, frames: int = 49) -> dict[str, Any]:
    """An iteration of refinement: frames at 640 x 352 over a prepared background, forward and backward to means,
    opacities and colours, in runs within 512 MB (8 GB on CUDA)."""
    torch.manual_seed(1)
    wall, lump = wall_and_lump()
    covars = [covariances(x[1], x[2]).to(device) for x in (wall, lump)]
    wall, lump = (tuple(x.to(device) for x in part) for part in (wall, lump))
    K = torch.tensor([[550.0, 0, 320], [0, 550, 176], [0, 0, 1]], device=device)
    views = torch.eye(4, device=device).repeat(cameras, 1, 1)
    views[:, 0, 3] = torch.linspace(0, 0.1, cameras)
    prepared = [prepare(wall[0], None, None, *wall[3:], v, K, 640, 352, covars=covars[0]) for v in views]
    target = torch.rand(1, cameras, 352, 640, 3, device=device)
    leaves = [x.clone().requires_grad_() for x in lump[3:]]
    shift = torch.zeros(frames, 1, 3, device=device, requires_grad=True)
    moves = torch.linspace(0, 0.2, frames, device=device)[:, None, None]
    chunk = frames_within(512 if device == "cpu" else 8192, gaussians=len(lump[0]), cameras=cameras, width=640,
                          height=352, background=len(wall[0]), device=device)  # fmt: skip

    def loss(some: slice, means: torch.Tensor, cov: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        drawn = rasterize_over(prepared, means, None, None, *rest, covars=cov)
        return (drawn.rgb - target).abs().mean() * (some.stop - some.start) / frames

    def step() -> None:
        framed = [lump[0] + shift + moves, covars[1].expand(frames, *covars[1].shape)]
        sum_over_frames(loss, framed=framed, shared=leaves, chunk=chunk).backward()

    return {"frames": frames, "cameras": cameras, "frames_a_run": min(chunk, frames), "s": timed(step, 3) / 1e3}


def agreement() -> dict[str, Any]:
    """Our kernels on the CPU against gsplat on CUDA, same inputs."""
    names = ["means", "quats", "scales", "opacities", "colors"]
    runs = {}
    for device in ("cpu", "cuda"):
        leaves = {k: v.clone().requires_grad_() for k, v in cloud(device=device).items()}
        r = rasterize(**leaves, **camera(device=device), render_depth="expected")
        assert r.depth is not None
        weights = torch.linspace(0, 1, r.rgb.numel(), device=device).reshape(r.rgb.shape)
        loss = (r.rgb * weights).sum() + r.alpha.sum() + torch.where(r.alpha > 0.5, r.depth, 0).sum()
        grads = torch.autograd.grad(loss, [leaves[k] for k in names])
        runs[device] = (r.rgb.detach().cpu(), r.alpha.detach().cpu(), r.depth.detach().cpu(), [g.cpu() for g in grads])
    difference = (runs["cpu"][0] - runs["cuda"][0]).abs()
    seen = runs["cuda"][1] > 0.5
    depth = ((runs["cpu"][2] - runs["cuda"][2]).abs() / runs["cuda"][2].clamp_min(1e-6))[seen]
    pairs = zip(names, runs["cpu"][3], runs["cuda"][3], strict=True)
    return {
        "rgb_max": float(difference.max()), "rgb_mean": float(difference.mean()),
        "rgb_p9999": float(difference.flatten().kthvalue(int(0.9999 * difference.numel())).values),
        "depth_relative_p9999": float(depth.kthvalue(int(0.9999 * depth.numel())).values),
        "depth_relative_max": float(depth.max()),
        "gradient_relative_norm": {k: float((a - b).norm() / b.norm()) for k, a, b in pairs},
    }  # fmt: skip


def overhead() -> dict[str, Any]:
    """Our entry against gsplat's own, 3D and 2D Gaussians, forward, and forward and backward."""
    from gsplat import rasterization, rasterization_2dgs

    out: dict[str, Any] = {}
    for model, bare in (("3dgs", rasterization), ("2dgs", rasterization_2dgs)):
        for n in (50_000, 200_000, 1_000_000):
            leaves = {k: v.requires_grad_() for k, v in cloud(n, "cuda").items()}
            view, order = camera(device="cuda"), list(leaves.values())
            if model == "2dgs":  # its entry takes plain colours one set a camera only
                order[4] = order[4][None]

            def ours(leaves=leaves, view=view, model=model):  # type: ignore[no-untyped-def]
                return rasterize(**leaves, **view, model=model).rgb

            def theirs(order=order, view=view, bare=bare):  # type: ignore[no-untyped-def]
                return bare(*order, *view.values(), packed=False)[0]

            with torch.no_grad():
                a, b = alternating(ours, theirs)
                runs = alternating(lambda f=ours: [f() for _ in range(20)], lambda f=theirs: [f() for _ in range(20)],
                                   40)  # fmt: skip
            inputs = list(leaves.values())
            c, d = alternating(lambda f=ours, x=inputs: torch.autograd.grad(f().sum(), x),
                               lambda f=theirs, x=inputs: torch.autograd.grad(f().sum(), x), 150)  # fmt: skip
            out[f"{model} n={n}"] = {
                "ours_ms": a, "gsplat_ms": b, "overhead": a / b - 1,
                "20 in a row": {"ours_ms": runs[0] / 20, "gsplat_ms": runs[1] / 20, "overhead": runs[0] / runs[1] - 1},
                "with backward": {"ours_ms": c, "gsplat_ms": d, "overhead": c / d - 1},
            }  # fmt: skip
    return out


def against_gsplat() -> dict[str, Any]:
    """Agreement, overhead, batches; on this machine's card."""
    result: dict[str, Any] = {"card": torch.cuda.get_device_name(), "agreement": agreement(), "overhead": overhead()}
    scene, view = cloud(50_000, "cuda"), camera(640, 352, "cuda")
    moves = torch.linspace(0, 0.2, 49, device="cuda")[:, None, None]
    view["viewmats"], view["Ks"] = view["viewmats"].repeat(3, 1, 1), view["Ks"].repeat(3, 1, 1)
    frames = {**scene, "means": scene["means"] + moves}
    for model in ("3dgs", "2dgs"):
        with torch.no_grad():
            batched = timed(lambda m=model: rasterize(**frames, **view, model=m), 5)
            loop = timed(lambda m=model: [rasterize(**{**frames, "means": x}, **view, model=m)
                                          for x in frames["means"]], 3)  # fmt: skip
            singly = timed(lambda m=model: [
                rasterize(**{**frames, "means": x}, **{**view, "viewmats": view["viewmats"][:1], "Ks": view["Ks"][:1]},
                          model=m) for x in frames["means"] for _ in range(3)], 3)  # fmt: skip
        result[f"{model} 49 frames x 3 cameras"] = {"batched_ms": batched, "a frame a call_ms": loop,
                                                    "a picture a call_ms": singly}  # fmt: skip
    result["refinement step"] = refinement_step("cuda", cameras=3)
    return result


def view_topics() -> list[dict[str, Any]] | str:
    """View topics of the node, received by another process."""
    if importlib.util.find_spec("rclpy") is None:
        return "no ROS here"
    views()
    return RECORDS


PARTS: dict[str, Callable[[], Any]] = {
    "speed": speed, "first_call": first_call, "roofline": roofline,
    "frames_over_background": frames_over_background, "dumpling": dumpling, "flow": flow_error,
    "refinement_step": refinement_step, "view_topics": view_topics,
    "gsplat": lambda: against_gsplat() if torch.cuda.is_available() else "no CUDA here",
    "overhead": lambda: overhead() if torch.cuda.is_available() else "no CUDA here",
}  # fmt: skip


def main() -> None:
    """All parts, or those named on the command line."""
    names = sys.argv[1:] or [name for name in PARTS if name != "overhead"]  # which is within "gsplat"
    results: dict[str, Any] = {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "torch_threads": torch.get_num_threads()},
        **{name: PARTS[name]() for name in names},
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
