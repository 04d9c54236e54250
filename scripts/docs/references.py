"""A hook of MkDocs: pages made from what they describe, so that they cannot drift.

reference/ros.md from the interface files and the parameters that the node declares, reference/cli.md from the commands'
own help. Links out of the documentation into the repository become plain text: where it is published they lead
nowhere.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"srv": "Services", "action": "Actions", "msg": "Messages"}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    sys.path.insert(0, str(ROOT))
    for name, text in {"reference/ros.md": ros_page(), "reference/cli.md": cli_page()}.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to interface files lead to their reference, those to other files of the repository become text."""

    def link(found: re.Match[str]) -> str:
        text, target = found["text"], found["target"]
        there = (ROOT / "docs" / page.file.src_uri).parent / target.partition("#")[0]
        outside = ROOT / "docs" not in there.resolve().parents
        if not outside or not there.exists():
            return found[0]  # MkDocs says so where it is dead
        if there.suffix[1:] in KINDS:
            up = "../" * page.file.src_uri.count("/")
            return f"[{text}]({up}reference/ros.md#{there.stem.lower()})"
        return text

    return re.sub(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>(?!http|#)[^)\s]+)\)", link, markdown)


def ros_page() -> str:
    """Interfaces by kind, then parameters."""
    lines = ["# Interfaces and parameters", "", "Made from the interface files and from what the node declares."]
    for folder, title in KINDS.items():
        lines += ["", f"## {title}"]
        for path in sorted((ROOT / "pw_msgs" / folder).glob(f"*.{folder}")):
            head, body = _parts(path.read_text(encoding="utf-8"))
            lines += ["", f"### {path.stem}", "", head, "", "```text", body, "```"]
    lines += ["", "## Parameters", "", "| name | default | what it is |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | `{default}` | {text.replace('|', '/')} |" for name, default, text in parameters()]
    return "\n".join(lines) + "\n"


def _parts(text: str) -> tuple[str, str]:
    """The comment that an interface begins with, as prose, and the rest."""
    head: list[str] = []
    rest = text.splitlines()
    while rest and rest[0].startswith("#"):
        head.append(rest.pop(0).lstrip("# "))
    return " ".join(head).replace("<", "&lt;"), "\n".join(rest).strip()


def parameters() -> Iterator[tuple[str, str, str]]:
    """(name, default, description) of each `_add(node, name, default, description, ...)` in pw_ros/parameters.py."""
    tree = ast.parse((ROOT / "pw_ros" / "parameters.py").read_text(encoding="utf-8"))
    said: dict[str, str] = {}
    for statement in ast.walk(tree):
        named = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        if named and isinstance(statement.value, ast.Constant | ast.JoinedStr):
            said[statement.targets[0].id] = _text(statement.value)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "_add"]
    for call in sorted(calls, key=lambda c: c.lineno):
        _, name, default, text = call.args[:4]
        told = said.get(text.id, text.id) if isinstance(text, ast.Name) else _text(text)
        yield _text(name), ast.unparse(default), told


def _text(node: ast.expr) -> str:
    """A string as it stands in the source; what it is filled with, in angle brackets."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(v.value) if isinstance(v, ast.Constant) else f"<{ast.unparse(v.value)}>" for v in node.values
        )
    return ast.unparse(node)


def cli_page() -> str:
    """Every command with its arguments and options, from the parser itself."""
    from typer.main import get_command

    from pw_core.cli import app

    group = get_command(app)
    lines = ["# Command line", "", str(group.help)]
    for name, command in group.commands.items():
        lines += ["", f"## pw {name}", "", (command.help or "").strip(), "", "| | |", "| --- | --- |"]
        for parameter in command.params:
            option = parameter.param_type_name == "option"
            shown = ", ".join(parameter.opts) if option else parameter.metavar or str(parameter.name).upper()
            told = (getattr(parameter, "help", "") or "").replace("|", "/").replace("<", "&lt;")
            lines.append(f"| `{shown}` | {told} |")
    return "\n".join(lines) + "\n"
