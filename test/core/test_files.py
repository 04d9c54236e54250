"""Films and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.errors import PWError
from pw_core.export.film import write_film
from pw_core.scene import State
from pw_core.store import Store
from pw_core.tree import ROOT

RUNNER = CliRunner()


def test_film_can_be_read_again(tmp_path: Path) -> None:
    import imageio.v3 as iio

    pictures = [np.full((48, 64, 3), v, np.uint8) for v in (0, 120, 250)]
    frames = iio.imread(write_film(tmp_path / "f.mp4", pictures, fps=5), plugin="FFMPEG")
    assert frames.shape == (3, 48, 64, 3) and abs(int(frames[1].mean()) - 120) < 6
    with pytest.raises(PWError, match="one or more pictures"):
        write_film(tmp_path / "g.mp4", [])


def test_view_draws_a_stored_scene(scene, tmp_path: Path) -> None:
    import imageio.v3 as iio

    store = Store(tmp_path / "store")
    store.save_scene(scene)
    store.save_state("ball", State(ROOT, "", 0.0, scene.initial_physics()))
    out = tmp_path / "view.png"
    result = RUNNER.invoke(app, ["view", "ball", "--store", str(store.root), "--out", str(out), "--turn", "15"])
    assert result.exit_code == 0, result.output
    assert iio.imread(out).shape == (64, 96, 3)
    assert RUNNER.invoke(app, ["scenes", "--store", str(store.root)]).output.strip() == "ball"


@pytest.mark.parametrize("command", [["view", "nowhere"], ["rollout", "nowhere"], ["reconstruct", "nowhere.yaml"]])
def test_errors_are_one_message(command: list[str], tmp_path: Path) -> None:
    result = RUNNER.invoke(app, [*command, "--store", str(tmp_path)])
    assert result.exit_code == 1 and "nowhere" in result.output and "Traceback" not in result.output
