"""The photo lift: on a drawn ball whose size and place are known, on our own photos, and on real ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy import ndimage

from pw_core.appearance import Appearance
from pw_core.config import SceneConfig, TableConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.image import load_photo, working_size
from pw_core.reconstruct.segmentation.prompt import segment
from pw_core.render.cameras import orbit
from support.ball_photo import WIDTH, ball_config, ball_mask, ball_photo

ROOT = Path(__file__).parents[4]
FOLDER = Path(os.environ.get("PW_SHARED_DATA", ROOT.parent / "shared" / "data")) / "photos"


def config(name: str) -> SceneConfig:
    return SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")


@pytest.fixture(scope="module")
def play_doh():
    return reconstruct(config("play_doh"))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: Any = ...) -> float:
    return float(-10 * np.log10((((a.astype(float) - b) / 255) ** 2)[mask].mean()))


def test_scene_looks_like_its_photo_and_binds_every_gaussian() -> None:
    from pw_core.appearance import Appearance

    photo = ball_photo()
    told: list[float] = []
    inputs = Inputs.of_photo(ball_config(), photo)
    scene = reconstruct(ball_config(), inputs, progress=lambda stage, fraction: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0
    drawn = Appearance(scene).render(scene.cameras[0], scene.initial_physics())
    assert psnr(drawn.rgb, photo, np.ones_like(ball_mask())) > 28
    assert psnr(drawn.rgb, photo, ball_mask()) > 26
    assert 700 < len(scene.rest) < 2500
    placed = scene.rest[scene.binding.index[:, 0]] + scene.binding.offsets()
    assert np.allclose(placed, scene.foreground.means, atol=1e-6)


def test_what_stands_straight_below_the_camera_is_refused_with_what_would_help() -> None:
    above = ball_config().camera.model_copy(update={"pitch_deg": 89.5})
    config = ball_config().model_copy(update={"camera": above, "table": TableConfig()})
    with pytest.raises(ReconstructError, match=r"straight below the camera or behind it.*photo from the side") as error:
        reconstruct(config, Inputs.of_photo(config, ball_photo()))
    assert error.value.code == ErrorCode.RECONSTRUCT_FAILED


def test_a_diameter_that_puts_a_thing_under_the_table_is_refused_with_the_one_that_would_fit() -> None:
    config = ball_config(diameter_m=0.5)
    with pytest.raises(ReconstructError, match=r"would be under the table.*: diameter_m 0\.\d+ would fit") as error:
        reconstruct(config, Inputs.of_photo(config, ball_photo()))
    assert error.value.code == ErrorCode.INVALID_CONFIG
    fits = float(str(error.value).split("m: diameter_m ")[1].split()[0])
    assert fits == pytest.approx(0.1, rel=0.15)


def test_a_table_without_an_end_reaches_to_the_horizon_and_the_end_that_the_photo_shows_is_told() -> None:
    """Its raster was coarser than all that is near, and the fill of it hardly ended."""
    config = ball_config().model_copy(update={"table": TableConfig()})
    scene = reconstruct(config, Inputs.of_photo(config, ball_photo()))
    assert scene.provenance["psnr_db"] > 28
    (text,) = (t for t in scene.provenance["doubts"] if "no end of it" in t)
    assert "table.edge_m 1.2 would fit" in text


def test_mixed_pixels_take_the_things_colour_and_let_the_background_through() -> None:
    photo = ball_photo()
    soft = ball_mask().astype(np.float32)[..., None]
    around = np.where(ball_mask()[..., None], 150, photo)  # as a lens mixes them
    share = ndimage.gaussian_filter(soft, (0.6, 0.6, 0))
    photo = (share * np.where(ball_mask()[..., None], photo, (150, 40, 40)) + (1 - share) * around).astype(np.uint8)
    scene = reconstruct(ball_config(), Inputs.of_photo(ball_config(), photo))
    colors = scene.foreground.colors()
    assert (colors[:, 0] - colors[:, 1]).min() > 0.1  # red, none as grey as the wall behind
    opacities = 1 / (1 + np.exp(-scene.foreground.opacities))
    assert 0.02 < (opacities < 0.7).mean() < 0.3
    assert scene.provenance["psnr_db"] > 30


def test_a_turned_view_shows_no_line_where_the_photo_ends() -> None:
    """Waves on the wall are mirrored at the border: one crest or trough there, no spike."""
    photo = ball_photo()
    photo[:60] = (130 + 40 * np.sin(np.arange(WIDTH) / 3 + 0.4)).astype(np.uint8)[:, None]
    scene = reconstruct(ball_config(), Inputs.of_photo(ball_config(), photo))
    view = scene.cameras[0]
    turned = view.moved(orbit(view.viewmat, scene.entities[0].origin, [np.radians(15)])[0], name="turned")
    wall = Appearance(scene).render(turned, scene.initial_physics()).rgb[30:50, :, 0].mean(0)
    edge = view.unproject(np.array([[0.0, 40.0]]), 1.2 / view.rays(np.array([[0.0, 40.0]]))[:, 0])
    column = round(float(turned.project(edge)[0][0, 0]))
    steps = np.diff(wall[column - 5 : column + 5])
    steps = np.sign(steps[np.abs(steps) > 0.7])
    assert 30 < column < WIDTH - 30 and (np.diff(steps) != 0).sum() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jam", "dumpling", "play_doh"])
def test_photo_comes_back_through_the_bound_gaussians(name: str) -> None:
    import cv2

    from pw_core.appearance import Appearance

    scene = reconstruct(config(name))
    camera = scene.cameras[0]
    appearance = Appearance(scene)
    drawn = appearance.render(camera, scene.initial_physics()).rgb
    photo = cv2.resize(load_photo(scene.config.photo), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    assert psnr(drawn, photo) >= 28
    for entity in scene.entities:
        mesh = trimesh.Trimesh(entity.mesh.vertices, entity.mesh.faces)
        assert mesh.is_watertight and mesh.volume > 0
        uv, _ = camera.project(mesh.vertices)
        box = np.array(scene.config.entity(entity.name).prompt.box) * camera.width / 1280
        assert np.abs(np.concatenate([uv.min(0), uv.max(0)]) - box).max() < 8  # px: it fills its box, no more
        own = scene.rest[entity.particles]
        assert own[:, 2].min() > -1e-3
        if entity.kind == "deformable":
            assert own[:, 2].min() < 0.01  # stands on the table


@pytest.mark.slow
def test_metric_size_is_the_truth_s(play_doh) -> None:
    # The example photo's lump is 0.10 m wide, 0.089 m high, 4.9e-4 m³ (examples/photos/scene_play_doh.py).
    e = play_doh.entities[0]
    size = np.ptp(e.mesh.vertices, axis=0)
    assert size[1] == pytest.approx(0.10, rel=0.12) and size[2] == pytest.approx(0.089, rel=0.12)
    assert e.volume_m3 == pytest.approx(4.9e-4, rel=0.15)
    assert e.origin[0] == pytest.approx(0.6, abs=0.015)  # the middle, not where its lowest line of sight ends


@pytest.mark.slow
def test_binding_keeps_every_gaussian_within_its_particle(play_doh) -> None:
    offsets = np.linalg.norm(play_doh.binding.offsets(), axis=1) / play_doh.binding.delta
    assert offsets.max() <= 0.95 * np.sqrt(3) and np.quantile(offsets, 0.99) <= 0.9 + 1e-3
    assert np.allclose(play_doh.binding.weights.sum(1), 1, atol=1e-5)
    again = reconstruct(config("play_doh"))
    assert np.array_equal(again.rest, play_doh.rest) and np.array_equal(again.foreground.sh, play_doh.foreground.sh)


@pytest.mark.parametrize("degrees", [20, -20])
def test_a_turned_view_shows_no_line_at_the_table_s_end_where_the_thing_stood(play_doh, degrees: int) -> None:
    camera, x = play_doh.cameras[0], play_doh.config.table.edge_m
    turn = orbit(camera.viewmat, play_doh.entities[0].origin, [np.radians(degrees)])[0]
    turned = camera.moved(turn, name="turned")
    picture = Appearance(play_doh).render(turned, play_doh.initial_physics()).rgb.astype(int)
    things = camera.project(play_doh.entities[0].mesh.vertices)[0][:, 0]
    rays = camera.rays(np.stack([np.linspace(things.min(), things.max(), 300), np.zeros(300)], -1))
    edge, _ = turned.project(np.stack([np.full(300, x), x * rays[:, 1] / rays[:, 0], np.zeros(300)], -1))
    dips = []
    for column, row in np.unique(np.rint(edge).astype(int), axis=0):
        strip = picture[row - 12 : row + 7, column]
        dips.append((np.minimum(strip[:-6], strip[6:]) - strip[3:-3]).max())  # darker than what is above and below
    assert len(dips) > 60 and np.quantile(dips, 0.9) < 18


def test_progress_can_cancel() -> None:
    class StopError(Exception):
        pass

    def progress(stage: str, fraction: float) -> None:
        if stage == "masks":
            raise StopError

    with pytest.raises(StopError):
        reconstruct(config("play_doh"), progress=progress)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jam", "dumpling", "play_doh"])
def test_masks_and_turned_views_of_the_example_photos(name: str) -> None:
    from pw_core.appearance import Appearance

    config = SceneConfig.load(ROOT / f"config/scenes/{name}.yaml")
    scene = reconstruct(config)
    cam = scene.cameras[0]
    photo = load_photo(config.photo)
    small = working_size(photo, cam.width)
    look = Appearance(scene)
    drawn = look.render(cam, scene.initial_physics())
    for entity in config.entities:
        mask = segment(small, entity, scale=cam.width / photo.shape[1])
        assert psnr(drawn.rgb, small, mask) >= 26
        truth = ROOT / f"out/truth/{name}/front_mask_{entity.name}.png"
        if truth.exists():  # written by examples/photos/make_photos.py, not kept in the repository
            true = cv2.resize(cv2.imread(str(truth), 0), (cam.width, cam.height), interpolation=cv2.INTER_AREA) > 127
            assert iou(mask, true) >= 0.95
    pivot = np.array([*scene.entities[0].origin[:2], 0])
    for degrees in (-20, 20):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(4)
        turn[:3, :3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
        turn[:3, 3] = pivot - turn[:3, :3] @ pivot
        turned = look.render(cam.moved(cam.viewmat @ np.linalg.inv(turn), name="turned"), scene.initial_physics())
        assert (turned.alpha > 0.5).mean() >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jam", "dumpling", "play_doh"])
def test_a_real_photo_comes_back_through_the_bound_gaussians(name: str) -> None:
    from pw_core.appearance import Appearance

    if not (FOLDER / f"{name}.png").is_file():
        pytest.skip("set PW_SHARED_DATA to the folder that holds photos/")
    config = SceneConfig.load(ROOT / f"test/core/scenes_shared/{name}.yaml")
    photo = load_photo(FOLDER / f"{name}.png")
    scene = reconstruct(config, Inputs.of_photo(config, photo))
    camera = scene.cameras[0]
    small = working_size(photo, camera.width)
    drawn = Appearance(scene).render(camera, scene.initial_physics()).rgb
    assert psnr(drawn, small) >= 28
    for entity in config.entities:
        mask = segment(small, entity, scale=camera.width / photo.shape[1])
        assert psnr(drawn[mask], small[mask]) >= 26
