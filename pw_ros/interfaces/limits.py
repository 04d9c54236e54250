"""Whether a request is within the node's limits: from the message's own definition, before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from pw_core.errors import ErrorCode, PWError
from pw_core.limits import LIMITS, Limits

LISTS = {"actions": "actions", "poses": "poses", "entities": "entities", "points": "prompt_points"}
"""Which limit a list of that name has; others may hold `list_items`."""
DOCUMENTS = ("config_yaml", "objective", "template_yaml")
"""Fields that hold a whole text of YAML or JSON."""


def check_request(message: Any, *, limits: Limits = LIMITS) -> None:
    """Refuse what is larger than the limits.

    Raises:
        PWError (TOO_LARGE): it names the field, how much it holds and the limit.
    """
    _Request(limits).check(message, "")


@dataclass
class _Request:
    limits: Limits
    bytes: int = field(default=0, init=False)
    poses: int = field(default=0, init=False)

    def check(self, message: Any, where: str) -> None:
        for name, kind, sequence in _fields(cast(Hashable, type(message))):
            value, path = getattr(message, name), f"{where}.{name}" if where else name
            if not sequence:
                self._one(value, kind, path)
                continue
            if kind == "number":
                self._hold(len(value) * getattr(value, "itemsize", 8), path)
                if name == "times":
                    self._count(len(value), "poses", path)
                continue
            self._count(len(value), LISTS.get(name, "list_items"), path)
            if name == "poses":
                self.poses += len(value)
                if self.poses > self.limits.request_poses:
                    _refuse(path, f"{self.poses} poses in all", "request_poses", self.limits.request_poses)
            for k, item in enumerate(value):
                self._one(item, kind, f"{path}[{k}]")

    def _one(self, value: Any, kind: str, path: str) -> None:
        if kind == "message":
            self.check(value, path)
        elif kind == "text":
            self._hold(len(value), path)
            limit = "document_bytes" if path in DOCUMENTS else "text_chars"
            if len(value) > getattr(self.limits, limit):
                _refuse(path, f"{len(value)} characters", limit, getattr(self.limits, limit))

    def _count(self, count: int, limit: str, path: str) -> None:
        if count > getattr(self.limits, limit):
            _refuse(path, f"{count} items", limit, getattr(self.limits, limit))

    def _hold(self, size: int, path: str) -> None:
        self.bytes += size
        if self.bytes > self.limits.request_bytes:
            _refuse(path, f"with it the request has {self.bytes} bytes", "request_bytes", self.limits.request_bytes)


def _refuse(path: str, found: str, limit: str, most: int | float) -> None:
    raise PWError(f"{path}: {found}, at most {most} may be (limits.{limit})", code=ErrorCode.TOO_LARGE)


@cache
def _fields(kind: Any) -> tuple[tuple[str, str, bool], ...]:
    """Name, "text", "message" or "number", and whether it is a list, of all fields that may be large."""
    return tuple(_large(kind))


def _large(kind: Any) -> Iterator[tuple[str, str, bool]]:
    for name, declared in kind.get_fields_and_field_types().items():
        of = re.sub(r"^sequence<(.*?)(, \d+)?>$", r"\1", declared)
        sequence = of != declared
        of = re.sub(r"\[\d+\]$", "", of)
        if "string" in of:
            yield name, "text", sequence
        elif "/" in of:
            yield name, "message", sequence
        elif sequence:
            yield name, "number", True
