"""Whose each Gaussian is: features blended like colours, trained with the masks, and a linear classifier on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pw_core.gaussians import F32, I64, Gaussians
from pw_core.progress import Progress
from pw_core.reconstruct.splatting.draw import draw_tensors, gaussian_tensors
from pw_core.reconstruct.types import Mask, View


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """How Gaussians learn whose they are."""

    features: int = 8
    """Numbers a Gaussian, blended like colours."""
    passes: int = 6
    """Over all views, a step each."""
    initial_deviation: float = 0.01
    """Of the features at first."""
    feature_rate: float = 0.1
    """Adam's learning rate of the features."""
    classifier_rate: float = 0.02
    """And that of the linear layer."""


def classify(
    views: Sequence[View], gaussians: Gaussians, masks: Mapping[str, Mapping[str, Mask]], *, progress: Progress,
    device: str = "cpu", options: LabelOptions = LabelOptions(),
) -> tuple[I64, dict[str, F32]]:  # fmt: skip
    """The class of each Gaussian (0: background, 1 + i: the i-th entity), and for each view (by name) the rendered
    probabilities (H, W, classes).

    As Gaussian Grouping (Ye et al. 2024): some numbers a Gaussian, rendered, then a linear layer and a softmax,
    against the masks by entity and view; shapes and opacities stay.
    """
    import torch

    names = list(masks)
    classes = 1 + len(names)
    torch.manual_seed(0)
    shapes = gaussian_tensors(gaussians, device)[:4]
    first = torch.randn(len(gaussians), options.features, device=device)
    features = (options.initial_deviation * first).requires_grad_()
    layer = torch.nn.Linear(options.features, classes).to(device)
    optimiser = torch.optim.Adam([
        {"params": [features], "lr": options.feature_rate},
        {"params": layer.parameters(), "lr": options.classifier_rate},
    ])  # fmt: skip
    labels = {}
    for v in views:
        label = np.zeros(v.image.shape[:2], np.int64)
        for i, name in enumerate(names):
            label[masks[name][v.name]] = 1 + i
        labels[v.name] = torch.from_numpy(label).to(device)

    def logits(v: View) -> torch.Tensor:
        # Features take the place of colours: one blend instead of two. At the full size: at half of it the blur of the
        # rasteriser is twice as wide, and a thing loses a pixel all round.
        return layer(draw_tensors([*shapes, features], v.camera, device=device).rgb[0])

    total = options.passes * len(views)
    for step in range(total):
        v = views[step % len(views)]
        loss = torch.nn.functional.cross_entropy(logits(v).reshape(-1, classes), labels[v.name].reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        progress(f"features: step {step + 1} of {total}", (step + 1) / total)
    with torch.no_grad():
        whose = layer(features).argmax(1).cpu().numpy().astype(np.int64)
        probabilities = {v.name: torch.softmax(logits(v), -1).cpu().numpy() for v in views}
    return whose, probabilities
