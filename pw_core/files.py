"""Files that are there whole or not at all, and paths that stay below the folders they were promised to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
"""What a file or folder is called at its end while it is written."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file or folder to; renamed to `path` at the end, in place of what was there.

    When the body raises, what was there stays and the part goes.
    """
    part = path.with_name(path.name + PART)
    remove(part)
    try:
        yield part
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        part.replace(path)
    except BaseException:
        remove(part)
        raise


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whose folder is made if need be: the old content or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        try:
            file.write(data)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def path_below(uri: str, roots: Sequence[Path | str]) -> Path | None:
    """The path that `uri` (a path or file:// URI) names, links followed, if it lies in or below one of `roots`."""
    path = Path(uri.removeprefix("file://")).resolve()
    return path if any(path.is_relative_to(Path(root).resolve()) for root in roots if str(root)) else None
