"""Depth of a single photo by a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pw_core.config import ProviderConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.providers.types import DEPTH, DepthGuess, load_provider
from support.ball_depth import program
from support.ball_photo import (
    HEIGHT,
    WIDTH,
    ball_photo,
)  # fmt: skip


def provider(name: str, **settings: Any) -> Any:
    return load_provider(ProviderConfig(provider=name, settings=settings), DEPTH)


def run(made: Any, tmp_path: Path) -> DepthGuess:
    guess: DepthGuess = made.depth(ball_photo(), folder=tmp_path, progress=lambda s, f: None)
    return guess


def failed(made: Any, tmp_path: Path, match: str, code: ErrorCode = ErrorCode.RECONSTRUCT_FAILED) -> None:
    with pytest.raises(ReconstructError, match=match) as caught:
        run(made, tmp_path)
    assert caught.value.code == code and not list(tmp_path.glob("depth_*"))


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
