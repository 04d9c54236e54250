"""The photo lift on a drawn ball whose size and place are known; its masks and turned views on the example photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Camera
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.background.lift import fill
from pw_core.reconstruct.image import load_photo, working_size
from pw_core.reconstruct.segmentation.prompt import segment
from pw_core.reconstruct.surface.inflate import make_solid
from support.ball_photo import CENTRE, RADIUS, ball_config, ball_mask, ball_photo, camera, pixel_rays

ROOT = Path(__file__).parents[3]

def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    return float(-10 * np.log10((((a.astype(float) - b) / 255) ** 2)[mask].mean()))


def test_mask_of_a_ball() -> None:
    assert iou(segment(ball_photo(), ball_config().entities[0], scale=1.0), ball_mask()) > 0.97


def test_solid_of_a_ball_is_closed_metric_and_stands_on_the_table() -> None:
    solid = make_solid(ball_mask(), ball_config().entities[0], camera())
    mesh = trimesh.Trimesh(solid.mesh.vertices, solid.mesh.faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.12)
    assert -1e-3 < mesh.bounds[0, 2] < 0.1 * RADIUS
    assert mesh.bounds[1, 2] == pytest.approx(2 * RADIUS, rel=0.15)
    # A foot's roundness cannot be seen: the solid may land too far away by radius times tan(15 degrees / 2), and a row.
    assert np.linalg.norm(mesh.center_mass - CENTRE) < 0.3 * RADIUS
    assert (solid.front < solid.back)[solid.mask].all()


def test_revolved_solid_hangs_where_it_is_told_and_is_as_deep_as_wide() -> None:
    solid = make_solid(ball_mask(), ball_config(shape="revolve").entities[0], camera(), mid_m=0.6)
    mesh = trimesh.Trimesh(solid.mesh.vertices, solid.mesh.faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.15)
    assert mesh.center_mass[0] == pytest.approx(0.6, abs=0.1 * RADIUS)


def test_backdrop_is_filled_from_the_backdrop_alone() -> None:
    photo = np.full((60, 80, 3), 200, np.uint8)
    photo[30:] = (10, 120, 10)
    table = np.zeros((60, 80), bool)
    table[30:] = True
    hidden = np.zeros_like(table)
    hidden[20:45, 30:50] = True
    photo[hidden] = (255, 0, 0)
    low = Camera.above_table(height_m=0.2, pitch_deg=5, hfov_deg=40, width=80, height=60)
    filled = fill(photo, hidden, table, low)
    assert np.abs(filled[:27].astype(int) - 200).max() < 5
    assert np.abs(filled[33:].astype(int) - (10, 120, 10)).max() < 5


def test_a_stain_beside_the_hole_leaves_no_step_at_its_lower_edge() -> None:
    photo = np.full((60, 80, 3), 200, np.uint8)
    photo[40:, 25:55] = 120  # a reflection below the thing, wider than the hole is
    table, hidden = np.ones((60, 80), bool), np.zeros((60, 80), bool)
    hidden[20:41, 30:50] = True
    photo[hidden] = (255, 0, 0)
    steep = Camera.above_table(height_m=0.2, pitch_deg=60, hfov_deg=40, width=80, height=60)
    filled = fill(photo, hidden, table, steep).astype(int)
    assert np.abs(filled[40, 32:48] - filled[41, 32:48]).max() < 25  # 80 where rows are filled one by one
    assert np.abs(filled[24, 32:48] - 200).max() < 15


def test_pattern_of_the_table_runs_on_as_seen_from_above() -> None:
    # Tiles that lie askew: in the picture no two of them are alike, on the plane all are.
    rays = pixel_rays()
    table = rays[..., 2] < -0.05
    depth = np.where(table, -0.2 / np.minimum(rays[..., 2], -1e-9), 0)
    x, y = rays[..., 0] * depth, rays[..., 1] * depth
    tile = 0.06
    u, v = (0.8 * x + 0.6 * y) / tile, (-0.6 * x + 0.8 * y) / tile
    even = (np.floor(u) + np.floor(v)) % 2 == 0
    photo = np.where(even[..., None], (210, 190, 150), (90, 60, 40)).astype(np.uint8)
    photo[~table] = (150, 160, 170)
    truth = cv2.GaussianBlur(photo, (0, 0), 0.7)
    hidden = np.zeros(table.shape, bool)
    hidden[90:140, 120:210] = True
    holed = truth.copy()
    holed[hidden] = (255, 0, 0)
    filled = fill(holed, hidden, table, camera())
    assert np.array_equal(filled[~hidden], holed[~hidden])
    assert psnr(filled, truth, hidden) > 20  # rows mirrored in from the sides: 12.5
    assert np.array_equal(filled, fill(holed, hidden, table, camera()))


def test_what_stands_on_the_table_is_not_copied_under_the_thing() -> None:
    photo = ball_photo()
    photo[120:140, 20:70] = (30, 60, 200)  # a book beside the ball
    hidden = cv2.dilate(ball_mask().astype(np.uint8), np.ones((9, 9))) > 0
    rays = pixel_rays()
    table = np.where(rays[..., 2] < 0, -0.2 / np.minimum(rays[..., 2], -1e-9), np.inf) * rays[..., 0] < 1.2
    filled = fill(photo, hidden, table, camera())[hidden & table].astype(int)
    assert (filled[:, 2] - filled[:, 0]).max() < 0  # brown, nowhere blue


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


def test_half_a_png_is_refused(tmp_path: Path) -> None:
    whole = cv2.imencode(".png", ball_photo())[1].tobytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReconstructError, match="half") as caught:
        load_photo(tmp_path / "half.png")
    assert caught.value.code == ErrorCode.INVALID_IMAGE


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
