"""What the documentation shows is what runs: code, commands, generated references."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from pw_core.actions import parse_action
from pw_core.cli import app
from pw_core.config import SceneConfig
from pw_core.render.ply import write_ply
from pw_core.store import Store
from pw_core.world import World
from support.ball_scene import ball_config, ball_scene
from support.sliding import Sliding

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = [ROOT / "README.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Pushed(Sliding):
    """Bodies slide under pushes and pokes; of the rest of the actions nothing comes."""

    settings = SimpleNamespace(inside=(np.array([-1.0, -1, -0.1]), np.array([2.0, 1, 1])))

    def set_actions(self, actions) -> None:
        super().set_actions([a for a in actions if a.type in ("push", "poke")])


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small scene called jam in out/store, whose physics is a stand-in: what is shown is how to ask."""
    monkeypatch.chdir(tmp_path)
    told = ball_config().model_dump(mode="json", exclude_defaults=True) | {"rounds": [{"duration": 0.1}] * 2}
    scene = replace(ball_scene(), config=SceneConfig.parse(told)).with_id("jam")
    World(tmp_path / "out/store").adopt(scene)
    built = Pushed(scene)

    def build(world: World, progress: object, constants: dict[str, float]) -> Pushed:
        built.set_constants(constants)
        return built

    monkeypatch.setattr(World, "_build", build)
    return tmp_path


@pytest.mark.parametrize("page", [p for p in RUN if blocks(p, "python")], ids=name)
def test_code_runs_from_the_first_block_to_the_last(there: Path, page: Path) -> None:
    given: dict[str, object] = {"__name__": "tutorial"}
    for block in blocks(page, "python"):
        exec(compile(block, name(page), "exec"), given)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name)
def test_code_is_python_whose_imports_are_there(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pw_core"):
                module = importlib.import_module(str(node.module))
                missing = [a.name for a in node.names if not _has(module, a.name)]
                assert not missing, f"{name(page)}: {node.module} has no {missing}"


def _has(module: object, what: str) -> bool:
    return hasattr(module, what) or importlib.util.find_spec(f"{module.__name__}.{what}") is not None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_those_of_the_program(page: Path) -> None:
    group = get_command(app)
    shell = [*blocks(page, "bash"), *re.findall(r"^    (pw .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)]
    for line in "\n".join(shell).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["pw"] and not words[1].startswith("--"):
            command = group.commands[words[1]]
            command.make_context(words[1], words[2:], resilient_parsing=False)


def shell(page: Path) -> list[str]:
    """The commands that a page shows, in bash blocks or indented by four."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = "\n".join(blocks(page, "bash")).splitlines()
    lines += re.findall(r"^    ((?:pw|make|ros2|docker|pip|python) .*)$", text, re.M)
    return [line for line in lines if shlex.split(line, comments=True)]


@pytest.fixture
def at_hand(there: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`there`, with the files that commands name: the scene's own file, a photo, a film, a scan of the room. A photo's
    reconstruction gives the small scene again; a studio ends as soon as it is there."""
    world = World.open("out/store", scene="jam")
    told = world.scene.config.model_dump(mode="json", exclude_defaults=True)
    told |= {"refine": {"iterations": 2, "nodes": 16, "width_px": 128}}
    (there / "config/scenes").mkdir(parents=True)
    (there / "config/scenes/jam.yaml").write_text(yaml.safe_dump(told))
    camera = world.scene.cameras[0]
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    iio.imwrite(there / "photo.jpg", noise)
    film = there / "films/round-1" / camera.name
    film.mkdir(parents=True)
    for k in range(6):
        iio.imwrite(film / f"{k}.png", world.render().rgb)
    (film / "stamps.csv").write_text("stamp\n" + "".join(f"{0.02 * k:.2f}\n" for k in range(6)))
    world.export(there / "room.ply")
    thing, centre = world.scene.foreground, world.scene.entities[0].origin
    at_origin = thing.moved(np.eye(3), -np.asarray(centre))
    write_ply(there / "pear.ply", at_origin.moved(np.eye(3), np.zeros(3), scale=100.0))
    monkeypatch.setattr(Store, "check_free", lambda *_, **__: None)
    monkeypatch.setattr(World, "reconstruct", lambda self, *_, **__: self.select("jam"))
    command = importlib.import_module("pw_core.cli.studio")
    monkeypatch.setattr(command, "interrupts", lambda: nullcontext(SimpleNamespace(pressed=True)))
    return there


@pytest.mark.parametrize("page", [p for p in RUN if shell(p)], ids=name)
def test_commands_run_from_the_first_to_the_last(at_hand: Path, page: Path) -> None:
    breath = [parse_action({"type": "wind", "duration": 0.02, "direction": [0, 1, 0], "magnitude": 1})]
    list(World.open("out/store", scene="jam").rollout(breath, 0.3, commit=True))
    for line in shell(page):
        program, *words = shlex.split(line, comments=True)
        if program == "pw":
            done = CliRunner().invoke(app, [*words, "--json"])
            assert done.exit_code <= (words[0] == "doctor"), f"{line}\n{done.output}\n{done.exception}"
            assert json.loads(done.stdout).keys() > {"ok", "messages"}, f"{line}: JSON says nothing of what it found"
        else:
            held_against_what_runs_it(program, words)


def held_against_what_runs_it(program: str, words: list[str]) -> None:
    """Commands that cannot run in a test are what others run: CI, scripts/ros/check_launch.sh, a builder of images."""
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M)
    elif program == "ros2":
        checked = (ROOT / "scripts/ros/check_launch.sh").read_text()
        stem = [w.partition(":=")[0] for w in words if "perpetual_wonder" not in w and "duration" not in w]
        assert all(word in checked for word in stem), f"check_launch.sh does not run {words}"
    elif program == "docker":
        assert " ".join(words[:2]) in (ROOT / "Dockerfile").read_text()
    else:
        raise AssertionError(f"nothing runs: {program} {' '.join(words)}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_yaml_is_yaml(page: Path) -> None:
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block) is not None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_into_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!http|#)([^)\s#]+)", text):
        made = (page.parent / target).resolve() in {ROOT / "docs/reference/ros.md", ROOT / "docs/reference/cli.md"}
        assert made or (page.parent / target).exists(), f"{name(page)}: {target}"


@pytest.fixture(scope="module")
def references():
    spec = importlib.util.spec_from_file_location("references", ROOT / "scripts/docs/references.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ros_reference_has_every_interface_and_parameter(references) -> None:
    page = references.ros_page()
    for path in (ROOT / "pw_msgs").glob("*/*.*"):
        assert f"### {path.stem}\n" in page
    declared = {line for line in page.splitlines() if line.startswith("| `")}
    told = {row.split("`")[1] for row in declared}
    set_in_file = yaml.safe_load((ROOT / "config/world_node.yaml").read_text())
    (node,) = set_in_file.values()
    top = {key.split(".")[0] for key in node["ros__parameters"]}
    assert top <= {t.split(".")[0] for t in told} and len(told) == len(declared)


def test_the_command_reference_has_every_command(references) -> None:
    page = references.cli_page()
    for command in get_command(app).commands:
        assert f"## pw {command}\n" in page


def test_every_page_is_in_the_navigation() -> None:
    class Loose(yaml.SafeLoader):
        pass

    Loose.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(), Loose)["nav"]
    listed = set(re.findall(r"[\w/]+\.md", str(nav)))
    assert {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")} <= listed
