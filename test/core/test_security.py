"""What the program never does, read from its sources: no pickle, no unsafe YAML, weights alone, no network."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "pw_core").rglob("*.py"), *(ROOT / "pw_ros").rglob("*.py")])
NETWORK = {"socket", "http", "urllib", "requests", "httpx", "ftplib", "aiohttp", "huggingface_hub"}
UNPICKLES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
ALLOWED = {
    "pw_core/store/locks.py": "the machine's name, for who asks which one writes",
    "pw_core/cli/doctor.py": "whether the port that DDS meets at is free",
    "pw_core/plan/executors/ray.py": "whether the Ray cluster that the user names is there",
    "pw_core/cli/own/server.py": "the page of `pw new --browse`, on this machine alone, with a token",
    "pw_core/studio/gate.py": "who may see the studio's page",
    "pw_core/studio/studio.py": "a free port for that page",
}
"""Files that import one of those, and for what."""
PIPE = {"pw_ros/worker/shared_memory.py", "pw_ros/worker/server.py"}
"""The pipe between the node and its own child."""


def imports(tree: ast.AST) -> set[str]:
    """Top-level names of all modules that are imported anywhere in a file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """All calls by their dotted names."""
    return [(ast.unparse(n.func), n) for n in ast.walk(tree) if isinstance(n, ast.Call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_pickle_no_unsafe_yaml_weights_alone_and_no_network(path: Path) -> None:
    name, tree = str(path.relative_to(ROOT)), ast.parse(path.read_text())
    assert name in ALLOWED or not imports(tree) & NETWORK
    assert name in PIPE or not imports(tree) & UNPICKLES
    for called, node in calls(tree):
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called in ("np.load", "numpy.load"):
            assert options.get("allow_pickle", "False") == "False"
        if called == "torch.load":
            assert options.get("weights_only") == "True"
        if called in ("yaml.load", "yaml.load_all"):
            assert name == "pw_core/documents/reading.py" and options["Loader"] == "_loader()"  # safe, with checks
        assert called not in ("yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system")
