"""Counts from the code's own syntax trees: import circles, bare numbers, crowded folders, long files and functions."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from parts.records import ROOT, record

PACKAGES = ("pw_core", "pw_ros")
TUNED = ("pw_core/reconstruct", "pw_core/refine", "pw_core/calibrate")
"""Rooms in which a threshold or a tuning is a field of an options dataclass, never a number at the top of a file."""
MOST_FILES, MOST_LINES, MOST_FUNCTION_LINES = 14, 400, 80

STAYS: dict[str, str] = {
    "pw_core/reconstruct/poses/rgbd/pairwise.py:MOTION_SAMPLE": "pairs that fix a motion",
    "pw_core/reconstruct/poses/sfm/conventions.py:BODY": "axes of a convention",
    "pw_core/reconstruct/poses/sfm/conventions.py:OPENGL": "axes of a convention",
    "pw_core/reconstruct/poses/sfm/verification.py:FUNDAMENTAL_SAMPLE": "pairs that fix a fundamental matrix",
    "pw_core/reconstruct/providers/program.py:READ_BYTES": "size of a buffer",
    "pw_core/reconstruct/report/pictures.py:CAMERA_COLOR": "a colour",
    "pw_core/reconstruct/report/pictures.py:ENTITY_COLORS": "colours",
    "pw_core/reconstruct/report/pictures.py:GREY": "a colour",
    "pw_core/reconstruct/splatting/losses.py:C1": "the index's own constant, Wang et al. 2004",
    "pw_core/reconstruct/splatting/losses.py:C2": "the same",
    "pw_core/refine/photometric/losses.py:SSIM_C1": "the index's own constant, Wang et al. 2004",
    "pw_core/refine/photometric/losses.py:SSIM_C2": "the same",
    "pw_core/refine/photometric/shadow_gain.py:_OUTSIDE": "a place on no grid",
    "pw_core/refine/targets/masks.py:LEVELS": "of 8-bit pictures",
    "pw_core/refine/targets/noise.py:GOLDEN": "the golden ratio",
    "pw_core/refine/targets/types.py:UNCERTAIN": "a label of the masks' format",
    "pw_core/refine/targets/video_diffusion.py:MAX_FRAMES": "a property of the model's weights",
}
"""Numbers at the top of files that are no tuning, as `path:NAME`, each with the reason why it stays there."""


def sources() -> dict[str, Path]:
    """All modules of the packages, by dotted name."""
    found = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in found}


def counts() -> None:
    """Record items 1 to 3 of the house."""
    modules = sources()
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    circles = strongly_connected({name: set(imported(tree, modules)) - {name} for name, tree in trees.items()})
    shown = "; ".join(" <-> ".join(sorted(c)) for c in circles[:3])
    record("import circles among files", len(circles), "", "0", not circles, shown)

    bare = list(bare_numbers(trees, modules))
    left = [b for b in bare if b not in STAYS]
    unknown = sorted(set(STAYS) - set(bare))
    record("bare thresholds in reconstruct, refine, calibrate", len(left), "", "0", not left, ", ".join(left[:6]))
    record("constants that stay, each with a reason", len(STAYS) - len(unknown), "", "", None if not STAYS else True,
           f"no longer there: {', '.join(unknown)}" if unknown else "")  # fmt: skip
    places = defaultdict(set)
    for name in bare:
        path, _, constant = name.partition(":")
        places[constant].add(path)
    twice = sorted(c for c, where in places.items() if len(where) > 1)
    record("constant names with two meanings", len(twice), "", "0", not twice, ", ".join(twice[:6]))

    folders: dict[str, int] = defaultdict(int)
    for path in modules.values():
        if path.name != "__init__.py":
            folders[str(path.parent.relative_to(ROOT))] += 1
    crowded, most = max(folders.items(), key=lambda f: f[1])
    record("Python files in the fullest folder", most, "", f"<= {MOST_FILES}", most <= MOST_FILES, crowded)
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules.items()}
    longest = max(lines, key=lambda name: lines[name])
    record("lines of the longest file", lines[longest], "", f"<= {MOST_LINES}", lines[longest] <= MOST_LINES, longest)
    length, where = max(function_lengths(trees))
    record("lines of the longest function, kernels apart", length, "", f"<= {MOST_FUNCTION_LINES}",
           length <= MOST_FUNCTION_LINES, where)  # fmt: skip


def imported(tree: ast.Module, modules: dict[str, Path]) -> Iterator[str]:
    """Modules that a file imports, for typing and inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield node.module


def bare_numbers(trees: dict[str, ast.Module], modules: dict[str, Path]) -> Iterator[str]:
    """`path:NAME` of numbers, and tables of them, at the top of files in the tuned rooms."""
    for name, tree in trees.items():
        path = str(modules[name].relative_to(ROOT))
        if not path.startswith(TUNED):
            continue
        for node in tree.body:
            if isinstance(node, ast.Assign):
                targets, value = node.targets, node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                targets, value = [node.target], node.value
            else:
                continue
            called = value.func if isinstance(value, ast.Call) else None
            if isinstance(called, ast.Name) and called.id[:1].isupper():
                continue  # the defaults of an options dataclass
            if any(isinstance(c, ast.Constant) and type(c.value) in (int, float) for c in ast.walk(value)):
                for target in targets:
                    yield from (f"{path}:{n.id}" for n in ast.walk(target) if isinstance(n, ast.Name))


def function_lengths(trees: dict[str, ast.Module]) -> Iterator[tuple[int, str]]:
    """Lines of each function outside kernels, and where it is."""
    for name, tree in trees.items():
        if "kernels" in name or ".fast" in name:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{name}.{node.name}"


def strongly_connected(graph: dict[str, set[str]]) -> list[list[str]]:
    """The circles of a graph: its strongly connected components of two or more (Tarjan 1972), without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on: set[str] = set()
    found: list[list[str]] = []
    for start in graph:
        if start in index:
            continue
        work = [(start, iter(graph[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on.add(start)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on.add(other)
                    work.append((other, iter(graph[other])))
                    break
                if other in on:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part = [stack.pop()]
                    while part[-1] != node:
                        part.append(stack.pop())
                    on.difference_update(part)
                    if len(part) > 1:
                        found.append(part)
    return found
