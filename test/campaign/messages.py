"""Messages of any kind, from their own definitions, so that a new field is tried unasked."""

from __future__ import annotations

import array
import importlib
import math
from typing import Any

from hypothesis import strategies as st
from rosidl_parser.definition import (
    AbstractSequence,
    AbstractString,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)

WORDS = (
    "", "root", "ball", "photo", "nope", "../x", "/etc/passwd", "a b", "x" * 5000, "é\n\x01", "start", "raw", "wind",
    "tool", "name: [a", "a: {a: 1, a: 2}", "[" * 500, "~/x", "//",
)  # fmt: skip
"""Texts that mean something somewhere, and some that mean nothing anywhere."""
NUMBERS = (0.0, -1.0, 1.0, 0.02, 0.1, math.nan, math.inf, -math.inf, 1e9, 1e300, 5e-324, 1e-300)


def messages(kind: Any, *, depth: int = 4) -> st.SearchStrategy[Any]:
    """Messages of that type; nested lists are short."""
    names = [name.removeprefix("_") for name in kind.__slots__ if name != "_check_fields"]
    fields = {n: _values(t, depth) for n, t in zip(names, kind.SLOT_TYPES, strict=True)}
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**given))


def _values(kind: Any, depth: int) -> st.SearchStrategy[Any]:
    if isinstance(kind, BasicType):
        return _numbers(kind.typename)
    if isinstance(kind, AbstractString):
        return st.sampled_from(WORDS) | st.text(max_size=20).filter(lambda s: "\x00" not in s)
    if isinstance(kind, NamespacedType):
        return messages(_class(kind), depth=depth - 1)
    if isinstance(kind, Array):
        return st.lists(_values(kind.value_type, depth), min_size=kind.size, max_size=kind.size)
    assert isinstance(kind, AbstractSequence)
    most = min(3, kind.maximum_size) if isinstance(kind, BoundedSequence) else 3
    of = kind.value_type
    if depth <= 0 and isinstance(of, NamespacedType):
        return st.just([])
    if isinstance(of, BasicType) and of.typename in ("uint8", "octet"):
        return st.binary(max_size=40).map(lambda b: array.array("B", b))
    return st.lists(_values(of, depth), max_size=most)


def _class(kind: NamespacedType) -> Any:
    return getattr(importlib.import_module(".".join(kind.namespaces)), kind.name)


def _numbers(name: str) -> st.SearchStrategy[Any]:
    if name == "boolean":
        return st.booleans()
    if name in ("float", "double"):
        return st.sampled_from(NUMBERS) if name == "double" else st.floats(width=32)
    if name in ("octet", "char"):
        return st.integers(0, 255)
    bits = int(name.removeprefix("u").removeprefix("int"))
    low, high = (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.sampled_from([v for v in (0, 1, 2, 3, low, high) if low <= v <= high]) | st.integers(low, high)
