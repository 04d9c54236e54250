"""The container's files: they copy what is there, leave nothing out that the set-up reads, and run as README says."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEV = [ROOT / ".devcontainer/devcontainer.json", ROOT / ".devcontainer/ros/devcontainer.json"]


def instructions() -> list[tuple[str, str]]:
    """(KEYWORD, rest) of the Dockerfile, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.strip() and line[0] != "#"]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(k.upper(), rest.strip()) for k, _, rest in (line.partition(" ") for line in joined.splitlines())]


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    said = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


def left_out(path: str) -> bool:
    """Whether .dockerignore keeps a file from the builder."""
    patterns = [x for x in (ROOT / ".dockerignore").read_text().splitlines() if x and x[0] != "#"]
    heads = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
    both = [*patterns, *(p.removeprefix("**/") for p in patterns)]
    return any(fnmatch.fnmatch(head, pattern) for pattern in both for head in heads)


def test_all_that_the_set_up_needs_is_copied_and_nothing_that_is_made() -> None:
    assert [rest.split()[-2:] for keyword, rest in instructions() if keyword == "COPY"] == [[".", "."]]
    ours = tracked()
    away = {path for path in ours if left_out(path)}
    assert away == {p for p in ours if p.startswith((".ci/", ".devcontainer/")) or p == "Dockerfile"}
    ignored = [x.strip("/") for x in (ROOT / ".gitignore").read_text().splitlines() if x and x[0] != "#"]
    assert all(left_out(f"{name.replace('*', 'x')}/file") for name in ignored if name != ".coverage")


def test_commands_and_packages_are_those_of_the_set_up() -> None:
    commands = " ".join(rest for keyword, rest in instructions() if keyword == "RUN")
    told = set(re.findall(r'need (\S+) "', (ROOT / "scripts/prerequisites.sh").read_text()))
    assert told <= set(commands.split()), "what prerequisites.sh asks for is installed"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"enter.sh make ([a-z-]+)", commands)) == {"setup"} <= targets
    assert set(re.findall(r"scripts/\S+\.sh", commands)) <= set(tracked())


def test_it_ends_as_a_user_without_rights_and_holds_no_secret_and_no_address() -> None:
    users = [rest for keyword, rest in instructions() if keyword == "USER"]
    assert users and all(user not in ("root", "0") for user in users)
    given = {rest.split("=")[0] for keyword, rest in instructions() if keyword in ("ARG", "ENV")}
    assert not [name for name in given if re.search("token|secret|password|key", name, re.IGNORECASE)]
    for path in (ROOT / "Dockerfile", *DEV):
        assert "://" not in path.read_text()


@pytest.mark.parametrize("path", DEV, ids=lambda p: p.parent.name)
def test_a_dev_container_stops_at_a_stage_that_is_there(path: Path) -> None:
    dev = json.loads(path.read_text())
    stages = [rest.split()[-1] for keyword, rest in instructions() if keyword == "FROM"]
    build = dev["build"]
    assert build["target"] in stages and (path.parent / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (path.parent / build["context"]).resolve() == ROOT
    assert set(build.get("args", {})) <= {r.split("=")[0] for keyword, r in instructions() if keyword == "ARG"}
    made = dev["postCreateCommand"]
    assert [rest for keyword, rest in instructions() if keyword == "RUN" and rest.startswith(f"{made} &&")]


def test_what_is_run_inside_has_the_environment_and_keeps_its_words(tmp_path: Path) -> None:
    """enter.sh with an environment that only says that it was entered."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/activate").write_text("export ENTERED=yes\n")
    (venv / "bin/python").write_text("#!/bin/sh\n")
    (venv / "bin/python").chmod(0o755)
    said = subprocess.run(
        ["bash", str(ROOT / "scripts/container/enter.sh"), "bash", "-c", 'echo "$ENTERED $1 $PWD"', "-", "two words"],
        env={"PATH": os.environ["PATH"], "PW_VENV": str(venv)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.stdout == f"yes two words {ROOT}\n", said.stderr
