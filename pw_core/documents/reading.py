"""YAML and JSON as it comes from outside: bounded before anything is made of it, plain data alone, no key twice."""

from __future__ import annotations

import codecs
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pw_core.limits import LIMITS, Limits


class DocumentError(ValueError):
    """What is wrong with the text, and where; for callers to say whose text it was and with which code."""


def read_text(path: Path, *, most_bytes: int = 0, limits: Limits = LIMITS) -> str:
    """A text file, if it is not too large: UTF-8, or what its byte order mark says, which is taken off.

    Args:
        most_bytes: in place of `limits.document_bytes`, for files that are tables.

    Raises:
        DocumentError: it is not there, cannot be read, is too large or no such text.
    """
    most = most_bytes or limits.document_bytes
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise DocumentError(f"cannot be read: {error}") from None
    if len(data) > most:
        raise DocumentError(f"is larger than {most} bytes")
    return decode_text(data)


def decode_text(data: bytes) -> str:
    """The text in the bytes of a file, without a byte order mark.

    Raises:
        DocumentError: neither UTF-8 nor UTF-16, and in which line that shows.
    """
    try:
        return data.decode(_encoding(data)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(
            f"cannot be read: line {line} holds the byte 0x{data[error.start]:02x}, which is no {error.encoding}: save "
            "it as UTF-8"
        ) from None


def _encoding(data: bytes) -> str:
    """As the byte order mark says; without one, where zeros lie among the first characters says it, else UTF-8."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(data) >= 4 and data[0] and not data[1] and data[2] and not data[3]:
        return "utf-16-le"
    if len(data) >= 4 and not data[0] and data[1] and not data[2] and data[3]:
        return "utf-16-be"
    return "utf-8"


def parse_yaml(text: str, *, limits: Limits = LIMITS) -> Any:
    """Plain data (safe load) from YAML.

    Raises:
        DocumentError: no YAML, a tag beyond plain data, a key twice in a mapping, too long, deep or large.
    """
    try:
        _check_yaml(text, limits)
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        raise DocumentError(f"no YAML: {error}") from None
    except (ValueError, OverflowError, RecursionError) as error:  # numbers and dates that no type can hold
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"cannot be read as YAML: {error}") from None


def parse_json(text: str, *, most_bytes: int = 0, limits: Limits = LIMITS) -> Any:
    """Plain data from JSON.

    Args:
        most_bytes: in place of `limits.document_bytes`, for files that are tables.

    Raises:
        DocumentError: no JSON, a key twice in an object, not a number, too long or deep.
    """
    _check_length(text, replace(limits, document_bytes=most_bytes) if most_bytes else limits)
    deep, within = 0, False
    skip = False
    for character in text:
        if within:
            if skip:
                skip = False
            elif character == "\\":
                skip = True
            elif character == '"':
                within = False
        elif character == '"':
            within = True
        elif character in "[{":
            deep += 1
            if deep > limits.document_depth:
                raise DocumentError(f"is more than {limits.document_depth} lists and objects deep")
        elif character in "]}":
            deep -= 1
    try:
        return json.loads(text, object_pairs_hook=_once)
    except DocumentError:
        raise
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"no JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(n for n in names if names.count(n) > 1)
        raise DocumentError(f"key '{twice}' is given twice")
    return out


def _check_length(text: str, limits: Limits) -> None:
    if len(text) > limits.document_bytes or len(text.encode("utf-8", "replace")) > limits.document_bytes:
        raise DocumentError(f"is larger than {limits.document_bytes} bytes")


def _check_yaml(text: str, limits: Limits) -> None:
    """That it is not too much, from the parser's events, which are made one by one as they are asked for.

    An alias counts as all that it stands for: ten lines can name each other's contents a million times.
    """
    _check_length(text, limits)
    whole = 0
    opened: list[tuple[str | None, int]] = []  # anchor of each open list or mapping, and the count when it began
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_loader()):
        where = f"line {event.start_mark.line + 1}" if event.start_mark else "somewhere"
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise DocumentError(f"{where}: alias '{event.anchor}' stands for nothing before it")
            whole += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            whole += 1
            if len(event.value) > limits.text_chars:
                raise DocumentError(f"{where}: a text of {len(event.value)} characters, at most {limits.text_chars}")
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            whole += 1
            opened.append((event.anchor, whole))
            if len(opened) > limits.document_depth:
                raise DocumentError(f"{where}: more than {limits.document_depth} lists and mappings deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = whole - before + 1
        if whole > limits.document_nodes:
            raise DocumentError(f"{where}: more than {limits.document_nodes} values, lists and mappings")


@cache
def _loader() -> Any:
    """PyYAML's safe loader, in C where it was built so, that refuses a key that comes twice in a mapping."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            seen: set[tuple[str, str]] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    one = (key.tag, key.value)
                    if one in seen:
                        text = f"key '{key.value}' is given twice"
                        raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
                    seen.add(one)
            super().flatten_mapping(node)

    return Loader
