"""What a target provider is asked with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pw_core.config import RefineConfig
from pw_core.refine.model import Model
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.request import request
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
