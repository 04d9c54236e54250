"""YAML and JSON from outside: bounded before they are parsed, plain data alone, no key twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pw_core.documents.reading import DocumentError, parse_json, parse_yaml, read_text
from pw_core.limits import LIMITS, Limits


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "'c' is given twice"),
        ("[" * 100_000, "nesting depth|lists and mappings deep"),
        ("- " * 30 + "a", "lists and mappings deep"),
        ("x: &x [*x]", "stands for nothing"),
        ("a: *b", "stands for nothing"),
        ("a: 2001-99-99", "month"),
        ("? [a]\n: b", "unhashable"),
        ("!!python/object/apply:os.system [ls]", "os.system"),
        ("\x00", "not allowed"),
        ("a: " + "x" * 5000, "5000 characters"),
        ("\n".join(f"k{i}: 1" for i in range(300_000)), "larger than"),
        ("[" + "1," * 60_000 + "]", "values, lists and mappings"),
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
            "values, lists and mappings",
        ),
    ],
    ids=["twice", "deep", "deep dashes", "itself", "unknown", "date", "key", "object", "null", "long", "large", "many",
         "laughs"],
)  # fmt: skip
def test_yaml_that_is_refused(text: str, word: str) -> None:
    with pytest.raises(DocumentError, match=word):
        parse_yaml(text)


def test_yaml_with_aliases_and_merges_is_read_as_ever() -> None:
    text = "base: &b {x: 1, y: [1, 2]}\none: {<<: *b, x: 2}\ntwo: *b"
    base = {"x": 1, "y": [1, 2]}
    assert parse_yaml(text) == {"base": base, "one": {**base, "x": 2}, "two": base}
    assert parse_yaml("") is None and parse_yaml("a: 1.5") == {"a": 1.5}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[" * 100_000 + "]" * 100_000, "deep"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("[1, 2", "no JSON"),
        ("9" * 5000, "no JSON"),
        ('"' + "a" * LIMITS.document_bytes + '"', "larger than"),
    ],
    ids=["deep", "twice", "open", "digits", "large"],
)
def test_json_that_is_refused(text: str, word: str) -> None:
    with pytest.raises(DocumentError, match=word):
        parse_json(text)


def test_brackets_in_texts_are_not_deep() -> None:
    fields = {"a": "[[[[" * 20, "b": '\\"[[' * 20, "c": [[1]]}
    assert parse_json(json.dumps(fields)) == fields


def test_files_are_read_up_to_the_limit_and_no_further(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("é" * 5)
    assert read_text(file, limits=Limits(document_bytes=10)) == "é" * 5
    with pytest.raises(DocumentError, match="larger than 9"):
        read_text(file, limits=Limits(document_bytes=9))
    file.write_bytes(b"\xff")
    for path in (file, tmp_path / "none"):
        with pytest.raises(DocumentError, match="cannot be read"):
            read_text(path)
