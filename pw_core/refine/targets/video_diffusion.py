"""Targets from a video model: the rollout's motion in warped noise, its pictures through SDEdit.

Burgert et al. 2025, "Go-with-the-Flow" (a LoRA that teaches CogVideoX to follow warped noise), and Meng et al. 2022,
"SDEdit" (start from the noised input at a part of the schedule).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F32
from pw_core.progress import Progress
from pw_core.refine.targets import cogvideo
from pw_core.refine.targets.noise import warp_noise
from pw_core.refine.targets.types import Frames, TargetFrames, TargetRequest

if TYPE_CHECKING:
    import torch

MAX_FRAMES = 49
"""What the model was made for; a property of its weights."""


class VideoDiffusion:
    """The provider `video_diffusion`. Loads at the first request and stays loaded.

    Args:
        model: folder of CogVideoX-5B image-to-video, as diffusers saves it.
        lora: file of the Go-with-the-Flow LoRA; None: the bare model, which does not know warped noise.
        lora_scale: how much of it is added.
        degradation: how much of the noise is new instead of warped: 0 follows the motion, 1 does not. The LoRA's
            authors use 0.2 to 0.5 for motion that is meant as it is.
        steps, guidance_scale, negative_prompt: of the sampler.
        height, width: what the model is run at [px]; pictures are resized to it and back.
        device: empty: a GPU if there is one. dtype: "auto" is bfloat16 on a GPU, float32 on the CPU.
        memory: "none" keeps the model on the device, "model" one part at a time, "sequential" one layer at a time (the
            least memory, the most time). tiling: the VAE works in pieces.

    Raises:
        RefineError: MISSING_MODEL for a folder or file that is not there; INVALID_STRENGTH for a degradation outside 0
            to 1; REFINE_UNKNOWN for other settings that cannot be.
    """

    name = "video_diffusion"

    def __init__(
        self,
        *,
        model: Path | str,
        lora: Path | str | None = None,
        lora_scale: float = 1.0,
        degradation: float = 0.5,
        steps: int = 30,
        guidance_scale: float = 6.0,
        negative_prompt: str = "",
        height: int = 480,
        width: int = 720,
        device: str = "",
        dtype: str = "auto",
        memory: str = "model",
        tiling: bool = True,
    ) -> None:
        cogvideo.check_model(model)
        cogvideo.check_lora(lora)
        if not 0 <= degradation <= 1:
            raise RefineError(f"degradation: found {degradation}, expected 0 to 1", code=ErrorCode.INVALID_STRENGTH)
        if steps < 1:
            raise RefineError(f"steps: found {steps}, expected 1 or more")
        if height < 16 or width < 16 or height % 16 or width % 16:
            raise RefineError(f"height, width: found {height}, {width}, expected multiples of 16")
        for what, value, known in (("memory", memory, cogvideo.MEMORY), ("dtype", dtype, cogvideo.DTYPES)):
            if value not in known:
                raise RefineError(f"{what}: found '{value}', expected one of {', '.join(known)}")
        self._loading: dict[str, Any] = {
            "lora": lora, "lora_scale": lora_scale, "dtype": dtype, "memory": memory, "tiling": tiling,
        }  # fmt: skip
        self.model = model
        self.degradation = degradation
        self.steps = steps
        self.guidance_scale = guidance_scale
        self.negative_prompt = negative_prompt
        self.size = (height, width)
        self.device = device
        self._pipe: Any = None

    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        """Each view's film, one after the other; the prompt, the seed and the views' strengths are the request's.

        Raises:
            RefineError: MISSING_MODEL; INVALID_TARGET for more frames than the model can make.
        """
        v, t, h, w = request.shape
        if t > MAX_FRAMES:
            raise RefineError(
                f"video_diffusion: found {t} frames, expected at most {MAX_FRAMES}, which the model was made for",
                code=ErrorCode.INVALID_TARGET,
            )
        pipe = self._ready(progress)
        out = np.empty((v, t, h, w, 3), np.uint8)
        first = request.frames[:, 0] if request.first_frames is None else request.first_frames
        for i in range(v):

            def report(fraction: float, i: int = i) -> None:
                if progress is not None:
                    progress(f"video model, view {i + 1} of {v}", (i + fraction) / v)

            report(0.0)
            film = self._film(
                pipe, request.frames[i], first[i], request.flow[i], request.masks[i], prompt=request.prompt,
                strength=request.strengths[i], seed=request.seed * 1009 + i, report=report,
            )  # fmt: skip
            out[i] = resized(film[:t], (h, w))
        return TargetFrames(out, np.ones((v, t, h, w), np.bool_))

    def _ready(self, progress: Progress | None) -> Any:
        import torch

        if self._pipe is None:
            if progress is not None:
                progress("loading the video model", 0.0)
            self.device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
            self._pipe = cogvideo.load(self.model, device=self.device, **self._loading)
        return self._pipe

    def _film(
        self, pipe: Any, frames: Frames, first: Frames, flow: F32, masks: Any, *, prompt: str, strength: float,
        seed: int, report: Any,
    ) -> Frames:  # fmt: skip
        """One view's film (T', H', W', 3) at the model's size, T' a multiple of 8 and one."""
        import torch

        h, w = self.size
        # Latent frames stand for 1, 4, 4, ... frames, and the VAE keeps time for odd numbers of them only.
        count = len(frames) + (1 - len(frames)) % 8
        more = count - len(frames)
        video = resized(np.concatenate([frames, np.repeat(frames[-1:], more, axis=0)]), self.size)
        # Only what stays of the schedule is run: none of it gives the input back through the VAE.
        kept = min(round(self.steps * strength), self.steps)
        with torch.no_grad():
            clean = None if kept == self.steps else self._encoded(pipe, video)
            if kept == 0:
                assert clean is not None
                return self._pictures(pipe, pipe.decode_latents(clean))
            scale = np.array([w / flow.shape[2], h / flow.shape[1]], np.float32)
            moves = np.stack([_resized_flow(f, self.size) * scale for f in flow]) if len(flow) else flow
            moves = np.concatenate([moves.reshape(-1, h, w, 2), np.zeros((more, h, w, 2), np.float32)])
            fronts = np.stack([_resized_masks(m, self.size) for m in masks])
            noise = warp_noise(
                moves, channels=pipe.transformer.config.in_channels // 2, downscale=pipe.vae_scale_factor_spatial,
                latents=(count - 1) // pipe.vae_scale_factor_temporal + 1, degradation=self.degradation,
                front=(np.concatenate([fronts, np.repeat(fronts[-1:], more, axis=0)]) > 0).astype(np.int32), seed=seed,
            )[None].to(pipe.dtype)  # fmt: skip
            with _late_start(pipe, skip=self.steps - kept) as scheduler:
                latents = noise
                if clean is not None:
                    scheduler.set_timesteps(self.steps)
                    latents = scheduler.add_noise(clean.cpu(), noise, scheduler.timesteps[:1].cpu())

                def each(_pipe: Any, i: int, _t: Any, values: dict[str, Any]) -> dict[str, Any]:
                    report((i + 1) / (kept + 1))
                    return values

                made = pipe(
                    image=_tensor(resized(first[None], self.size))[0], prompt=prompt,
                    negative_prompt=self.negative_prompt, height=h, width=w, num_frames=count,
                    num_inference_steps=self.steps, guidance_scale=self.guidance_scale, latents=latents,
                    generator=torch.Generator().manual_seed(seed), callback_on_step_end=each, output_type="np",
                )  # fmt: skip
        return np.asarray(np.rint(np.clip(made.frames[0], 0, 1) * 255), dtype=np.uint8)

    def _encoded(self, pipe: Any, video: Frames) -> torch.Tensor:
        """Latents (1, L, C, h, w), the VAE's mean, scaled as the transformer wants them."""
        pixels = (2 * _tensor(video) - 1).transpose(0, 1)[None].to(pipe._execution_device, pipe.vae.dtype)
        latents = pipe.vae.encode(pixels).latent_dist.mode() * pipe.vae.config.scaling_factor
        return latents.permute(0, 2, 1, 3, 4).to(pipe.dtype)

    def _pictures(self, pipe: Any, decoded: torch.Tensor) -> Frames:
        video = pipe.video_processor.postprocess_video(decoded, output_type="np")[0]
        return np.asarray(np.rint(np.clip(video, 0, 1) * 255), dtype=np.uint8)


@contextmanager
def _late_start(pipe: Any, *, skip: int) -> Iterator[Any]:
    """The pipeline's scheduler, whose `set_timesteps` leaves the first `skip` out; put back afterwards."""
    usual = pipe.scheduler
    late = type(usual).from_config(usual.config)
    whole = late.set_timesteps

    def set_timesteps(steps: int, *args: Any, **options: Any) -> None:
        whole(steps, *args, **options)
        late.timesteps = late.timesteps[skip:]

    late.set_timesteps = set_timesteps
    pipe.scheduler = late
    try:
        yield late
    finally:
        pipe.scheduler = usual


def resized(frames: Frames, size: tuple[int, int]) -> Frames:
    """Pictures (N, H, W, 3) as (N, *size, 3)."""
    import cv2

    h, w = size
    if frames.shape[1:3] == size:
        return frames
    way = cv2.INTER_AREA if w < frames.shape[2] else cv2.INTER_CUBIC
    return np.stack([np.asarray(cv2.resize(f, (w, h), interpolation=way), np.uint8) for f in frames])


def _resized_flow(flow: F32, size: tuple[int, int]) -> F32:
    import cv2

    # Nearest: a mix of two motions at a thing's edge is the motion of neither.
    return np.asarray(cv2.resize(flow, size[::-1], interpolation=cv2.INTER_NEAREST), dtype=np.float32)


def _resized_masks(masks: Any, size: tuple[int, int]) -> Any:
    import cv2

    return cv2.resize(masks.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST)


def _tensor(frames: Frames) -> torch.Tensor:
    """(N, 3, H, W), 0 to 1."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
