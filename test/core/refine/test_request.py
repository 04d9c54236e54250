"""What a target provider is asked with."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from pw_core.config import RefineConfig
from pw_core.refine.model import Model
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.request import followed_masks, request
from pw_core.refine.targets.masks import MaskTrackingOptions
from pw_core.refine.targets.types import TargetFrames
from pw_core.scene import State
from pw_core.tree import ROOT
from support.spotted import FRAMES, still, truth


@pytest.fixture(scope="module")
def ask(spotted):
    scene, cameras = spotted
    model, real = Model(scene, scene.initial_appearance()), truth(scene)
    shadow_gain = ShadowGain(scene, model.appearance, cameras[:2], real, device="cpu")

    def asked(**changes):
        start = State(ROOT, "", 0.0, scene.initial_physics(), views=changes.pop("views", {}))
        options = {"flow": True, "cameras": cameras[:2], "stage": "all views", "strengths": (0.5, 0.25)} | changes
        trajectory = replace(still(scene), positions=real)
        return request(model, lambda t: model.gaussians_at(real[t], {}), shadow_gain, trajectory, start,
                       config=RefineConfig(), **options)  # fmt: skip

    return asked


def test_pictures_masks_and_flow_are_of_the_prediction(spotted, ask) -> None:
    scene, cameras = spotted
    asked = ask()
    h, w = cameras[0].height, cameras[0].width
    assert asked.shape == (2, FRAMES, h, w) and asked.strengths == (0.5, 0.25) and asked.stage == "all views"
    real = truth(scene)
    for t in (0, FRAMES - 1):
        middle = cameras[0].project(real[t].mean(0)[None])[0][0]
        y, x = np.nonzero(asked.masks[0, t])
        assert np.hypot(x.mean() + 0.5 - middle[0], y.mean() + 0.5 - middle[1]) < 2.5
    ball = asked.masks[0, 2] > 0
    moved = np.diff(cameras[0].project(real[2:4].mean(1))[0], axis=0)[0]
    assert np.abs(np.median(asked.flow[0, 2][ball], axis=0) - moved).max() < 0.3
    assert not ask(flow=False).flow.any()


def test_masks_hold_what_is_covered_by_so_much(ask) -> None:
    assert (ask(least_cover=0.9).masks > 0).sum() < (ask(least_cover=0.1).masks > 0).sum()


def test_first_frames_are_those_of_the_last_round_where_they_fit(spotted, ask) -> None:
    _, cameras = spotted
    left = np.full((cameras[0].height, cameras[0].width, 3), 77, np.uint8)
    asked = ask(views={cameras[1].name: left})
    assert np.array_equal(asked.first_frames[0], asked.frames[0, 0]) and np.array_equal(asked.first_frames[1], left)
    assert ask(views={cameras[1].name: left[:10]}).first_frames is None


@pytest.mark.parametrize("at", [1, 3])
def test_following_masks_asks_all_the_while_and_stops_every_view(spotted, ask, monkeypatch, at: int) -> None:
    scene, cameras = spotted
    asked, questions, followed = ask(), [], []
    targets = TargetFrames(asked.frames, np.ones(asked.shape, np.bool_))
    shadow_gain = ShadowGain(scene, scene.initial_appearance(), cameras[:2], truth(scene), device="cpu")
    masks = followed_masks(targets, asked, shadow_gain, options=MaskTrackingOptions())
    assert masks.shape == asked.shape

    def slow(frames, *, progress, **_) -> None:
        for t in range(1000):
            followed.append(t)
            progress("following masks", t / 1000)
            time.sleep(0.01)

    def stop() -> None:
        questions.append(1)
        if len(questions) == at:
            raise KeyboardInterrupt

    monkeypatch.setattr("pw_core.refine.request.track_masks", slow)
    with pytest.raises(KeyboardInterrupt):
        followed_masks(targets, asked, shadow_gain, options=MaskTrackingOptions(), ask=stop, every_s=0.02)
    assert len(questions) == at and len(followed) < 500
