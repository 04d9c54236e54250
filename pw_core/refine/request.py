"""What a target provider is asked with: the prediction as it would be filmed, its flow and masks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.config import RefineConfig
from pw_core.gaussians import F32, Camera
from pw_core.progress import Ask, no_question
from pw_core.refine.model import Model
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.targets.masks import MaskTrackingOptions, track_masks
from pw_core.refine.targets.types import TargetFrames, TargetRequest
from pw_core.scene import State, Trajectory


def request(
    model: Model, gaussians: Callable[[int], tuple[F32, F32]], shadow_gain: ShadowGain, trajectory: Trajectory,
    start: State, *, cameras: tuple[Camera, ...], stage: str, strengths: Sequence[float], config: RefineConfig,
    flow: bool, least_cover: float = 0.5, ask: Ask = no_question,
) -> TargetRequest:  # fmt: skip
    """Draw all frames through `cameras`.

    Args:
        gaussians: means and covariances of frame t.
        shadow_gain: the background of the same cameras.
        strengths: of each view, 0 to 1.
        flow: draw the optical flow too; zero otherwise.
        least_cover: a pixel is an entity's in the masks if entities cover more than this of it.
    """
    count, v = len(trajectory), len(cameras)
    h, w = cameras[0].height, cameras[0].width
    frames = np.zeros((v, count, h, w, 3), np.uint8)
    masks = np.zeros((v, count, h, w), np.int32)
    flows = np.zeros((v, count - 1, h, w, 2), np.float32)
    before = None
    for t in range(count):
        ask()
        means, covariances = gaussians(t)
        drawn = model.draw(means, covariances, cameras, share=model.share(trajectory.positions[t]))
        cover = np.clip(drawn.alpha.sum(-1, keepdims=True), 0, 1)
        for i in range(v):
            frames[i, t] = np.clip((drawn.rgb[i] + (1 - cover[i]) * shadow_gain.plain(i, frame=t)) * 255 + 0.5, 0, 255)
        # A provider may hand these on as its own masks: they must be as large as what is drawn.
        masks[:, t] = np.where(cover[..., 0] > least_cover, drawn.alpha.argmax(-1) + 1, 0)
        if before is not None and flow:
            flows[:, t - 1] = _flow(model, *before, means, covariances, cameras)
        before = (means, covariances)
    refined = [start.views.get(c.name, frames[i, 0]) for i, c in enumerate(cameras)]
    fitting = all(picture.shape == (h, w, 3) for picture in refined)
    return TargetRequest(
        times=trajectory.times, cameras=cameras, frames=frames, flow=flows, masks=masks,
        prompt=config.prompt, strengths=tuple(strengths), seed=config.seed, stage=stage,
        first_frames=np.stack(refined) if fitting else None,
    )  # fmt: skip


def followed_masks(
    targets: TargetFrames, asked: TargetRequest, shadow_gain: ShadowGain, *,
    options: MaskTrackingOptions, ask: Ask = no_question, every_s: float = 0.05,
) -> NDArray[np.int32]:  # fmt: skip
    """Masks (V, T, H, W) followed through the targets themselves: never from the render that is fitted to them. `ask`
    is called every `every_s` [s]; what it raises ends all views after their present frame."""
    stopped = threading.Event()

    def go_on(stage: str, fraction: float) -> None:
        if stopped.is_set():
            raise CancelledError

    def follow(v: int) -> NDArray[np.int32]:
        background = np.clip(shadow_gain.plain(v) * 255 + 0.5, 0, 255).astype(np.uint8)
        return track_masks(
            targets.frames[v], start_masks=asked.masks[v, 0], predicted_masks=asked.masks[v], background=background,
            valid=targets.valid[v], options=options, progress=go_on,
        )  # fmt: skip

    with ThreadPoolExecutor(len(asked.cameras)) as pool:
        views = [pool.submit(follow, v) for v in range(len(asked.cameras))]
        try:
            while (state := wait(views, timeout=every_s, return_when=FIRST_EXCEPTION)).not_done:
                ask()
                for view in state.done:
                    view.result()  # raises where one has failed
        except BaseException:
            stopped.set()
            raise
        return np.stack([view.result() for view in views])


def _flow(
    model: Model, means: F32, covars: F32, means_after: F32, covars_after: F32, cameras: tuple[Camera, ...]
) -> F32:
    import torch

    from pw_core.render.flow import optical_flow

    def tensor(a: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(model.device)

    with torch.no_grad():
        flow = optical_flow(
            tensor(means), tensor(covars), tensor(means_after), tensor(covars_after),
            torch.sigmoid(tensor(model.appearance.opacities)), tensor(np.stack([c.viewmat for c in cameras])),
            tensor(np.stack([c.K for c in cameras])), cameras[0].width, cameras[0].height,
        )  # fmt: skip
    return np.asarray(flow.forward.cpu().numpy())
