"""What else stands on a photo's table stands in the scene, too, and stays where it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pw_core.appearance import Appearance
from pw_core.config import Prompt, SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError, SceneError
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.render.cameras import orbit
from pw_core.scene import Scene
from support.ball import config as rgbd_config
from support.ball import shots
from support.ball_photo import ball_config, ball_photo, camera
from support.cluttered import JAR, jar_photo, upright


def config(**reconstruction: Any) -> SceneConfig:
    plain = ball_config()
    own = plain.reconstruct.model_dump() | reconstruction
    return SceneConfig.parse(plain.model_dump() | {"reconstruct": own})


def lifted(photo: NDArray[np.uint8], **reconstruction: Any) -> Scene:
    scene = config(**reconstruction)
    return reconstruct(scene, Inputs.of_photo(scene, photo))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return lifted(jar_photo()[0])


@pytest.fixture(scope="module")
def plain() -> Scene:
    """Without the jar."""
    return lifted(ball_photo())


def greens(scene: Scene, degrees: float) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Green pixels (H, W) of the view turned by so much about the ball; and where [px] (4, 2) the jar's corners are."""
    at = scene.cameras[0]
    turned = at.moved(orbit(at.viewmat, scene.entities[0].origin, [math.radians(degrees)])[0], name="turned")
    rgb = Appearance(scene).render(turned, scene.initial_physics()).rgb.astype(int)
    return rgb[..., 1] > rgb[..., 0] + 25, turned.project(upright(*JAR))[0]


def box(corners: NDArray[np.floating]) -> list[float]:
    return [float(v) for v in (*(corners.min(0) - 3), *(corners.max(0) + 3))]


def test_the_photo_comes_back_and_says_where_it_stands(scene: Scene) -> None:
    photo, mask = jar_photo()
    drawn = Appearance(scene).render(scene.cameras[0], scene.initial_physics()).rgb
    assert -10 * np.log10((((drawn.astype(float) - photo) / 255) ** 2).mean()) > 28
    (found,) = scene.provenance["clutter"]
    rows, columns = np.nonzero(mask)
    assert np.abs(np.array(found) - [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).max() <= 3


@pytest.mark.parametrize("degrees", [-15, 15])
def test_turned_it_stands_where_it_would_in_one_piece(scene: Scene, degrees: float) -> None:
    green, corners = greens(scene, degrees)
    rows, columns = np.nonzero(green)
    middle = corners.mean(0)
    assert abs(columns.mean() - middle[0]) < 5 and abs(rows.mean() - middle[1]) < 5
    assert abs(rows.min() - corners[:, 1].min()) < 6 and abs(rows.max() - corners[:, 1].max()) < 6
    lying, _ = greens(lifted(jar_photo()[0], find_clutter=False), degrees)
    y, x = np.nonzero(lying)
    assert np.hypot(x.mean() - middle[0], y.mean() - middle[1]) > 10  # torn, as it would be else


def test_it_is_no_body_and_the_entity_is_as_without(scene: Scene, plain: Scene) -> None:
    assert [e.name for e in scene.entities] == ["ball"] and plain.provenance["clutter"] == []
    assert np.array_equal(scene.rest, plain.rest) and len(scene.foreground) == len(plain.foreground)
    means = scene.background.means[: len(scene.background) - len(plain.background)]
    foot, wide, high = JAR
    assert len(means) > 500 and np.abs(means.mean(0) - foot - [0, 0, high / 2]).max() < wide


def test_behind_it_there_is_table(scene: Scene, plain: Scene) -> None:
    """Nothing of it is left on table and wall."""
    behind = scene.background[len(scene.background) - len(plain.background) :]
    cells, _, seen = camera().pixels(behind.means)
    x, y = cells.T
    hidden = seen & jar_photo()[1][y, x]
    colors = behind.colors()[hidden]
    assert len(colors) > 300 and (colors[:, 1] - colors[:, 0] < 0.1).all()


def test_prompts_stand_up_what_is_not_found() -> None:
    photo = ball_photo()
    corners = camera().project(upright(*JAR))[0]
    grey = jar_photo()[1]
    photo[grey] = (photo[grey].astype(int) + 40).clip(0, 255).astype(np.uint8)
    assert lifted(photo).provenance["clutter"] == []
    (found,) = lifted(photo, clutter=[{"box": box(corners)}]).provenance["clutter"]
    assert abs((found[0] + found[2]) / 2 - corners[:, 0].mean()) < 4


def test_what_is_told_is_not_found_again() -> None:
    corners = camera().project(upright(*JAR))[0]
    assert len(lifted(jar_photo()[0], clutter=[{"box": box(corners)}]).provenance["clutter"]) == 1


@pytest.mark.parametrize("given, code, text", [
    ({"box": [400, 10, 460, 60]}, ErrorCode.INVALID_PROMPT, r"reconstruct\.clutter\[0\]: .*400"),
    ({"box": [10, 110, 60, 160]}, ErrorCode.INVALID_PROMPT, r"reconstruct\.clutter\[0\]: "),
])  # fmt: skip
def test_a_prompt_that_finds_nothing_is_named(given: dict[str, Any], code: ErrorCode, text: str) -> None:
    with pytest.raises(ReconstructError, match=text) as error:
        lifted(ball_photo(), clutter=[given])
    assert error.value.code == code and "entity" not in str(error.value)


def test_what_an_entity_covers_is_no_clutter() -> None:
    own = ball_config().entities[0].prompt.box
    with pytest.raises(ReconstructError, match=r"reconstruct\.clutter\[0\]: an entity covers"):
        lifted(ball_photo(), clutter=[{"box": list(own)}])


def test_without_a_table_there_is_none_to_name() -> None:
    with pytest.raises(SceneError, match=r"reconstruct\.clutter: it stands on a table"):
        SceneConfig.parse(config(clutter=[{"box": [10, 10, 50, 50]}]).model_dump() | {"ground": "none"})


@pytest.mark.slow
def test_pictures_with_depth_say_that_they_do_not_need_it() -> None:
    inputs, _ = shots(1, depth=True)
    plain = rgbd_config()
    told = plain.reconstruct.model_copy(update={"clutter": (Prompt(box=(1, 1, 20, 20)),)})
    little = ViewsSettings(width_px=160, steps=20, bind_steps=10, voxels=48)
    scene = reconstruct(plain.model_copy(update={"reconstruct": told}), inputs, settings=little)
    assert "reconstruct.clutter" in scene.provenance["doubts"][-1]
