"""How many clients wait for an answer now, so that a node that ends can give it to each."""

from __future__ import annotations

import threading


class Calls:
    """`with calls:` round each answer that is being made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @property
    def count(self) -> int:
        """Answers under way."""
        return self._count

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1
