"""What a run over rounds has done, written down before it counts, so that a run killed at any moment goes on.

An entry names a state *before* that state is committed; it counts once the state tree on disk says that it is
committed, which is one rename of one file. So whatever moment a crash takes, ledger and store agree on what was done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pw_core.errors import ErrorCode, SceneError

What = Literal["rollout", "refine"]


@dataclass(frozen=True)
class Entry:
    """A state of the run: round (from 1), what made it, its id and its trajectory's, and what is to be shown of it."""

    round: int
    what: What
    state: str
    trajectory: str
    more: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """One file, rewritten whole.

    Args:
        path: the file; read if it is there.
        scene: id of the run's scene.
        base: the state that the run starts from, when it is new.

    Raises:
        SceneError (STORE_FAILED): a file that cannot be read, or of another scene.
    """

    def __init__(self, path: Path, *, scene: str, base: str) -> None:
        self.path, self.scene, self.base = path, scene, base
        self.entries: list[Entry] = []
        if path.is_file():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                self.base, of = str(kept["base"]), str(kept["scene"])
                self.entries = [Entry(**e) for e in kept["entries"]]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise SceneError(f"{path}: cannot be read: {error}", code=ErrorCode.STORE_FAILED) from None
            if of != scene:
                raise SceneError(
                    f"{path}: is of a run of scene '{of}', expected '{scene}'; give another folder",
                    code=ErrorCode.STORE_FAILED,
                )
        else:
            self._write()

    def settle(self, committed: Collection[str]) -> list[Entry]:
        """Keep what counts: the entries up to the first whose state is not among `committed`. Returns the others."""
        good = 0
        while good < len(self.entries) and self.entries[good].state in committed:
            good += 1
        dropped = self.entries[good:]
        if dropped:
            self.entries = self.entries[:good]
            self._write()
        return dropped

    def propose(self, entry: Entry) -> None:
        """Write an entry down; its state is to be committed next."""
        self.entries.append(entry)
        self._write()

    def of(self, number: int, what: What) -> Entry | None:
        """That entry of round `number`, if there is one."""
        return next((e for e in self.entries if (e.round, e.what) == (number, what)), None)

    @property
    def last(self) -> str:
        """The state that the run has reached."""
        return self.entries[-1].state if self.entries else self.base

    def _write(self) -> None:
        body = {"scene": self.scene, "base": self.base, "entries": [asdict(e) for e in self.entries]}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_name(f".new-{self.path.name}")
            with new.open("w", encoding="utf-8") as file:
                json.dump(body, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise SceneError(f"{self.path} cannot be written: {error}", code=ErrorCode.STORE_FAILED) from None
