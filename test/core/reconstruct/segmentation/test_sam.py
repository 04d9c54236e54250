"""SAM 2 tiny with random weights through both predictors: the same code that loads real checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pw_core.config import Sam2Settings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.gaussians import Camera
from pw_core.reconstruct.segmentation.sam import config_name, follow, predictor, segment_with
from pw_core.reconstruct.torchvision_schemas import declare_operators
from pw_core.reconstruct.types import View
from support.ball import config, shots

pytest.importorskip("sam2")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    import torch

    declare_operators()
    from sam2.build_sam import build_sam2

    torch.manual_seed(0)
    model = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", None, device="cpu")
    path = tmp_path_factory.mktemp("sam") / "tiny.pt"
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.mark.slow
def test_both_predictors_give_masks_of_the_views_size(checkpoint: Path) -> None:
    inputs, _ = shots(3, depth=False)
    settings = Sam2Settings(checkpoint=str(checkpoint), size="tiny")
    entity = config().entities[0]
    mask = segment_with(predictor(settings, video=False), inputs.views[0].image, entity, scale=1.0)
    assert mask.shape == (180, 240) and mask.dtype == bool
    views = [View(v.name, v.image, Camera(v.name, v.K, v.viewmat, 240, 180)) for v in inputs.views]
    found = follow(views, entity, settings, prompt_view="v01.png", original_width=240)
    assert sorted(found) == ["v00.png", "v01.png", "v02.png"]
    assert all(m.shape == (180, 240) and m.dtype == bool for m in found.values())


@pytest.mark.slow
def test_weights_of_another_size_are_refused(checkpoint: Path) -> None:
    with pytest.raises(ReconstructError, match=r"does not hold the weights of SAM 2\.1 'small'") as caught:
        predictor(Sam2Settings(checkpoint=str(checkpoint), size="small"), video=False)
    assert caught.value.code == ErrorCode.MISSING_WEIGHTS


@pytest.mark.slow
@pytest.mark.parametrize(("size", "millions"), [("tiny", 38.9), ("small", 46.0), ("base_plus", 80.8), ("large", 224.4)])
def test_every_size_is_the_published_model_of_its_name(size: str, millions: float) -> None:
    declare_operators()
    from sam2.build_sam import build_sam2

    assert Sam2Settings(size=size).size == size  # type: ignore[arg-type]
    model = build_sam2(config_name(size), None, device="cpu")
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.slow
def test_the_lifts_of_one_picture_take_its_masks(checkpoint: Path, monkeypatch) -> None:
    """With noise for weights a mask is noise: what is shown is that the lifts ask for it, and take what comes."""
    from pw_core.reconstruct import reconstruct
    from pw_core.reconstruct.segmentation import sam

    views = {"masks": "sam2", "sam2": {"checkpoint": str(checkpoint)}, "width_px": 240, "voxels": 48, "bind_steps": 4}
    asked = config(reconstruct={"views": views, "width_px": 240})
    calls: list[tuple[int, ...]] = []
    inputs, true = shots(1, depth=True)
    real = sam.segment_with

    def known(found: object, image: object, entity: object, *, scale: float) -> object:
        calls.append(real(found, image, entity, scale=scale).shape)
        return next(iter(true.values()))

    monkeypatch.setattr(sam, "segment_with", known)
    scene = reconstruct(asked, inputs)
    assert calls == [(180, 240)] and scene.entities[0].volume_m3 == pytest.approx(5.2e-4, rel=0.3)
    plain = replace(inputs.views[0], depth=None, K=None, viewmat=None)
    reconstruct(asked, replace(inputs, views=(plain,)))
    assert len(calls) == 2
