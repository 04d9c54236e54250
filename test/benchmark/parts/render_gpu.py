"""Our entry and our CPU kernels against gsplat on CUDA: agreement, overhead, frames in one call.

Without CUDA every figure is recorded as skipped.
"""

from __future__ import annotations

from typing import Any

import torch

from parts.records import record
from parts.render_frames import refinement_step
from parts.render_scenes import alternating, camera, cloud, timed
from pw_core.render import rasterize

NAMES = ("means", "quats", "scales", "opacities", "colors")
AGREEMENT = {
    "RGB, 99.99th percentile": 2e-3, "RGB, largest": 1e-2, "RGB, mean": 1e-4,
    "expected depth, relative, 99.99th percentile": 1e-3, "expected depth, relative, largest": None,
    **{f"gradient to {name}, relative norm": 1e-3 for name in NAMES},
}  # fmt: skip
COUNTS = (50_000, 200_000, 1_000_000)
ENTRIES = {"3dgs": "rasterization", "2dgs": "rasterization_2dgs"}


def gpu() -> None:
    """Agreement, overhead, batches and a refinement step, on this machine's card."""
    agreement()
    overhead()
    batches()
    values = refinement_step("cuda", cameras=3) if torch.cuda.is_available() else None
    record("refinement step on CUDA, 49 frames x 3 cameras", values and 1e3 * values["s"], "ms", "reported", None,
           card("40k Gaussians over 220k at 640x352, forward and backward"))  # fmt: skip


def card(note: str = "") -> str:
    """The note with the name of the card, or with why nothing was measured."""
    if not torch.cuda.is_available():
        return "no CUDA here"
    return f"{torch.cuda.get_device_name()}{'; ' if note else ''}{note}"


def agreement() -> None:
    """Our kernels on the CPU against gsplat on CUDA, same inputs."""
    values: dict[str, float] = _differences() if torch.cuda.is_available() else {}
    for name, limit in AGREEMENT.items():
        value = values.get(name)
        ok = None if value is None or limit is None else value <= limit
        goal = "reported" if limit is None else f"<= {limit:g}"
        note = card("where alpha > 0.5" if "depth" in name else "")
        record(f"CPU kernels against gsplat: {name}", value, "", goal, ok, note)


def _differences() -> dict[str, float]:
    runs = {}
    for device in ("cpu", "cuda"):
        leaves = {k: v.clone().requires_grad_() for k, v in cloud(device=device).items()}
        r = rasterize(**leaves, **camera(device=device), render_depth="expected")
        assert r.depth is not None
        weights = torch.linspace(0, 1, r.rgb.numel(), device=device).reshape(r.rgb.shape)
        loss = (r.rgb * weights).sum() + r.alpha.sum() + torch.where(r.alpha > 0.5, r.depth, 0).sum()
        grads = torch.autograd.grad(loss, [leaves[k] for k in NAMES])
        runs[device] = (r.rgb.detach().cpu(), r.alpha.detach().cpu(), r.depth.detach().cpu(), [g.cpu() for g in grads])
    rgb = (runs["cpu"][0] - runs["cuda"][0]).abs()
    seen = runs["cuda"][1] > 0.5
    depth = ((runs["cpu"][2] - runs["cuda"][2]).abs() / runs["cuda"][2].clamp_min(1e-6))[seen]

    def high(x: torch.Tensor) -> float:
        return float(x.flatten().kthvalue(int(0.9999 * x.numel())).values)

    norms = [float((a - b).norm() / b.norm()) for a, b in zip(runs["cpu"][3], runs["cuda"][3], strict=True)]
    found = (high(rgb), float(rgb.max()), float(rgb.mean()), high(depth), float(depth.max()), *norms)
    return dict(zip(AGREEMENT, found, strict=True))


def overhead() -> None:
    """Our entry against gsplat's own, 3D and 2D Gaussians, forward, and forward and backward; each in turn."""
    for model in ENTRIES:
        for n in COUNTS:
            found = _in_turn(model, n) if torch.cuda.is_available() else {}
            for what in ("forward", "20 forward in a row", "forward and backward"):
                name = f"overhead over gsplat, {model}, {n // 1000}k, {what}"
                if what not in found:
                    record(name, None, "%", "<= 5", None, card())
                    continue
                ours, theirs = found[what]
                extra = 100 * (ours / theirs - 1)
                record(name, extra, "%", "<= 5", extra <= 5, card(f"{ours:.3f} ms, gsplat {theirs:.3f} ms a frame"))


def _in_turn(model: Any, n: int) -> dict[str, tuple[float, float]]:
    import gsplat

    bare = getattr(gsplat, ENTRIES[model])
    leaves = {k: v.requires_grad_() for k, v in cloud(n, "cuda").items()}
    view, order = camera(device="cuda"), list(leaves.values())
    if model == "2dgs":  # its entry takes plain colours one set a camera only
        order[4] = order[4][None]

    def ours() -> torch.Tensor:
        return rasterize(**leaves, **view, model=model).rgb

    def theirs() -> torch.Tensor:
        picture: torch.Tensor = bare(*order, *view.values(), packed=False)[0]
        return picture

    with torch.no_grad():
        once = alternating(ours, theirs)
        row = alternating(lambda: [ours() for _ in range(20)], lambda: [theirs() for _ in range(20)], 40)
    inputs = list(leaves.values())
    both = alternating(lambda: torch.autograd.grad(ours().sum(), inputs),
                       lambda: torch.autograd.grad(theirs().sum(), inputs), 150)  # fmt: skip
    return {"forward": once, "20 forward in a row": (row[0] / 20, row[1] / 20), "forward and backward": both}


def batches() -> None:
    """49 frames x 3 cameras of 50k Gaussians at 640 x 352 in one call, a frame a call, and a picture a call."""
    ways = ("in one call", "a frame a call", "a picture a call")
    for model in ENTRIES:
        found = dict(zip(ways, _batch(model), strict=True)) if torch.cuda.is_available() else {}
        for way in ways:
            ratio = "" if not found else f"{found[way] / found[ways[0]]:.1f} times the one call"
            record(f"49 frames x 3 cameras, {model}, {way}", found.get(way), "ms", "reported", None,
                   card("50k Gaussians, 640x352" if way == ways[0] else ratio))  # fmt: skip


def _batch(model: Any) -> tuple[float, float, float]:
    scene, view = cloud(50_000, "cuda"), camera(640, 352, "cuda")
    moves = torch.linspace(0, 0.2, 49, device="cuda")[:, None, None]
    view["viewmats"], view["Ks"] = view["viewmats"].repeat(3, 1, 1), view["Ks"].repeat(3, 1, 1)
    frames = {**scene, "means": scene["means"] + moves}
    one = {**view, "viewmats": view["viewmats"][:1], "Ks": view["Ks"][:1]}
    each = [{**frames, "means": x} for x in frames["means"]]
    with torch.no_grad():
        return (
            timed(lambda: rasterize(**frames, **view, model=model), 5),
            timed(lambda: [rasterize(**frame, **view, model=model) for frame in each], 3),
            timed(lambda: [rasterize(**frame, **one, model=model) for frame in each for _ in range(3)], 3),
        )
