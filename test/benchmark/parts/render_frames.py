"""Many frames on the CPU: over a still background, of the dumpling scene, and with gradients as refinement asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from parts.records import ROOT, record
from parts.render_scenes import timed, wall_and_lump
from pw_core.render import rasterize
from pw_core.render.background_cache.prepare import prepare, rasterize_over
from pw_core.render.chunks import frames_within, sum_over_frames
from pw_core.render.reference import covariances


def frames_over_background() -> None:
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
    record("49 frames, 40k before a wall of 220k, whole", a / 1e3, "s", "reported", None, "640x352, RGB and depth")
    note = f"{a / b:.2f} times faster"
    record("49 frames, 40k before a wall of 220k, prepared", b / 1e3, "s", "reported", None, note)


def dumpling() -> None:
    """49 frames of the dumpling scene at 640 x 352, RGB and depth: the dough is squashed and pushed along the table."""
    from pw_core.appearance import Appearance
    from pw_core.config import SceneConfig
    from pw_core.reconstruct import reconstruct

    scene = reconstruct(SceneConfig.load(ROOT / "config" / "scenes" / "dumpling.yaml"))
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

    ms = {
        "drawn whole": timed(whole, 2),
        "over the prepared background": timed(over, 2),
        "following the particles": timed(lambda: [appearance.foreground(x) for x in states], 2),
        "state to picture in all": timed(in_all, 2),
    }
    for name, each in ms.items():
        record(f"dumpling, 49 frames, {name}", each / 1e3, "s", "reported", None,
               f"640x352, RGB and depth; {len(scene.foreground)} Gaussians before {len(still)}")  # fmt: skip
    ratio = ms["drawn whole"] / ms["over the prepared background"]
    record("dumpling, what the prepared background saves", ratio, "times", "reported", None)


def refinement() -> None:
    """An iteration of refinement, 49 frames through one camera."""
    found = refinement_step()
    note = f"40k Gaussians over 220k at 640x352, forward and backward, {found['frames_a_run']} frames a run"
    record("refinement step, 49 frames, 1 camera", found["s"], "s", "reported", None, note)


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
