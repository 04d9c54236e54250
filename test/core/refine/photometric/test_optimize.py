"""Pictures correct the motion by parts of a pixel, and the loss has the gradient that it should."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.refine.model import Model
from pw_core.refine.motion import Motion
from pw_core.refine.photometric.optimize import PhotometricOptimizer
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.tracking.film import Film
from pw_core.refine.tracking.track import track
from support.spotted import FRAMES, filmed, still, truth


def test_tracking_and_photometric_optimisation_find_what_is_far_off(spotted) -> None:
    scene, cameras = spotted
    real = truth(scene)
    frames, masks = filmed(scene, cameras, real)
    film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=192, weights=(1, 1, 1))
    model = Model(scene, scene.initial_appearance())
    motion = Motion.start(model, still(scene), nodes=16)

    def error(m: Motion) -> float:
        return float(np.linalg.norm(m.positions(model, FRAMES - 1) - real[-1], axis=1).mean())

    open_loop = error(motion)
    assert list(track(model, film, motion)) == list(range(FRAMES))
    tracked = error(motion)
    assert tracked < 0.15 * open_loop
    shadow_gain = ShadowGain(scene, model.appearance, film.cameras, real, device="cpu")
    optimizer = PhotometricOptimizer(model, film, motion, shadow_gain, iterations=30)
    losses = [step.loss for step in optimizer.run()]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])
    assert error(optimizer.motion_now()) < max(1.2 * tracked, 1e-3)


def test_the_loss_has_the_gradient_that_finite_differences_see(spotted) -> None:
    """In double precision, over everything that is optimised: a random direction for each group.

    Steps of a nanometre: an opacity that crosses 1/255 is a jump that no gradient holds, and larger steps meet some.
    """
    import torch

    scene, cameras = spotted
    frames, masks = filmed(scene, cameras, truth(scene))
    film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=96, weights=(1, 0.5, 0.5))
    model = Model(scene, scene.initial_appearance())
    motion = Motion.start(model, still(scene), nodes=8)
    shadow_gain = ShadowGain(scene, model.appearance, film.cameras, motion.trajectory.positions, device="cpu")
    optimizer = PhotometricOptimizer(model, film, motion, shadow_gain, iterations=1, temporal_opacity=True, double=True)
    at = [2, 3]
    optimizer.loss(at)  # deformations are kept from here on
    # Where nothing is corrected yet, priors have no slope: begin a little beside it.
    rng = torch.Generator().manual_seed(0)
    groups = {
        "field": optimizer.c["ball"][2], "offsets": optimizer.raw, "opacity": optimizer.opacities,
        "colour": optimizer.sh, "shadow gain": optimizer.grid, "time": optimizer.mu, "duration": optimizer.log_s,
    }  # fmt: skip
    ways = {n: torch.randn(x.shape, generator=rng, dtype=x.dtype) for n, x in groups.items()}
    size = {"field": 1e-3, "time": 1e-2}
    with torch.no_grad():
        for n, x in groups.items():
            x += size.get(n, 3e-2) * ways[n]
    for n, x in groups.items():
        for y in groups.values():
            y.grad = None
        optimizer.loss(at)[0].backward()
        slope, step = float((x.grad * ways[n]).sum()), 1e-6 * size.get(n, 3e-2)
        with torch.no_grad():
            x += step * ways[n]
            up = float(optimizer.loss(at)[0])
            x -= 2 * step * ways[n]
            down = float(optimizer.loss(at)[0])
            x += step * ways[n]
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-8), n


def test_colours_are_found_under_the_shadows_of_the_frame(spotted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another thing halves the light in every second frame, colours as they are explain frames drawn so."""
    scene, cameras = spotted
    model = Model(scene, scene.initial_appearance())
    trajectory = still(scene)
    shares = [None if t % 2 else np.full((len(scene.foreground), 3), 0.5, np.float32) for t in range(FRAMES)]
    trajectory.positions[:, 0, 0] += 1e-7 * np.arange(FRAMES)  # by which a frame is known
    monkeypatch.setattr(
        model, "share", lambda p: shares[int(np.abs(trajectory.positions[:, 0, 0] - p[0, 0]).argmin())]
    )
    frames, masks = filmed(scene, cameras, trajectory.positions)
    covered = masks > 0
    frames[:, ::2] = np.where(covered[:, ::2, ..., None], frames[:, ::2] * 0.5, frames[:, ::2]).astype(frames.dtype)
    film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=96, weights=(1, 1, 1))
    shadow_gain = ShadowGain(scene, model.appearance, film.cameras, trajectory.positions, device="cpu")
    optimizer = PhotometricOptimizer(model, film, Motion.start(model, trajectory, nodes=8), shadow_gain)
    loss, psnr = optimizer.loss([2, 3])
    assert psnr > 24
    loss.backward()
    assert optimizer.sh.grad is not None and optimizer.sh.grad.abs().max() > 0
    optimizer._shares = dict.fromkeys(range(FRAMES))
    assert optimizer.loss([2, 3])[1] < psnr - 6
