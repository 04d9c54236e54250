"""Tables in text files as spreadsheets, loggers and other tools write them: what is unambiguous is read, else the row
and the field are named."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pw_core.documents.reading import DocumentError, read_text
from pw_core.media.errors import MediaError

MOST_BYTES = 64_000_000
"""Of a text that lists cameras or stamps, such as those of 10 000 frames."""
_STAMP = ("stamp", "stamps", "timestamp", "time", "t")
_FILE = ("file", "filename", "file_name", "frame", "image", "picture", "name")
_UNITS = {"s": 1, "sec": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LARGEST_S = 10**11
"""[s] No stamp in seconds is larger (the year 5138): a larger one counts milli-, micro- or nanoseconds since 1970."""


@dataclass(frozen=True)
class Row:
    """A line of a table and its number, from 1."""

    line: int
    cells: tuple[str, ...]


def read_rows(path: Path, *, most_bytes: int = 0) -> list[Row]:
    """The lines of a text file split at its separator (`;`, tab, `,` or blanks, as its first line has it), quotes and
    blanks taken off; without empty lines and comments (`#`).

    Raises:
        MediaError: the file cannot be read as text.
    """
    try:
        text = read_text(path, most_bytes=most_bytes)
    except DocumentError as error:
        raise MediaError(f"{path} {error}") from None
    lines = [(k, line.strip()) for k, line in enumerate(text.splitlines(), 1)]
    lines = [(k, line) for k, line in lines if line and not line.startswith("#")]
    if not lines:
        return []
    separator = next((s for s in (";", "\t", ",") if s in lines[0][1]), "")
    return [Row(k, tuple(_bare(c) for c in (line.split(separator) if separator else line.split())))
            for k, line in lines]  # fmt: skip


def stamp_table(path: Path) -> tuple[list[str], list[float]]:
    """File names (none: the table has no such column) and stamps [s] of a table.

    A header says which column is which (stamp, time, timestamp, with or without a unit as in stamp_ns; file, image,
    name); without one, numbers are stamps and what is no number are names.

    Raises:
        MediaError: names the row and field.
    """
    rows = read_rows(path)
    if not rows:
        raise MediaError(f"{path}: holds no row, expected a column 'stamp'")
    stamp, file, unit, body = _columns(path, rows)
    names: list[str] = []
    times = []
    wanted = len(rows[0].cells)
    for row in body:
        if len(row.cells) < wanted and not (len(row.cells) > stamp and (file is None or len(row.cells) > file)):
            raise MediaError(f"{path}: row {row.line} has {len(row.cells)} fields, expected {wanted}")
        if len(row.cells) > wanted:
            raise MediaError(f"{path}: row {row.line} has {len(row.cells)} fields, the first row {wanted}: are these "
                             "commas in numbers? Write 0.04, or separate the columns by semicolons")  # fmt: skip
        times.append(seconds(row.cells[stamp], what=f"{path}: row {row.line}, field 'stamp'", unit=unit))
        if file is not None:
            names.append(row.cells[file])
    if names and not all(names):
        raise MediaError(f"{path}: row {body[names.index('')].line}, field 'file' is empty")
    return names, times


def _columns(path: Path, rows: Sequence[Row]) -> tuple[int, int | None, str, Sequence[Row]]:
    """Index of the stamps' column and of the names', the unit in its heading, and the rows without a header."""
    first = rows[0].cells
    heads = [re.sub(r"[\s\[\]()]+", "_", c.lower()).strip("_") for c in first]
    numbers = [i for i, c in enumerate(first) if _number(c) is not None]
    if not numbers:
        for i, head in enumerate(heads):
            base, _, unit = head.rpartition("_")
            if head in _STAMP or (base in _STAMP and unit in _UNITS):
                file = next((j for j, h in enumerate(heads) if h in _FILE), None)
                return i, file, "" if head in _STAMP else unit, rows[1:]
        raise MediaError(f"{path}: row {rows[0].line} is {', '.join(first)}: expected a column 'stamp' (and 'file')")
    if len(numbers) == 1 and len(first) <= 2:
        return numbers[0], next((i for i in range(len(first)) if i != numbers[0]), None), "", rows
    text = f"{path}: row {rows[0].line} has {len(first)} columns and no heading: write 'stamp' above the stamps"
    raise MediaError(text)


def seconds(value: Any, *, what: str, unit: str = "") -> float:
    """A stamp [s]; one that is too large for seconds counts milli-, micro- or nanoseconds.

    Raises:
        MediaError: no finite number.
    """
    number = _number(value)
    if number is None or not math.isfinite(number):
        raise MediaError(f"{what}: found '{str(value)[:60]}', expected a number of seconds")
    scales = (n for n in (1, 10**3, 10**6, 10**9) if abs(number) < _LARGEST_S * n)
    per_second = _UNITS[unit] if unit else next(scales, 1)
    if isinstance(number, int):  # exact where a float of nanoseconds is not
        whole, rest = divmod(number, per_second)
        return float(whole) + rest / per_second
    return number / per_second


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return value if abs(value) < 10**30 else math.inf
    text = str(value).strip().replace("\u2212", "-")
    if re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"[+-]?\d+,\d+", text, re.ASCII):  # of a table that is separated by something else
        text = text.replace(",", ".")
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _bare(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'" else cell
