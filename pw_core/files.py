"""Files that are there whole or not at all, and paths that stay below the folders they were promised to."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".part"
"""What a file or folder is called at its end while it is written."""

NEW = ".new-"
"""What a file is called at its beginning while `replace_file` writes it."""


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


def replace_file(path: Path, data: bytes, *, durable: bool = False, parents: bool = True) -> None:
    """Write `data` to `path`, whose folder is made if need be: the old content or the new, never half. When it fails,
    what was there, or nothing, is there again.

    Args:
        durable: on return it outlasts a power cut: the file, and its name in the folder, are on the disk itself.
        parents: folders above the file's own are made too; if not, they must be there.
    """
    path.parent.mkdir(parents=parents, exist_ok=True)
    before = path.read_bytes() if durable and path.exists() else None
    new = put_aside(path, data)
    replaced = False
    try:
        if durable:
            sync(new)
        new.replace(path)
        replaced = True
        if durable:
            sync(path.parent)
    except BaseException:
        new.unlink(missing_ok=True)
        if replaced:
            with suppress(OSError):
                path.unlink() if before is None else put_aside(path, before).replace(path)
        raise


def replace_files(files: Sequence[tuple[Path, bytes]], last: tuple[Path, bytes]) -> None:
    """Write several files and then one that names them, all durable: after a crash the last is the new one only if all
    others are. When it fails, files that are new are removed again.

    It waits three times for the disk, however many files there are, where one after the other would wait twice a file.
    Folders must be there.
    """
    path = last[0]
    before = path.read_bytes() if path.exists() else None
    aside: dict[Path, Path] = {}
    made: list[Path] = []
    try:
        for each, content in (*files, last):
            aside[each] = put_aside(each, content)
        sync_together([aside[each] for each, _ in files])
        for each, _ in files:
            if not each.exists():
                made.append(each)
            aside[each].replace(each)
        sync_together([*{each.parent: None for each, _ in files}, aside[path]])
        made.append(path)
        aside[path].replace(path)
        sync(path.parent)
    except BaseException:
        if made and made[-1] == path and before is not None:  # or it would name what goes now
            made.pop()
            with suppress(OSError):
                replace_file(path, before, durable=True)
        for each in (*aside.values(), *reversed(made)):
            with suppress(OSError):
                each.unlink(missing_ok=True)
        raise


def put_aside(path: Path, data: bytes) -> Path:
    """Write `data` to a new file beside `path`, to be renamed; its path. Nothing is left when that fails."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=NEW, delete=False) as file:
        try:
            file.write(data)
            file.close()
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return Path(file.name)


def sync_together(paths: Sequence[Path]) -> None:
    """`sync` for all of them at once: what waits for the same disk waits together."""
    if len(paths) > 1:
        with ThreadPoolExecutor(min(len(paths), 16)) as pool:
            for done in [pool.submit(sync, path) for path in paths]:
                done.result()
    elif paths:
        sync(paths[0])


def sync(path: Path) -> None:
    """Have the disk itself hold what was written to a file, or what names are in a folder; where a file system cannot
    do that to folders (network, FUSE), it is left at that."""
    is_folder = path.is_dir()
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if not (is_folder and error.errno in (errno.EINVAL, errno.EBADF, errno.ENOTSUP)):
            raise
    finally:
        os.close(fd)


def sync_tree(folder: Path) -> None:
    """`sync` for a folder and all that is in it."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)


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
