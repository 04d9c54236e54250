"""A folder beside an export's place, to write to until it is whole; what killed exports have left of such is swept.

Such a folder is locked for as long as it is written to. The system takes the lock back when its holder dies, so what
can be locked is nobody's. Where the file system has no locks nothing is swept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASIDE = ".export-"
"""What its name begins with."""


@contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
    """A new folder in `folder`, gone with all that is in it at the end. Leftovers of others go first.

    Raises:
        OSError: it cannot be made.
    """
    sweep(folder)
    path, fd = _make(folder)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def sweep(folder: Path) -> list[Path]:
    """Remove what exports into `folder` left whose processes are gone; what was removed."""
    removed = []
    for path in sorted(folder.glob(f"{ASIDE}*")):
        fd = _open(path)
        if fd is None:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # somebody writes to it, or nothing can be locked here
        else:
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
        finally:
            os.close(fd)
    return removed


def _make(folder: Path) -> tuple[Path, int]:
    """Made and locked. One that a sweep found before it was locked is given up for another."""
    while True:
        path = Path(tempfile.mkdtemp(dir=folder, prefix=ASIDE))
        fd = _open(path)
        if fd is None:
            continue
        taken = False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            taken = error.errno in (errno.EAGAIN, errno.EACCES)  # of others: no locks here, go without
        if not taken and path.is_dir():
            return path, fd
        os.close(fd)


def _open(path: Path) -> int | None:
    """A descriptor of a folder; None where none of that name is, or it is a link."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
