"""What pydantic finds wrong with a file, as a person reads it: a line for each fault, a key that is none with the one
that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def fault_lines(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """`path: what is wrong there` of each fault of `kind`; what is but the consequence of another is left out."""
    found = error.errors()
    places = [e["loc"] for e in found]
    lines = []
    for e in found:
        loc = e["loc"]
        # A list whose items are wrong has none that are right, and is then too short as well.
        if e["type"] == "too_short" and any(len(p) > len(loc) and p[: len(loc)] == loc for p in places):
            continue
        text = _no_such_key(loc, kind) if e["type"] == "extra_forbidden" else e["msg"]
        lines.append(f"{'.'.join(map(str, loc)) or '(whole file)'}: {text}")
    return lines


def _no_such_key(loc: Sequence[int | str], kind: type[BaseModel]) -> str:
    kinds = {kind}
    for step in loc[:-1]:
        # An index, or the tag of a union, leads to the same parts.
        inner = {p for k in kinds if step in k.model_fields for p in _parts(k.model_fields[str(step)].annotation)}
        kinds = inner or kinds
    names = sorted({name for k in kinds for name in k.model_fields})
    meant = difflib.get_close_matches(str(loc[-1]), names, n=1)
    return "there is no such key; " + (f"did you mean '{meant[0]}'?" if meant else f"there are {', '.join(names)}")


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)
