"""Providers are found by name; what is wrong with targets is said with its place."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pw_core import plugins
from pw_core.errors import ErrorCode, RefineError
from pw_core.progress import Progress
from pw_core.refine.targets.observed import CameraFilm
from pw_core.refine.targets.registry import PROVIDERS, load_provider, provide, provider_names
from pw_core.refine.targets.types import TargetFrames, TargetRequest
from support.target_request import H, T, W, make_request


class Echo:
    name = "echo"

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        if progress is not None:
            progress("echo", 0.5)
        valid = np.ones(request.shape, np.bool_)
        return replace(TargetFrames(request.frames.copy(), valid, request.masks.copy()), **self.changes)


class Broken(Echo):
    def frames(self, request: TargetRequest, *, progress: Progress | None = None) -> TargetFrames:
        raise ZeroDivisionError("no luck")


def announce(monkeypatch: pytest.MonkeyPatch, **named: str) -> None:
    points = [EntryPoint(n, v, PROVIDERS.group) for n, v in named.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: points if group == PROVIDERS.group else [])


def test_providers_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, lost="no_such_module:Thing", dull="builtins:dict", mine="fractions:Fraction")
    assert provider_names() == ["dull", "lost", "mine", "observed", "video_diffusion"]
    film = CameraFilm("cam0", np.zeros(1), make_request().frames[0, :1])
    assert load_provider("observed", films=[film]).name == "observed"
    for name, settings, code, words in (
        ("sora", {}, ErrorCode.UNKNOWN_PROVIDER, "'sora' is not known; there are: dull, lost, mine, observed, vid"),
        ("lost", {}, ErrorCode.PROVIDER_FAILED, "no_such_module"),
        ("dull", {}, ErrorCode.PROVIDER_FAILED, "lacks `name` or `frames"),
        ("mine", {"speed": 1}, ErrorCode.PROVIDER_FAILED, "does not take the settings .'speed'."),
    ):
        with pytest.raises(RefineError, match=words) as caught:
            load_provider(name, **settings)
        assert caught.value.code == code


def test_the_example_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """As installed: a folder with the example and the metadata that pip writes for its entry point."""
    example = Path(__file__).parents[4] / "examples/target_provider.py"
    (tmp_path / "target_provider.py").write_text(example.read_text())
    info = tmp_path / "third_party-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1\n")
    line = next(x for x in example.read_text().splitlines() if x.strip().startswith("brighter ="))
    (info / "entry_points.txt").write_text(f"[{PROVIDERS.group}]\n{line.strip().replace(chr(34), '')}\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[3])!r}]\n"
        "from support.target_request import make_request\n"
        "from pw_core.refine.targets.registry import load_provider, provide, provider_names\n"
        "assert 'brighter' in provider_names()\n"
        "r = make_request()\n"
        "out = provide(load_provider('brighter', gain=1.5), r)\n"
        "assert out.frames.mean() > 1.2 * r.frames.mean(), out.frames.mean()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_targets_that_fit_pass_and_a_cancel_goes_through(request_: TargetRequest) -> None:
    seen: list[tuple[str, float]] = []
    out = provide(Echo(), request_, progress=lambda what, fraction: seen.append((what, fraction)))
    assert np.array_equal(out.frames, request_.frames) and seen == [("echo", 0.5)]

    class Stop(Exception):
        pass

    def stop(what: str, fraction: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        provide(Echo(), request_, progress=stop)
    with pytest.raises(RefineError, match="stage 'front': ZeroDivisionError: no luck") as caught:
        provide(Broken(), request_)
    assert caught.value.code == ErrorCode.PROVIDER_FAILED


def black_at(view: int, frame: int) -> np.ndarray:
    frames = make_request(views=2).frames.copy()
    frames[view, frame] = np.random.default_rng(1).integers(0, 9, (H, W, 3))
    return frames


def masks_with(value: int) -> np.ndarray:
    masks = make_request(views=2).masks.copy()
    masks[1, 2, 3, 4] = value
    return masks


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": np.zeros((2, T, H, W + 1, 3), np.uint8)}, r"frames: found uint8 \(2, 5, 48, 65, 3\), expected"),
        ({"frames": np.zeros((2, T - 1, H, W, 3), np.uint8)}, r"found uint8 \(2, 4, 48, 64, 3\)"),
        ({"frames": np.full((2, T, H, W, 3), np.nan)}, "found float64"),
        ({"frames": black_at(1, 3)}, r"view 1 \('cam1'\), frame 3: all black"),
        ({"valid": np.zeros((2, T, H, W), np.bool_)}, "no pixel of any frame was observed"),
        ({"masks": masks_with(7)}, r"view 1 \('cam1'\), frame 2: masks hold \[7\], expected only \[-1, 0, 1\]"),
        ({"masks": np.zeros((2, T, H, W), np.uint8)}, "masks: found uint8"),
        ({"masks": np.full((2, T, H, W), -1, np.int32)}, "no pixel of the masks is certain"),
    ],
)
def test_bad_targets(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RefineError, match=words) as caught:
        provide(Echo(**changes), make_request(views=2))
    assert caught.value.code == ErrorCode.INVALID_TARGET
    assert "target provider 'echo'" in str(caught.value)
