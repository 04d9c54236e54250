"""Entities are followed through noisy films with shadows, far from where a prediction would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pw_core.errors import RefineError
from pw_core.refine.targets.masks import track_masks

H, W, T = 176, 320, 20
SIGMA = 4.0  # of 255


def texture(rng: np.random.Generator, colour: tuple[int, ...], amount: float) -> np.ndarray:
    n = cv2.GaussianBlur(rng.normal(size=(H, W, 3)).astype(np.float32), (0, 0), 2.0)
    return np.clip(np.array(colour, np.float32) + amount * n / n.std(), 0, 255)


def shadowed(picture: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """A soft shadow, to the right of and below what stands there; half the light at the most."""
    soft = np.roll(cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 6), (12, 10), (0, 1))
    return picture * (1 - 0.5 * soft)[..., None]


def noisy(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture + rng.normal(size=picture.shape) * SIGMA), 0, 255).astype(np.uint8)


def blobs(*, seed: int, speed: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two textured blobs that move 70 to 160 px, turn, change shape and shading; frames, masks, background."""
    rng = np.random.default_rng(seed)
    back = texture(rng, (150, 150, 140), 18)
    skins = [texture(rng, c, 14) for c in ((190, 90, 70), (80, 120, 200))]
    y, x = np.mgrid[:H, :W].astype(np.float32)
    frames, masks = [], np.zeros((T, H, W), np.int32)
    for t in range(T):
        covers, looks = [], []
        for k, skin in enumerate(skins):
            cx = 50 + speed * t if k == 0 else W - 60 - speed * t
            cy = 60 + 55 * k + 12 * np.sin(t / 4)
            turn = 0.05 * t
            u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
            r = np.hypot(u / (26 + 5 * np.sin(t / 5)), v / (22 - 4 * np.sin(t / 5)))
            r *= 1 + 0.08 * np.sin(3 * np.arctan2(v, u) + t / 6)
            covers.append(1 / (1 + np.exp((r - 1) * 40)))
            on = [np.asarray(a + b / 2, np.float32) for a, b in ((u, W), (v, H))]
            looks.append(cv2.remap(skin, *on, cv2.INTER_LINEAR) * (1 - 0.25 * np.clip(v / 30, -1, 1))[..., None])
        picture = shadowed(back, np.maximum(*covers))
        for k, (cover, look) in enumerate(zip(covers, looks)):
            picture = picture * (1 - cover[..., None]) + look * cover[..., None]
            masks[t][cover > 0.5] = k + 1
        frames.append(noisy(rng, picture))
    return np.stack(frames), masks, np.clip(back, 0, 255).astype(np.uint8)


def check(found: np.ndarray, true: np.ndarray, *, iou: float = 0.95, rim: float = 3.0) -> None:
    """IoU of each entity in each frame over what is certain, and how wide a rim is not."""
    sure = found >= 0
    for label in np.unique(true[true > 0]):
        both = ((found == label) & (true == label)).sum((1, 2))
        either = (((found == label) | (true == label)) & sure).sum((1, 2))
        assert (both / either).min() >= iou, f"{label}: {(both / either).round(3)}"
    edges = sum(((true == k) & ~np.stack([cv2.erode(m, np.ones((3, 3), np.uint8)) > 0
                for m in (true == k).astype(np.uint8)])).sum((1, 2)) for k in np.unique(true[true > 0]))  # fmt: skip
    assert ((~sure).sum((1, 2)) / edges).max() <= rim


@pytest.mark.parametrize(("seed", "speed", "rendered"), [(0, 4.5, True), (1, 4.5, False), (2, 8.0, True)])
def test_moving_blobs(seed: int, speed: float, rendered: bool) -> None:
    frames, true, back = blobs(seed=seed, speed=speed)
    # Our renderer's background is never the camera's: darker and of another tint.
    render = np.clip(back * np.array([0.85, 0.9, 0.8]) + 6, 0, 255).astype(np.uint8)
    check(track_masks(frames, start_masks=true[0], background=render if rendered else None), true)


def test_a_prediction_that_is_far_off_does_no_harm() -> None:
    frames, true, _ = blobs(seed=3, speed=4.5)
    stuck = np.repeat(true[:1], T, axis=0)  # it predicts that nothing moves: 85 px off in the end
    check(track_masks(frames, start_masks=true[0], predicted_masks=stuck), true)


def test_what_is_not_observed_is_not_certain() -> None:
    frames, true, back = blobs(seed=4, speed=4.5)
    valid = np.ones((T, H, W), np.bool_)
    valid[5:8, :, 100:180] = False
    frames[5:8, :, 100:180] = 0
    found = track_masks(frames, start_masks=true[0], background=back, valid=valid)
    assert (found[~valid] == -1).all()
    check(found[12:], true[12:])


def test_a_hand_that_comes_in_is_nobody() -> None:
    frames, true, back = blobs(seed=5, speed=2.0)
    frames[8:, 130:, 20:60] = (30, 160, 40)
    found = track_masks(frames, start_masks=true[0], background=back)
    assert (found[8:, 140:, 25:55] <= 0).mean() > 0.999
    check(np.where(found < 0, 0, found)[:, :125], true[:, :125])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": np.zeros((2, 8, 8), np.uint8)}, "film: found uint8"),
        ({"start_masks": np.zeros((8, 8), np.int32)}, "no pixel belongs to an entity"),
        ({"start_masks": np.ones((8, 9), np.int32)}, "start masks: found int32"),
        ({"background": np.zeros((8, 8), np.uint8)}, "background: found uint8"),
        ({"valid": np.ones((3, 8, 8), np.bool_)}, "valid: found bool"),
        ({"predicted_masks": np.ones((2, 8, 8), np.int64)}, "predicted masks: found int64"),
    ],
)
def test_bad_films(changes: dict[str, Any], words: str) -> None:
    good = {"frames": np.zeros((2, 8, 8, 3), np.uint8), "start_masks": np.ones((8, 8), np.int32)}
    with pytest.raises(RefineError, match=words):
        track_masks(**{**good, **changes})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("jam", -1), ("play_doh", -1),
        # Flour beside the dough, of its colours, is taken along and the dough's foot is lost: 0.916 of 0.95 since the
        # light is taken off the photo's table (0.95 and more before).
        pytest.param("dumpling", 1, marks=pytest.mark.xfail(reason="flour on the table, of the dough's own colours")),
        # The roller uncovers a flower pot of its own colours, of which a film alone does not tell that it stands still
        # because it is another thing: 0.940 of 0.95. (Photo lift has put the pot there since it fills less.)
        pytest.param("dumpling", -1, marks=pytest.mark.xfail(reason="uncovered things of an entity's own colours")),
    ],
)  # fmt: skip
def test_example_scenes(name: str, side: int) -> None:
    """Drawn by our renderer while each entity shifts to a side, turns and spreads, with shadows and noise on top."""
    import torch
    from scipy.spatial.transform import Rotation

    from pw_core.config import SceneConfig
    from pw_core.reconstruct import reconstruct
    from pw_core.render import rasterize

    scene = reconstruct(SceneConfig.load(Path(__file__).parents[4] / f"config/scenes/{name}.yaml"))
    camera = scene.cameras[0].resized(480, round(480 * scene.cameras[0].height / scene.cameras[0].width))
    front, back = scene.foreground, scene.background
    k = max(front.sh.shape[1], back.sh.shape[1])
    sh = np.concatenate([np.pad(g.sh, ((0, 0), (0, k - g.sh.shape[1]), (0, 0))) for g in (front, back)])
    labels = np.zeros(len(front) + len(back), np.int64)
    for i, e in enumerate(scene.entities):
        labels[e.gaussians] = i + 1
    onehot = np.eye(len(scene.entities) + 1, dtype=np.float32)[labels]

    def tensor(a: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32))

    rng = np.random.default_rng(0)
    frames, true = [], []
    for t in range(10):
        means, spread = front.means.astype(np.float64), front.covariances().astype(np.float64)
        for i, e in enumerate(scene.entities):
            s, way = e.gaussians, side if i % 2 else -side
            middle, size = means[s].mean(0), np.ptp(means[s], axis=0).max()
            A = Rotation.from_rotvec([0, 0, 0.05 * t * way]).as_matrix() @ np.diag([1 + 0.02 * t] * 2 + [1 - 0.02 * t])
            means[s] = (means[s] - middle) @ A.T + middle + [0, 0.04 * way * size * t, 0]
            spread[s] = A @ spread[s] @ A.T
        out = rasterize(
            tensor(np.concatenate([means, back.means])), None, None,
            torch.sigmoid(tensor(np.concatenate([front.opacities, back.opacities]))), tensor(sh),
            tensor(camera.viewmat)[None], tensor(camera.K)[None], camera.width, camera.height,
            covars=tensor(np.concatenate([spread, back.covariances()])), sh_degree=int(k**0.5) - 1,
            features=tensor(onehot),
        )  # fmt: skip
        assert out.features is not None
        mask = out.features[0].numpy().argmax(-1).astype(np.int32)
        picture = out.rgb[0].numpy() * 255
        dark = shadowed(picture, mask > 0)
        frames.append(noisy(rng, np.where((mask > 0)[..., None], picture, dark)))
        true.append(mask)
    check(track_masks(np.stack(frames), start_masks=true[0]), np.stack(true))
