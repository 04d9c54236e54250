"""3D Gaussians from posed pictures: photometric fit with densification (Kerbl et al. 2023), on the CPU and on CUDA."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import F64, SH_C0, Camera, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.types import View

RATES = {"means": 1.6e-4, "log_scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "sh0": 2.5e-3, "shN": 2.5e-3 / 20}
GROW, SMALL, FAINT = 2e-4, 0.01, 0.005
MOST = 60_000
"""Gaussians where no number was asked for."""
COARSE_SHARE = 0.35
"""Share of the steps that a CPU fit takes at half the size first."""


@dataclass(frozen=True)
class Fitted:
    """What a fit ends with; psnr_db of the last pictures it was fitted to."""

    gaussians: Gaussians
    psnr_db: float
    steps: int
    seconds: float


def start(points: F64, colors: F64, *, sh_degree: int) -> Gaussians:
    """One Gaussian a point, as wide as its three nearest neighbours are away."""
    from scipy.spatial import cKDTree

    near = cKDTree(points).query(points, k=min(4, len(points)))[0][:, 1:]
    wide = np.maximum(np.sqrt((near**2).mean(1)), 1e-6)
    n = len(points)
    sh = np.zeros((n, (sh_degree + 1) ** 2, 3), np.float32)
    sh[:, 0] = (colors - 0.5) / SH_C0
    rng = np.random.default_rng(0)
    return Gaussians(
        points.astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32),
        np.repeat(np.log(wide)[:, None], 3, 1).astype(np.float32), np.full(n, math.log(0.1 / 0.9), np.float32), sh,
    )  # fmt: skip


def extent(views: Sequence[View]) -> float:
    """The scene's size for step sizes: 1.1 times the furthest camera from the cameras' mean [m]."""
    centres = np.array([v.camera.centre for v in views])
    return float(1.1 * np.linalg.norm(centres - centres.mean(0), axis=1).max()) or 1.0


def fit(
    views: Sequence[View], first: Gaussians, settings: ViewsSettings, *, progress: Progress,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fit Gaussians to all `views`; goes on from `checkpoint` if it is there, and writes it as it goes.

    `progress` gets "fit: step i of n, PSNR p dB, ETA s s" and the fraction; what it raises ends the fit, the checkpoint
    stays.
    """
    import torch

    device = choose_device(settings)
    if device == "cuda":
        from pw_core.reconstruct.splatting.cuda import fit_cuda

        return fit_cuda(views, first, settings, progress=progress, checkpoint=checkpoint)
    if settings.model == "2dgs":
        raise ReconstructError("views.model '2dgs' needs CUDA; the CPU fits '3dgs'", code=ErrorCode.INVALID_CONFIG)
    from pw_core.reconstruct.splatting.losses import picture_loss

    first, done, before, recent = resume(checkpoint, first)
    began = time.perf_counter()
    size = extent(views)
    params = Params(first, size, device)
    steps = settings.steps
    begin, every, stop = max(60, min(500, steps // 8)), max(30, min(100, steps // 30)), int(0.7 * steps)
    grown, count = torch.zeros(len(first)), torch.zeros(len(first))
    order = np.random.default_rng(done)
    queue: list[int] = []
    pyramid = [_halved(views), list(views)]
    targets = [[torch.from_numpy(v.image.astype(np.float32) / 255) for v in level] for level in pyramid]
    degree_every = max(1, steps // 7)
    for step in range(done, steps):
        if not queue:
            queue = list(order.permutation(len(views)))
        k = queue.pop()
        level = 0 if step < COARSE_SHARE * steps else 1
        cam = pyramid[level][k].camera
        view, _ = camera_tensors(cam, device)
        degree = min(settings.sh_degree, step // degree_every)
        # A colour that changes behind the Gaussians leaves them no way but to be opaque. On black, half-transparent
        # ones would do for what is dark, and what a moved entity uncovers would be seen through.
        behind = torch.from_numpy(order.random(3, dtype=np.float32))
        drawn = draw(params.drawn(), cam, sh_degree=degree, background=behind)
        target = targets[level][k]
        loss = picture_loss(drawn.rgb[0], target)
        params.zero_grad()
        loss.backward()
        with torch.no_grad():
            recent.append(float(((drawn.rgb[0] - target) ** 2).mean()))
            if step < stop:
                # The gradient on the picture, from that in the world: a shift of one metre is f / z pixels.
                means: Any = params.tensors["means"]
                z = means @ view[0, 2, :3] + view[0, 2, 3]
                seen = (drawn.radii[0] > 0).all(-1)
                grad = means.grad.norm(dim=1) * z / float(cam.K[0, 0]) * (cam.width / 2)
                grown += torch.where(seen, grad, torch.zeros_like(grad))
                count += seen
        params.step(step, steps)
        if begin <= step < stop and (step + 1) % every == 0:
            params.densify(grown / count.clamp_min(1), size, settings.max_gaussians or MOST, seed=step)
            grown, count = torch.zeros(params.n), torch.zeros(params.n)
        if (step + 1) % 10 == 0 or step + 1 == steps:
            psnr = -10 * math.log10(max(float(np.mean(recent[-len(views) :])), 1e-12))
            left = (time.perf_counter() - began) / (step + 1 - done) * (steps - step - 1)
            progress(f"fit: step {step + 1} of {steps}, PSNR {psnr:.2f} dB, ETA {left:.0f} s", (step + 1) / steps)
        if checkpoint is not None and ((step + 1) % settings.checkpoint_every == 0 or step + 1 == steps):
            write_checkpoint(checkpoint, params.gaussians(), step + 1, before + time.perf_counter() - began,
                             float(np.mean(recent[-len(views) :])))  # fmt: skip
    psnr = -10 * math.log10(max(float(np.mean(recent[-len(views) :])), 1e-12)) if recent else 0.0
    return Fitted(params.gaussians(), psnr, steps, before + time.perf_counter() - began)


class Params:
    """The tensors being fitted, their Adam states, and how they grow and shrink."""

    def __init__(self, first: Gaussians, size: float, device: str) -> None:
        import torch

        raw = first.arrays()
        raw |= {"sh0": first.sh[:, :1], "shN": first.sh[:, 1:]}
        # Copies: the optimiser writes in place.
        self.tensors = {k: torch.tensor(raw[k], dtype=torch.float32, device=device).requires_grad_() for k in RATES}
        rates = RATES | {"means": RATES["means"] * size}
        self.rates = rates
        self.optimiser = torch.optim.Adam(
            [{"params": [t], "lr": rates[k], "name": k} for k, t in self.tensors.items()], eps=1e-15
        )

    @property
    def n(self) -> int:
        """How many Gaussians there are."""
        return len(self.tensors["means"])

    def drawn(self) -> tuple[Any, ...]:
        """means, quats, scales, opacities and harmonics, as `rasterize` takes them."""
        import torch

        t = self.tensors
        sh = torch.cat([t["sh0"], t["shN"]], 1)
        return t["means"], t["quats"], torch.exp(t["log_scales"]), torch.sigmoid(t["opacities"]), sh

    def zero_grad(self) -> None:
        """Before a backward pass."""
        self.optimiser.zero_grad(set_to_none=True)

    def step(self, step: int, steps: int) -> None:
        """One step of Adam; the means' rate falls to a hundredth over the fit."""
        self.optimiser.param_groups[0]["lr"] = self.rates["means"] * 0.01 ** (step / steps)
        self.optimiser.step()

    def densify(self, grad: Any, size: float, budget: int, *, seed: int) -> None:
        """Copy small Gaussians whose place is uncertain, split large ones, drop faint and huge ones."""
        import torch

        t = {k: v.detach() for k, v in self.tensors.items()}
        wide = torch.exp(t["log_scales"]).max(1).values
        keep = (torch.sigmoid(t["opacities"]) > FAINT) & (wide < 0.5 * size)
        room = budget - int(keep.sum())
        grow = (grad > GROW) & keep
        if int(grow.sum()) > room:
            if room <= 0:
                grow = torch.zeros_like(grow)
            else:
                least = torch.topk(torch.where(grow, grad, 0), room).values[-1]
                grow &= grad >= least
        split = grow & (wide > SMALL * size)
        copy = grow & ~split
        from pw_core.gaussians import quats_to_rotations

        rng = np.random.default_rng(seed)
        turn = torch.from_numpy(quats_to_rotations(t["quats"][split].numpy())).float()
        scale = torch.exp(t["log_scales"][split])
        parts = []
        for _ in range(2):
            new = {k: v[split].clone() for k, v in t.items()}
            shift = torch.from_numpy(rng.normal(size=scale.shape).astype(np.float32)) * scale
            new["means"] = new["means"] + torch.einsum("nij,nj->ni", turn, shift)
            new["log_scales"] = torch.log(scale / 1.6)
            parts.append(new)
        stay = torch.nonzero(keep & ~split)[:, 0]
        for group in self.optimiser.param_groups:
            k = group["name"]
            fresh = torch.cat([t[k][copy], *(p[k] for p in parts)])
            old = self.tensors[k]
            state = self.optimiser.state.pop(old, None)
            value = torch.cat([t[k][stay], fresh]).requires_grad_()
            if state is not None:
                for moment in ("exp_avg", "exp_avg_sq"):
                    state[moment] = torch.cat([state[moment][stay], torch.zeros_like(fresh)])
                self.optimiser.state[value] = state
            group["params"] = [value]
            self.tensors[k] = value

    def gaussians(self) -> Gaussians:
        """As plain arrays."""
        t = {k: v.detach().cpu().numpy() for k, v in self.tensors.items()}
        quats = t["quats"] / np.linalg.norm(t["quats"], axis=1, keepdims=True)
        sh = np.concatenate([t["sh0"], t["shN"]], 1)
        return Gaussians(t["means"].copy(), quats, t["log_scales"].copy(), t["opacities"].copy(), sh)


def choose_device(settings: ViewsSettings) -> str:
    """`cuda` where it is asked for or, on `auto`, where torch sees it.

    Raises:
        ReconstructError (INVALID_CONFIG): CUDA was asked for and is not there.
    """
    import torch

    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        raise ReconstructError("views.device is 'cuda', but torch sees no CUDA device", code=ErrorCode.INVALID_CONFIG)
    return "cuda" if there and settings.device != "cpu" else "cpu"


def camera_tensors(camera: Any, device: str = "cpu") -> tuple[Any, Any]:
    """viewmat (1, 4, 4) and K (1, 3, 3)."""
    import torch

    return (torch.from_numpy(camera.viewmat.astype(np.float32))[None].to(device),
            torch.from_numpy(camera.K.astype(np.float32))[None].to(device))  # fmt: skip


def draw(tensors: Sequence[Any], camera: Camera, *, device: str = "cpu", **options: Any) -> Any:
    """`rasterize` of what `Params.drawn` gives, from one camera."""
    from pw_core.render import rasterize

    means, quats, scales, opacities, colors = tensors
    view, K = camera_tensors(camera, device)
    return rasterize(means, quats, scales, opacities, colors, view, K, camera.width, camera.height, **options)


def write_checkpoint(path: Path, gaussians: Gaussians, step: int, seconds: float, error: float) -> None:
    """All or nothing: written beside and renamed. `seconds` and the last pictures' mean squared `error` so far."""
    from safetensors.numpy import save_file

    part = path.with_suffix(".part")
    note = {"step": str(step), "seconds": repr(seconds), "error": repr(error)}
    save_file({k: np.ascontiguousarray(v) for k, v in gaussians.arrays().items()}, part, note)
    part.rename(path)


def resume(path: Path | None, first: Gaussians) -> tuple[Gaussians, int, float, list[float]]:
    """Gaussians to go on from, the steps and seconds behind them, and the last pictures' mean squared error, if any;
    `first` and nothing where there is no file.

    Raises:
        ReconstructError (RECONSTRUCT_FAILED): the file is broken.
    """
    if path is None or not path.is_file():
        return first, 0, 0.0, []
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            arrays = [file.get_tensor(k) for k in ("means", "quats", "log_scales", "opacities", "sh")]
            note = file.metadata()
            return Gaussians(*arrays), int(note["step"]), float(note["seconds"]), [float(note["error"])]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ReconstructError(f"{path} is not a checkpoint of a fit: {error}; remove it to start again",
                               code=ErrorCode.RECONSTRUCT_FAILED) from None  # fmt: skip


def _halved(views: Sequence[View]) -> list[View]:
    import cv2

    out = []
    for v in views:
        size = max(1, v.camera.width // 2), max(1, v.camera.height // 2)
        image = np.asarray(cv2.resize(v.image, size, interpolation=cv2.INTER_AREA), np.uint8)
        out.append(View(v.name, image, v.camera.resized(*size)))
    return out


def score(views: Sequence[View], gaussians: Gaussians, *, device: str = "cpu") -> dict[str, float]:
    """Mean PSNR [dB] and SSIM over `views`."""
    import torch

    from pw_core.reconstruct.splatting.losses import ssim_map

    psnr, ssim = [], []
    params = Params(gaussians, 1.0, device)
    with torch.no_grad():
        for v in views:
            degree = int(np.sqrt(gaussians.sh.shape[1])) - 1
            drawn = draw(params.drawn(), v.camera, device=device, sh_degree=degree).rgb[0]
            target = torch.from_numpy(v.image.astype(np.float32) / 255).to(device)
            drawn = drawn.clamp(0, 1)
            psnr.append(float(-10 * torch.log10(((drawn - target) ** 2).mean())))
            ssim.append(float(ssim_map(drawn, target).mean()))
    return {"psnr_db": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}
