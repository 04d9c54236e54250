"""The photo lift on our own photos, and what it says of bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pw_core.config import SceneConfig
from pw_core.errors import ErrorCode, PWError
from pw_core.reconstruct import reconstruct
from pw_core.reconstruct.image import check_photo, load_photo

ROOT = Path(__file__).parents[3]


def config(name: str) -> SceneConfig:
    return SceneConfig.load(ROOT / "config" / "scenes" / f"{name}.yaml")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.fixture(scope="module")
def play_doh():
    return reconstruct(config("play_doh"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jam", "dumpling", "play_doh"])
def test_photo_comes_back_through_the_bound_gaussians(name: str) -> None:
    import cv2
    import trimesh

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


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 1, 3), np.uint8), ((40, 20000, 3), np.uint8), ((64, 64, 2), np.uint8), ((64, 64), float)]
)
def test_photos_that_cannot_be_used(shape, dtype) -> None:
    with pytest.raises(PWError) as error:
        check_photo(np.zeros(shape, dtype))
    assert error.value.code == ErrorCode.INVALID_IMAGE


def test_grey_and_16_bit_photos_are_taken() -> None:
    assert check_photo(np.full((64, 64), 7, np.uint8)).shape == (64, 64, 3)
    assert check_photo(np.full((64, 64, 3), 256 * 200, np.uint16))[0, 0, 0] == 200


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    whole = Path(config("jam").photo).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("empty.png", "nowhere.png", "half.png"):
        with pytest.raises(PWError, match=name) as error:
            load_photo(tmp_path / name)
        assert error.value.code == ErrorCode.INVALID_IMAGE


def with_prompt(box, points=()) -> SceneConfig:
    base = config("play_doh")
    entity = base.entities[0]
    prompt = entity.prompt.model_copy(update={"box": box, "points": points})
    return base.model_copy(update={"entities": (entity.model_copy(update={"prompt": prompt}),)})


@pytest.mark.parametrize("box", [(1200.0, 300.0, 1400.0, 500.0), (-50.0, 300.0, 200.0, 500.0)])
def test_prompts_outside_the_photo(box) -> None:
    with pytest.raises(PWError, match=r"box .* reaches outside the photo, which is 1280 x 704 px") as error:
        reconstruct(with_prompt(box))
    assert error.value.code == ErrorCode.INVALID_PROMPT


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (((640.0, 470.0), (1300.0, 500.0), (640.0, -3.0)), r"point 2 \(1300, 500\), point 3 \(640, -3\) reach outside"),
        (((640.0, 470.0), (100.0, 500.0)), r"point 2 \(100, 500\) must lie in its box"),
        (((640.0, 470.0), (512.0, 350.0)), r"point 2 \(512, 350\) is on the background"),
    ],
)
def test_of_several_prompts_the_wrong_one_is_named(points, said) -> None:
    with pytest.raises(PWError, match=said) as error:
        reconstruct(with_prompt(config("play_doh").entities[0].prompt.box, points))
    assert error.value.code == ErrorCode.INVALID_PROMPT


def test_progress_can_cancel() -> None:
    class StopError(Exception):
        pass

    def progress(stage: str, fraction: float) -> None:
        if stage == "masks":
            raise StopError

    with pytest.raises(StopError):
        reconstruct(config("play_doh"), progress=progress)
