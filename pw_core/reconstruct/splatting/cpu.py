"""The fit on the CPU: the package's own rasteriser, half the size first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.config import ViewsSettings
from pw_core.gaussians import Camera, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.image import working_valid
from pw_core.reconstruct.splatting.checkpoint import FitRecord, Fitted, resume
from pw_core.reconstruct.splatting.draw import camera_tensors, draw_tensors, picture_tensors, where_seen
from pw_core.reconstruct.splatting.parameters import DensifyOptions, Params, RateOptions, extent
from pw_core.reconstruct.types import View


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """A fit on the CPU, where seconds are dear and fits short."""

    rates: RateOptions = RateOptions()
    """Step sizes."""
    densify: DensifyOptions = DensifyOptions()
    """Growth."""
    coarse_share: float = 0.35
    """Of the steps that are taken at half the size first: a quarter of the seconds each."""
    sh_stages: int = 7
    """Parts of the fit after each of which the harmonics get a degree more."""
    report_every: int = 10
    """Steps between two reports."""


def fit_cpu(
    views: Sequence[View], first: Gaussians, settings: ViewsSettings, *, progress: Progress,
    checkpoint: Path | None = None, options: FitOptions = FitOptions(),
) -> Fitted:  # fmt: skip
    """As `fit.fit`, on the CPU, 3DGS alone."""
    import torch

    from pw_core.reconstruct.splatting.losses import picture_loss

    first, done, before, recent = resume(checkpoint, first)
    steps = settings.steps
    record = FitRecord(steps, done=done, seconds=before, report_every=options.report_every,
                       keep_every=settings.checkpoint_every, progress=progress, checkpoint=checkpoint)  # fmt: skip
    params = Params(first, extent(views), "cpu", rates=options.rates)
    begin, every, stop = options.densify.schedule(steps)
    growth = _Growth(len(first))
    order = np.random.default_rng(done)
    queue: list[int] = []
    pyramid = [_halved(views), list(views)]
    targets = [[picture_tensors(v) for v in level] for level in pyramid]
    degree_every = max(1, steps // options.sh_stages)

    def error() -> float:
        return float(np.mean(recent[-len(views) :]))

    for step in range(done, steps):
        if not queue:
            queue = list(order.permutation(len(views)))
        k = queue.pop()
        level = 0 if step < options.coarse_share * steps else 1
        camera, (shown, valid) = pyramid[level][k].camera, targets[level][k]
        # A colour that changes behind the Gaussians leaves them no way but to be opaque. On black, half-transparent
        # ones would do for what is dark, and what a moved entity uncovers would be seen through.
        background = torch.from_numpy(order.random(3, dtype=np.float32))
        drawn = draw_tensors(params.drawn(), camera, sh_degree=min(settings.sh_degree, step // degree_every),
                             background=background)  # fmt: skip
        target = where_seen(shown, valid, drawn.rgb[0])
        loss = picture_loss(drawn.rgb[0], target)
        params.zero_grad()
        loss.backward()
        with torch.no_grad():
            recent.append(float(((drawn.rgb[0] - target) ** 2).mean()))
            if step < stop:
                growth.add(params, camera, drawn)
        params.step(step, steps)
        if begin <= step < stop and (step + 1) % every == 0:
            budget = settings.max_gaussians or options.densify.most_gaussians
            params.densify(growth.mean(), budget, seed=step, options=options.densify)
            growth = _Growth(params.n)
        record.after(step, error, params.gaussians)
    return record.end(params.gaussians(), error() if recent else None)


class _Growth:
    """Gradients of the loss by the Gaussians' places in the pictures, summed over steps."""

    def __init__(self, n: int) -> None:
        import torch

        self.sum, self.count = torch.zeros(n), torch.zeros(n)

    def add(self, params: Params, camera: Camera, drawn: Any) -> None:
        """The last backward pass, over those that the picture shows."""
        import torch

        # The gradient on the picture, from that in the world: a shift of one metre is f / z pixels.
        view, _ = camera_tensors(camera)
        means: Any = params.tensors["means"]
        z = means @ view[0, 2, :3] + view[0, 2, 3]
        seen = (drawn.radii[0] > 0).all(-1)
        grad = means.grad.norm(dim=1) * z / float(camera.K[0, 0]) * (camera.width / 2)
        self.sum += torch.where(seen, grad, torch.zeros_like(grad))
        self.count += seen

    def mean(self) -> Any:
        return self.sum / self.count.clamp_min(1)


def _halved(views: Sequence[View]) -> list[View]:
    import cv2

    out = []
    for v in views:
        size = max(1, v.camera.width // 2), max(1, v.camera.height // 2)
        image = np.asarray(cv2.resize(v.image, size, interpolation=cv2.INTER_AREA), np.uint8)
        out.append(View(v.name, image, v.camera.resized(*size), valid=working_valid(v.valid, size)))
    return out
