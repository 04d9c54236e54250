"""Displacement fields and poses, frame by frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pw_core.actions import parse_action
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion, commanded
from support.spotted import still


def test_a_commanded_pose_is_known_without_looking(spotted) -> None:
    scene, _ = spotted
    here = {"position": [0.0, 0, 0.2], "orientation": [1, 0, 0, 0]}
    fields = {"type": "tool", "entity": "pin", "duration": 0.2, "times": [0.1, 0.2], "poses": [here, here]}
    for relative, known in ((False, [0, 0, 1, 1, 1, 0]), (True, [0] * 6)):
        action = parse_action({**fields, "relative": relative})
        rolled = replace(still(scene), actions=(action,))
        assert commanded(rolled, "pin").tolist() == [bool(k) for k in known]
        assert not commanded(rolled, "ball").any()


def test_a_field_moves_its_entity_in_its_frame_and_can_be_taken_back(spotted) -> None:
    scene, _ = spotted
    model, predicted = Model(scene, scene.initial_appearance()), still(scene)
    motion = Motion.start(model, predicted, nodes=8)
    assert np.array_equal(motion.positions(model, 2), predicted.positions[2])
    motion.coefficients["ball"][2, 0] = [0.01, 0, 0.02]
    assert np.allclose(motion.positions(model, 2) - scene.rest, [0.01, 0, 0.02], atol=1e-6)
    assert np.array_equal(motion.positions(model, 3), predicted.positions[3])
    assert np.array_equal(motion.without(["ball"]).positions(model, 2), predicted.positions[2])
    assert motion.coefficients["ball"][2].any()


def test_a_rigid_entity_turns_about_its_predicted_centre(spotted) -> None:
    scene, _ = spotted
    row = np.concatenate([[0.1, 0.2, 0.3], [1, 0, 0, 0], np.zeros(6)])
    predicted = replace(still(scene), bodies={"pin": np.tile(row, (len(still(scene)), 1))})
    motion = Motion.start(Model(scene, scene.initial_appearance()), predicted, nodes=8)
    motion.turns["pin"][1], motion.shifts["pin"][1] = [0, 0, np.pi / 2], [0, 0, 0.05]
    assert np.allclose(motion.body("pin", 1)[:7], [0.1, 0.2, 0.35, 0.5**0.5, 0, 0, 0.5**0.5])
    assert np.array_equal(motion.body("pin", 0), row)
