"""Set-up's own parts: what is missing is named, pins follow the NumPy that ROS needs, baked paths go."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
        cwd=ROOT,
    )


def folder_with(tmp_path: Path, *programs: str) -> str:
    """A PATH on which only these programs are."""
    for program in programs:
        found = shutil.which(program)
        assert found, program
        (tmp_path / program).symlink_to(found)
    return str(tmp_path)


def test_missing_prerequisites_are_named_with_the_command_that_installs_them(tmp_path: Path) -> None:
    path = folder_with(tmp_path, "bash", "make", "apt-get") if shutil.which("apt-get") else None
    if path is None:
        pytest.skip("no apt-get here: the command would be another")
    done = run("bash", "scripts/prerequisites.sh", sys.executable, PATH=path)
    assert done.returncode == 1
    assert "missing: CMake" in done.stderr
    assert re.search(r"sudo apt-get install -y cmake g\+\+$", done.stderr.strip())


def test_nothing_is_missing_here() -> None:
    done = run("bash", "scripts/prerequisites.sh", sys.executable)
    assert (done.returncode, done.stderr) == (0, "")


def pins(numpy: int) -> dict[str, str]:
    lines = run(sys.executable, "scripts/constraints.py", "--numpy", numpy).stdout.split("\n")
    return {re.split("[=<;]", line)[0]: line for line in lines if line}


def test_numpy_1_replaces_what_needs_numpy_2() -> None:
    two, one = pins(2), pins(1)
    assert two["numpy"].startswith("numpy==2")
    assert one["numpy"] == "numpy==1.26.4"
    assert set(one) == set(two)
    changed = {name for name in one if one[name] != two[name]}
    assert changed == {"numpy", "opencv-python-headless", "plyfile"}


def test_every_dependency_of_pyproject_is_pinned() -> None:
    project = (ROOT / "pyproject.toml").read_text().split("[tool.")[0]
    named = re.findall(r'^  "([A-Za-z0-9_-]+)', project, re.MULTILINE)
    assert len(named) > 20
    assert {name.lower() for name in named} <= {name.lower() for name in pins(2)}


def test_each_dependency_says_why() -> None:
    project = (ROOT / "pyproject.toml").read_text().split("[tool.")[0]
    lines = re.findall(r'^  "[A-Za-z0-9_-]+.*$', project, re.MULTILINE)
    assert [line for line in lines if "#" not in line] == []


def test_baked_paths_are_rewritten_once(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import fix_wheel_paths
    finally:
        sys.path.pop(0)
    baked = "/opt/python/cp312-cp312"
    text = f"set(a {baked}/include/python3.12)\nset(b {baked}/lib/python3.12/site-packages/x)"
    assert fix_wheel_paths.rewrite(text, include="/e/inc", site="/e/site") == ("set(a /e/inc)\nset(b /e/site/x)", 2)
    assert fix_wheel_paths.rewrite("set(a /e/inc)", include="/e/inc", site="/e/site") == ("set(a /e/inc)", 0)
