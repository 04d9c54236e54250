"""`--json` on every command: what it found and what it said, as one object on standard output.

`ok`, then what a command reports by name; `messages`: the lines that it prints otherwise; `error`: code and text of
what went wrong. Progress and warnings go to standard error as they do without.
"""

from __future__ import annotations

import functools
import inspect
import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from contextvars import ContextVar
from typing import Annotated, Any

import typer

_REPORT: ContextVar[dict[str, Any] | None] = ContextVar("report", default=None)
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def report(**found: Any) -> None:
    """What the command found, by name, for `--json`; without it, nothing happens."""
    going = _REPORT.get()
    if going is not None:
        going.update(found)


def report_error(code: int, text: str) -> bool:
    """What went wrong; whether it is told that way, because of `--json`."""
    going = _REPORT.get()
    if going is None:
        return False
    going["error"] = {"code": code, "message": text}
    return True


def with_json(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option `--json`."""

    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool = False, **options: Any) -> None:
        if not as_json:
            command(*args, **options)
            return
        found: dict[str, Any] = {}
        token = _REPORT.set(found)
        said = io.StringIO()
        status: int | None = None
        try:
            with redirect_stdout(said):
                command(*args, **options)
        except typer.Exit as ended:
            status = ended.exit_code
        finally:
            _REPORT.reset(token)
        lines = said.getvalue().splitlines()
        typer.echo(json.dumps({"ok": not status, **found, "messages": lines}, default=_plain))
        if status:
            raise typer.Exit(status)

    known = inspect.signature(command, eval_str=True)
    for parameter in known.parameters.values():
        _show_brackets(parameter.annotation)
    option = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)
    del wrapped.__wrapped__  # typer would look at the command's own signature
    wrapped.__dict__["__signature__"] = known.replace(parameters=[*known.parameters.values(), option])
    wrapped.__annotations__ = {n: p.annotation for n, p in known.parameters.items()} | {"as_json": JsonOption}
    return wrapped


def _show_brackets(annotation: Any) -> None:
    """Of an option's help: they hold units, and are not Rich's markup. Twice is once: commands share options."""
    for each in getattr(annotation, "__metadata__", ()):
        if getattr(each, "help", None):
            each.help = re.sub(r"\\*\[", r"\\[", each.help)


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, and paths, as JSON has them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
