"""The one gate for files that a message names: below the allowed folders, with all that is read with them. No ROS here.

A path that was checked may lead elsewhere when it is opened. So each file is opened first, and where the open file lies
is what counts; whoever reads gets a folder of links to what is open.
"""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from pw_core.errors import ErrorCode, PWError
from pw_core.files import path_below
from pw_core.media.depth import ENDINGS

MAX_FILES = 4096
"""In a folder and those in it; each is held open while the folder is read."""
BESIDE = ("cameras.json", "cam_params.json")
"""Files above a folder that tell its cameras."""
MAX_DEPTH = 4
"""Folders within folders; deeper ones are not there for who reads."""


@dataclass(frozen=True)
class Allowed:
    """Where messages may have files read.

    Args:
        roots: folders; empty ones are none.
        what: the field of the message that names the file or folder, for errors.
        code: theirs.
    """

    roots: Sequence[str]
    what: str
    code: ErrorCode

    def path(self, uri: str) -> Path:
        """The file or folder that `uri` (a path or file:// URI) names, links followed.

        Raises:
            PWError: it is not below one of the roots, or not there.
        """
        path = self._below(uri)
        if path is None:
            raise PWError(f"{self.what} '{uri}' is not below {self}", code=self.code)
        try:
            there = path.exists()
        except OSError:  # such as a name that is too long
            there = False
        if not there:
            raise PWError(f"{self.what}: no such folder or file: {path} does not exist", code=self.code)
        return path

    def check(self, member: Path | str, *, real: Path | None = None) -> None:
        """Refuse a member of a folder that leads elsewhere; `real`: where it was found to be."""
        if self._below(str(member) if real is None else str(real)) is None:
            raise PWError(f"{self.what}: {member} leads to a file that is not below {self}", code=self.code)

    def _below(self, uri: str) -> Path | None:
        try:
            return path_below(uri, self.roots)
        except (OSError, RuntimeError, ValueError):  # links in a circle, names that no file can have
            return None

    def __str__(self) -> str:
        named = ", ".join(str(Path(r).resolve()) for r in self.roots if r)
        return f"the parameter input_roots: {named or 'none are set'}"


@contextmanager
def opened(uri: str, allowed: Allowed) -> Iterator[Path]:
    """What `uri` names, for reading: names and folders are the same, and every file is one that was open when its place
    was checked. With a folder come the cameras' files beside it, and with a file what `depth` beside it has for it.

    Raises:
        PWError: something that would be read leads out of the allowed folders, or there is too much of it. Errors of
            who reads name the files by their own paths.
    """
    path = allowed.path(uri)
    with ExitStack() as files, TemporaryDirectory(prefix="pw_inputs-") as temporary:
        place = Path(temporary).resolve()
        held = _Held(allowed, files)
        if path.is_dir():
            held.folder(path, place / path.name, MAX_DEPTH)
            near = path_below(str(path.parent), allowed.roots) is not None
            beside = [path.parent / name for name in BESIDE] if near else []
        else:
            held.file(path, place / path.name)
            beside = [path.parent / "depth" / f"{path.stem}{suffix}" for suffix in ENDINGS]
        for other in beside:
            if other.is_file():
                held.file(other, place / other.relative_to(path.parent))
        try:
            yield place / path.name
        except PWError as error:
            text = str(error).replace(str(place), str(path.parent))
            raise type(error)(text, code=error.code) from None


@dataclass
class _Held:
    """Files that are open, and links to them."""

    allowed: Allowed
    files: ExitStack
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = 2 * MAX_FILES if hard == resource.RLIM_INFINITY else min(2 * MAX_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < enough:
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))

    def folder(self, source: Path, target: Path, depth: int) -> None:
        target.mkdir()
        for name in sorted(os.listdir(source)):
            member = source / name
            if name.startswith("."):
                continue
            self.allowed.check(member)
            if member.is_dir():
                if depth > 1:
                    self.folder(member, target / name, depth - 1)
            elif member.exists():
                self.file(member, target / name)

    def file(self, source: Path, target: Path) -> None:
        allowed = self.allowed
        allowed.check(source)
        self.count += 1
        if self.count > MAX_FILES:
            raise PWError(f"{allowed.what}: more than {MAX_FILES} files", code=allowed.code)
        try:
            number = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise PWError(f"{allowed.what}: {source} cannot be opened: {error}", code=allowed.code) from None
        self.files.callback(os.close, number)
        allowed.check(source, real=Path(os.readlink(f"/proc/self/fd/{number}")))
        if stat.S_ISREG(os.fstat(number).st_mode):
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(f"/proc/{os.getpid()}/fd/{number}")
