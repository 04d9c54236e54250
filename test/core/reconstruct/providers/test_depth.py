"""Depth of a single photo by a model of transformers and by a program; what a lift makes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from pw_core.config import ProviderConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Camera
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.reconstruct.providers.align import align
from pw_core.reconstruct.providers.types import DEPTH, DepthGuess, load_provider
from pw_core.reconstruct.surface.inflate import table_depth
from support.ball_photo import (
    CENTRE,
    HEIGHT,
    RADIUS,
    WIDTH,
    ball_config,
    ball_mask,
    ball_photo,
    camera,
    pixel_rays,
)  # fmt: skip


def true_depth() -> np.ndarray:
    """Of the drawn photo [m]: a ball, the table to x = 1.2 m, and a wall at 2 m."""
    rays, eye = pixel_rays().reshape(-1, 3), camera().centre
    ground = np.where(rays[:, 2] < 0, -eye[2] / np.minimum(rays[:, 2], -1e-9), np.inf)
    ground = np.where(ground * rays[:, 0] < 1.2, ground, 2.0 / rays[:, 0])
    a, b = (rays**2).sum(1), rays @ (eye - CENTRE)
    root = b**2 - a * (((eye - CENTRE) ** 2).sum() - RADIUS**2)
    ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    return np.minimum(ball, ground).reshape(HEIGHT, WIDTH)


def table() -> np.ndarray:
    return np.asarray((table_depth(camera()) < 1.2) & ~ball_mask())


def provider(name: str, **settings: Any) -> Any:
    return load_provider(ProviderConfig(provider=name, settings=settings), DEPTH)


def program(code: str, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    """Settings of a program that runs `code` with `image` and `output` set."""
    script = tmp_path / "program.py"
    script.write_text(f"import sys\nimport numpy as np\nimage, output = sys.argv[1:]\n{code}\n")
    return {"command": [sys.executable, str(script), "{image}", "{output}"], **settings}


def run(made: Any, tmp_path: Path) -> DepthGuess:
    guess: DepthGuess = made.depth(ball_photo(), folder=tmp_path, progress=lambda s, f: None)
    return guess


def failed(made: Any, tmp_path: Path, match: str, code: ErrorCode = ErrorCode.RECONSTRUCT_FAILED) -> None:
    with pytest.raises(ReconstructError, match=match) as caught:
        run(made, tmp_path)
    assert caught.value.code == code and not list(tmp_path.glob("depth_*"))


@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_scale_and_offset_come_from_the_table_whatever_lies_on_it(kind: str) -> None:
    true = true_depth()
    value = 3 * (true if kind == "depth" else 1 / true) + 0.7
    value[150:, :60] *= 0.5  # something that nobody named
    value += np.random.default_rng(0).normal(0, 0.002, value.shape)
    for said in (kind, "auto"):
        found = align(DepthGuess(value.astype(np.float32), said), camera(), table())  # type: ignore[arg-type]
        assert found.report["kind"] == kind
        assert abs((found.depth - true)[ball_mask()].mean()) < 0.005 * RADIUS


def test_what_no_scale_puts_on_the_table_is_refused() -> None:
    noise = np.random.default_rng(0).uniform(1, 2, (HEIGHT, WIDTH)).astype(np.float32)
    with pytest.raises(ReconstructError, match="no scale and offset puts it on the table"):
        align(DepthGuess(noise), camera(), table())
    backwards = DepthGuess((5 - true_depth()).astype(np.float32), "depth")
    with pytest.raises(ReconstructError, match="falls where the distance grows"):
        align(backwards, camera(), table())
    with pytest.raises(ReconstructError, match="only 0 pixels show the table"):
        align(backwards, camera(), np.zeros((HEIGHT, WIDTH), bool))


def visible_error(scene: Any) -> float:
    """Mean distance of the ball's true visible surface from the mesh, over its diameter."""
    mask = ball_mask()
    y, x = np.nonzero(mask)
    cam: Camera = camera()
    seen = cam.unproject(np.stack([x, y], 1) + 0.5, true_depth()[y, x])
    e = scene.entities[0]
    mesh = trimesh.Trimesh(e.mesh.vertices, e.mesh.faces)
    assert mesh.is_watertight
    return float(trimesh.proximity.ProximityQuery(mesh).on_surface(seen)[1].mean() / (2 * RADIUS))


def test_a_programs_depth_takes_the_place_of_the_inflated_front(tmp_path: Path) -> None:
    np.save(tmp_path / "true.npy", (1 / true_depth()).astype(np.float32))
    settings = program(f"np.save(output, 2 * np.load({str(tmp_path / 'true.npy')!r}) + 5)", tmp_path)
    asked = ball_config()
    fields = asked.model_dump(mode="json")
    fields["reconstruct"]["depth"] = {"provider": "program", "settings": settings}
    photo = Inputs.of_photo(asked, ball_photo())
    scene, plain = reconstruct(type(asked).parse(fields), photo), reconstruct(asked, photo)
    assert visible_error(scene) < 0.01 < 0.5 * visible_error(plain)
    assert scene.provenance["depth"]["kind"] == "disparity" and scene.provenance["depth"]["provider"] == "program"
    assert scene.entities[0].volume_m3 == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.15)


def test_a_program_may_write_a_png_of_another_size(tmp_path: Path) -> None:
    code = "import cv2; cv2.imwrite(output, np.full((44, 80), 1234, np.uint16))"
    guess = run(provider("program", **program(code, tmp_path, output="d.png", kind="depth")), tmp_path)
    assert guess.values.shape == (HEIGHT, WIDTH) and np.all(guess.values == 1234) and guess.kind == "depth"


@pytest.mark.parametrize(("code", "match"), [
    ("sys.exit('no such model')", r"(?s)exit code 1.*no such model"),
    ("pass", r"ended without writing depth\.npy"),
    ("open(output, 'wb').write(b'no')", "cannot be read"),
    ("np.save(output, np.ones((3, 4, 5)))", r"shape \(3, 4, 5\).*one number a pixel"),
    ("np.save(output, np.zeros((3, 4)))", "no value above 0"),
    ("np.save(output, np.array([{}]), allow_pickle=True)", "cannot be read"),
])  # fmt: skip
def test_what_a_program_does_wrong(tmp_path: Path, code: str, match: str) -> None:
    failed(provider("program", **program(code, tmp_path)), tmp_path, match)


def test_programs_that_are_not_there_or_get_no_files(tmp_path: Path) -> None:
    gone = {"command": ["/nowhere/depth", "{image}", "{output}"]}
    failed(provider("program", **gone), tmp_path, "'/nowhere/depth' cannot be run", ErrorCode.MISSING_WEIGHTS)
    for settings, match in (
        ({"command": ["depth"]}, r"settings\.command: .*\{image\}"), ({**gone, "output": "../x.npy"}, "output"),
    ):  # fmt: skip
        with pytest.raises(ReconstructError, match=match) as caught:
            provider("program", **settings)
        assert caught.value.code == ErrorCode.INVALID_CONFIG


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from pw_core.torchvision_schemas import declare_operators

    declare_operators()
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=8,
    ))  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_model_of_transformers_is_read_from_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    made = provider("transformers", model=str(tiny_model), device="cpu")
    guess, again = run(made, tmp_path), run(made, tmp_path)
    assert guess.values.shape == (HEIGHT, WIDTH) and guess.kind == "disparity"
    assert np.ptp(guess.values) > 0 and np.array_equal(guess.values, again.values)
    assert run(provider("transformers", model=str(tiny_model), kind="depth"), tmp_path).kind == "depth"
    fields = ball_config().model_dump(mode="json")
    fields["reconstruct"]["depth"] = {"provider": "transformers", "settings": {"model": str(tiny_model)}}
    with pytest.raises(ReconstructError, match="puts it on the table"):  # its weights are noise, and that is said
        reconstruct(type(ball_config()).parse(fields), Inputs.of_photo(ball_config(), ball_photo()))


@pytest.mark.slow
def test_folders_that_hold_no_model(tiny_model: Path, tmp_path: Path) -> None:
    missing = ErrorCode.MISSING_WEIGHTS
    failed(provider("transformers"), tmp_path, r"reconstruct\.depth\.settings\.model: none is named", missing)
    failed(provider("transformers", model=str(tmp_path)), tmp_path, "holds no config.json", missing)
    (tmp_path / "config.json").write_text((tiny_model / "config.json").read_text())
    failed(provider("transformers", model=str(tmp_path)), tmp_path, "holds no whole depth-estimation model", missing)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    failed(provider("transformers", model=str(tmp_path)), tmp_path, "holds no whole depth-estimation model", missing)
