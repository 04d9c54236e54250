"""What all browsers look at: an instant, another one beside it, and how they are drawn."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any, Literal

from pw_core.scene import AppearanceParameters, PhysicsState

Kind = Literal["colours", "depth"]
Layout = Literal["alone", "side by side", "ghost"]


@dataclass(frozen=True)
class Moment:
    """An instant: its physics, and the looks of its state (None: as reconstructed)."""

    physics: PhysicsState
    looks: AppearanceParameters | None = None


@dataclass(frozen=True)
class Sight:
    """moment is drawn, with `other` beside it or as a ghost over it; drawn_here: by this machine, not by the browser's
    graphics."""

    moment: Moment
    other: Moment | None = None
    layout: Layout = "alone"
    kind: Kind = "colours"
    drawn_here: bool = True


class Shown:
    """The sight, and a number that rises whenever it changes; who draws waits on `changed`."""

    def __init__(self, sight: Sight) -> None:
        self.changed = threading.Condition()
        self.sight = sight
        self.version = 0

    def show(self, **changes: Any) -> None:
        """Change fields of the sight."""
        with self.changed:
            self.sight = replace(self.sight, **changes)
            self.version += 1
            self.changed.notify_all()
