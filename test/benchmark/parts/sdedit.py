"""SDEdit's limits on a tiny CogVideoX with random weights (item 5): built, saved, loaded by the same code, run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from parts.records import record


def sdedit() -> None:
    """Strength 0, strength 1, the same seed."""
    import torch

    from pw_core.refine.targets.registry import provide
    from pw_core.refine.targets.video_diffusion import VideoDiffusion, resized
    from support.target_request import H, W, make_request
    from support.tiny_video import save_pipeline

    with tempfile.TemporaryDirectory() as folder:
        model = save_pipeline(Path(folder))
        provider = VideoDiffusion(model=model, height=32, width=64, steps=4)

        def made(**changes: object) -> np.ndarray:
            return provide(provider, make_request(**{"strengths": (0.5,), **changes})).frames

        request = make_request(count=9, strengths=(0.0,))
        out = provide(provider, request).frames[0].astype(int)
        pixels = torch.from_numpy(resized(request.frames[0], (32, 64))).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            latent = provider._pipe.vae.encode(pixels).latent_dist.mode()
            back = provider._pipe.vae.decode(latent).sample[0].permute(1, 2, 3, 0).numpy()
        expected = resized(np.rint(np.clip(back / 2 + 0.5, 0, 1) * 255).astype(np.uint8), (H, W))
        gap = int(np.abs(out - expected).max())
        record("SDEdit, strength 0: from the VAE's round trip", gap, "of 255", "<= 1", gap <= 1)
        other = make_request().frames.copy()
        other[:, 1:] = other[:, 1:, ::-1]
        one = np.abs(made(strengths=(1.0,)).astype(int) - made(strengths=(1.0,), frames=other)).max()
        half = np.abs(made().astype(int) - made(frames=other)).max()
        record("SDEdit, strength 1: change with the input", int(one), "of 255", "= 0", one == 0 and half > 0,
               f"at strength 0.5: {half}")  # fmt: skip
        again = np.abs(made(seed=3).astype(int) - made(seed=3)).max()
        fresh = VideoDiffusion(model=model, height=32, width=64, steps=4)
        anew = np.abs(made(seed=3).astype(int) - provide(fresh, make_request(strengths=(0.5,), seed=3)).frames).max()
        worst = int(max(again, anew))
        record("SDEdit, the same seed: change", worst, "of 255", "= 0", worst == 0, "also of a pipeline loaded anew")
