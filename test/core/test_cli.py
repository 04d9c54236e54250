"""What every command has: `--json`, completion, a quick `--help`; and `pw doctor`."""

from __future__ import annotations

import inspect
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.cli.doctor import DoctorOptions, examine
from pw_core.world import World

RUNNER = CliRunner()
DOCTOR = sys.modules[examine.__module__]  # the package has a function of that name


@pytest.fixture
def store(scene, tmp_path: Path) -> Path:
    World(tmp_path / "store").adopt(scene)
    return tmp_path / "store"


def told(*arguments: str, status: int = 0) -> dict:
    result = RUNNER.invoke(app, [*arguments, "--json"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_every_command_has_json() -> None:
    commands = get_command(app).commands
    assert {"doctor", "export", "rollout"} <= commands.keys()
    for name, command in commands.items():
        assert any("--json" in p.opts for p in command.params), name


def test_json_holds_what_was_found_and_said(store: Path, tmp_path: Path) -> None:
    assert told("scenes", "--store", str(store)) == {"ok": True, "scenes": ["ball"], "messages": ["ball"]}
    assert told("check", str(store))["faults"] == []
    view = told("view", "ball", "--store", str(store), "--out", str(tmp_path / "v.png"))
    assert view["path"] == str(tmp_path / "v.png") and (tmp_path / "v.png").is_file()
    written = told("export", "ball", "--to", str(tmp_path / "s.ply"), "--store", str(store))
    assert written["bytes"] == (tmp_path / "s.ply").stat().st_size


def test_pictures_and_replaced_scenes_are_json_too(store: Path, scene, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "pictures/a.png")
    looked = told("inspect", str(tmp_path / "pictures"))
    assert looked["pictures"] == 1 and [f["name"] for f in looked["files"]] == ["a.png"]
    World(store).adopt(scene, replace=True)
    (aside,) = told("scenes", "--replaced", "--store", str(store))["replaced"]
    assert told("restore-scene", aside["id"], "--replace", "--store", str(store))["scene"] == "ball"
    assert len(told("purge-scene", "--all", "--store", str(store))["purged"]) == 1


def test_every_command_s_module_reports_what_it_finds() -> None:
    for each in app.registered_commands:
        command = inspect.getclosurevars(each.callback).nonlocals["command"]
        assert "report(" in inspect.getsource(inspect.getmodule(command)), command.__name__


def test_commands_that_take_long_have_a_bar_with_an_eta() -> None:
    takes_long = {"reconstruct", "rollout", "refine", "run", "export", "check", "inspect", "background", "entity"}
    for each in app.registered_commands:
        command = inspect.getclosurevars(each.callback).nonlocals["command"]
        shown = re.search("(progress|refine)_bar", inspect.getsource(inspect.getmodule(command)))
        assert shown or command.__name__ not in takes_long, command.__name__


def test_an_error_is_json_too(store: Path) -> None:
    failed = told("view", "nowhere", "--store", str(store), status=1)
    assert failed["ok"] is False and failed["error"]["code"] == 501 and "nowhere" in failed["error"]["message"]


def test_completion_is_offered() -> None:
    assert "--install-completion" in RUNNER.invoke(app, ["--help"]).output


@pytest.mark.parametrize(
    ("command", "shown"),
    [("rollout", "[s]; 0: the round's"), ("view", "[degrees]"), ("new", "[px of the photo]"),
     ("inspect", "[m] of a unit"), ("refine", "Stamp [s] of"), ("entity", "is put [m]")],
)  # fmt: skip
def test_help_shows_units(command: str, shown: str) -> None:
    said = RUNNER.invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).output
    assert shown in " ".join(said.split()) and "\\[" not in said


def test_a_warning_is_a_line_of_its_own(tmp_path: Path) -> None:
    code = "import warnings, pw_core.cli as c; c.app = lambda: warnings.warn('mind this', stacklevel=2); c.main()"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == "warning: mind this\n"


def test_help_loads_nothing_heavy() -> None:
    heavy = "('numpy', 'torch', 'numba', 'genesis', 'rclpy', 'scipy')"
    code = f"import sys, pw_core.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_doctor_names_what_is_missing_and_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {f.what: f for f in examine(tmp_path)}
    assert found["Python"].verdict == found["numpy"].verdict == found["store"].verdict == "ok"
    monkeypatch.setattr(DOCTOR, "find_spec", lambda name: None)
    without = {f.what: f for f in examine(tmp_path, options=DoctorOptions(disk_gb=1e9))}
    assert without["ROS 2"].verdict == without["gsplat"].verdict == "optional"
    assert without["pxr"].remedy == "pip install 'perpetual-wonder[exports]'"
    assert without["store"].verdict == "missing" and "--store" in without["store"].remedy


def test_doctor_looks_at_the_environment_and_the_studio_s_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = DoctorOptions(studio_port=taken.getsockname()[1])
        found = {f.what: f for f in examine(tmp_path, options=options)}
    assert sys.prefix in found["environment"].found
    assert found["studio's port"].verdict == "optional" and "--port" in found["studio's port"].remedy


def test_doctor_fails_where_something_needed_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DOCTOR, "_version", lambda name: "" if name == "numba" else "1.0")
    report = told("doctor", "--store", str(tmp_path), status=1)
    numba = next(f for f in report["findings"] if f["what"] == "numba")
    assert numba["verdict"] == "missing" and numba["remedy"] == "pip install 'numba'" and report["missing"] >= 1
