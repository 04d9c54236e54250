"""One process writes a scene: a lock that the system takes back when its holder dies, with the holder's name in it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from pw_core.errors import ErrorCode, SceneError

FOLDER = ".locks"
UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What a file system without locks answers; there we go without."""


class _Held:
    """A lock of this process, and how many stores in it count on it."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self.fd, self.users = path, fd, 1

    def is_there(self) -> bool:
        """Whether the file that is locked is still the one at its path, which another process would try."""
        try:
            there, ours = os.stat(self.path), os.fstat(self.fd)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


_held: dict[Path, _Held] = {}
_guard = threading.RLock()


def _forget() -> None:
    """In a forked child: its copies of the locks must not outlive the parent, who has them."""
    for each in _held.values():
        with suppress(OSError):
            os.close(each.fd)
    _held.clear()


os.register_at_fork(after_in_child=_forget)


class Lock:
    """The right to write one scene of a store, shared by all who hold it in this process. Give it back by `release`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def take(cls, root: Path, scene_id: str) -> Lock:
        """Raises:
        SceneError (STORE_LOCKED): another process has it; the message says which, where and since when.
        """
        path = (root / FOLDER / f"{scene_id}.json").absolute()
        with _guard:
            held = _held.get(path)
            if held is not None and held.is_there():
                held.users += 1
                return cls(path)
            users = 0
            if held is not None:  # the store went away under it, and came back as a copy
                os.close(held.fd)
                users = held.users
            path.parent.mkdir(exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = _owner(fd)
                os.close(fd)
                _held.pop(path, None)
                if error.errno not in UNSUPPORTED:
                    raise SceneError(
                        f"scene '{scene_id}' of {root} is written by {owner}; here it can only be read until that ends "
                        "or selects another scene", code=ErrorCode.STORE_LOCKED,
                    ) from None  # fmt: skip
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _sign(fd)
            _held[path] = _Held(path, fd)
            _held[path].users += users
            return cls(path)

    def is_there(self) -> bool:
        """Whether it still keeps others out; not after the store was deleted or copied."""
        with _guard:
            return self.path in _held and _held[self.path].is_there()

    def release(self) -> None:
        """The last of this process to do so lets others in."""
        with _guard:
            held = _held.get(self.path)
            if held is None:
                return
            held.users -= 1
            if held.users <= 0:
                del _held[self.path]
                with suppress(OSError):
                    os.ftruncate(held.fd, 0)
                os.close(held.fd)


def held_here(root: Path, scene_id: str) -> bool:
    """Whether this process may write the scene already."""
    with _guard:
        return (root / FOLDER / f"{scene_id}.json").absolute() in _held


def _sign(fd: int) -> None:
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": round(time.time(), 3)}
    with suppress(OSError):  # it tells others who we are; the lock itself is the system's
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(about).encode(), 0)


def _owner(fd: int) -> str:
    try:
        about = json.loads(os.pread(fd, 1000, 0))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(about["since"])))
        return f"process {int(about['pid'])} on {str(about['host'])[:100]}, since {since}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "another process"
