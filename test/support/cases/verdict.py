"""What came of an input: right, refused by name, or wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pw_core.errors import PWError


@dataclass(frozen=True)
class Verdict:
    """state: `right`, `refused` (with an error of ours) or `wrong` (another value, or a traceback)."""

    name: str
    state: str
    note: str = ""


def judged(name: str, call: Callable[[], Any], right: Callable[[Any], bool], *, may_refuse: bool = False) -> Verdict:
    """`right` says whether what `call` returns is as it should be; `may_refuse`: an error of ours will do."""
    try:
        found = call()
        return Verdict(name, "right" if right(found) else "wrong", "" if right(found) else f"found {str(found)[:200]}")
    except PWError as error:
        return Verdict(name, "refused" if may_refuse else "wrong", str(error)[:300])
    except Exception as error:
        return Verdict(name, "wrong", f"traceback: {type(error).__name__}: {error}"[:300])
