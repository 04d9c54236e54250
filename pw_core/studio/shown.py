"""What all browsers look at: an instant, another one beside it, and how they are drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pw_core.scene import AppearanceParameters, PhysicsState

Kind = Literal["colours", "depth"]
Layout = Literal["alone", "side by side", "ghost"]


@dataclass(frozen=True)
class Moment:
    """An instant: its physics, and the looks of its state (None: as reconstructed). Of two of one name pictures are the
    same; one without a name comes only once."""

    physics: PhysicsState
    looks: AppearanceParameters | None = None
    name: str = ""


@dataclass(frozen=True)
class Sight:
    """moment is drawn, with `other` beside it or as a ghost over it; drawn_here: by this machine, not by the browser's
    graphics."""

    moment: Moment
    other: Moment | None = None
    layout: Layout = "alone"
    kind: Kind = "colours"
    drawn_here: bool = True

    def key(self, name: str = "") -> tuple[str, ...]:
        """The same for the same pictures; empty where they come only once. name: of another instant than `moment`."""
        two = (self.other,) if self.other is not None and self.layout != "alone" else ()
        names = [name or self.moment.name, *(m.name for m in two)]
        return (*names, self.layout if two else "alone", self.kind) if all(names) else ()


@dataclass(frozen=True)
class Film:
    """A trajectory that can be played: names of its frames, and the instant of one."""

    names: Sequence[str]
    moment: Callable[[int], Moment]


class Shown:
    """The sight, and a number that rises whenever it changes; who draws waits on `changed`. film: what may be played
    next."""

    def __init__(self, sight: Sight) -> None:
        self.changed = threading.Condition()
        self.sight = sight
        self.version = 0
        self.film: Film | None = None

    def show(self, **changes: Any) -> None:
        """Change fields of the sight."""
        with self.changed:
            self.sight = replace(self.sight, **changes)
            self.version += 1
            self.changed.notify_all()
