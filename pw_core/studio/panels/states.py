"""The panel of states: their tree, which one is shown, and what can be done with it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from pw_core.actions import Action
from pw_core.errors import PWError
from pw_core.scene import State
from pw_core.studio.panels.fields import choice
from pw_core.studio.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HINT = (
    "Commit: the world's head from now on, kept on disk. Branch: back to where it began, so that what is done next is "
    "its sibling. Reset: show the reconstruction and make it the head; no state is lost. Delete: forget it."
)
ALONE, BESIDE, GHOST = "alone", "side by side", "ghost"


class StatesPanel:
    """In a folder or tab that is open while it is made."""

    def __init__(self, room: Room) -> None:
        self.room = room
        gui = room.server.gui
        self.tree = gui.add_html("")
        self.state: Any = gui.add_dropdown("shown", [room.state.id], initial_value=room.state.id)
        self.deeds: Any = gui.add_button_group("it", [*self._deeds()], hint=HINT)
        self.other: Any = gui.add_dropdown("compare with", ["-"], initial_value="-")
        self.layout: Any = gui.add_dropdown("as", [BESIDE, GHOST], initial_value=GHOST)
        self._ways: dict[str, str] = {}
        self._filling = False
        self._compared = ("-", GHOST)
        self.state.on_update(lambda _: self._chosen())
        self.other.on_update(lambda _: self._compare())
        self.layout.on_update(lambda _: self._compare())
        self.deeds.on_click(lambda event: room.guarded(lambda: self._do(event.target)))
        room.on_tree.append(self.fill)
        room.on_state.append(self.fill)
        self.fill()

    def _do(self, buttons: Any) -> None:
        deeds = self._deeds()
        deeds[choice(buttons, "it", deeds)]()

    def _deeds(self) -> dict[str, Callable[[], None]]:
        return {"Commit": self.commit, "Branch": self.branch, "Reset": self.reset, "Delete": self.delete}

    def commit(self) -> None:
        """Make what is shown the world's head."""
        self.room.check()
        here = self.room.here
        self.room.world.commit(here.state.id)
        if not here.at_end:
            self.room.show_state(here.state.id)
            self.room.tell("Committed", "the shown state, which is the end of the timeline, not the moment on it")
        self.room.changed()

    def branch(self) -> None:
        """Show the state before."""
        parent = self.room.state.parent
        if parent:
            self.room.show_state(parent)

    def reset(self) -> None:
        """The head goes back to the reconstruction."""
        self.room.check()
        self.room.show_state(self.room.world.reset().id)
        self.room.changed()

    def delete(self) -> None:
        """Forget what is shown; its parent is shown then."""
        self.room.check()
        gone = self.room.state
        self.room.world.delete(gone.id)
        self.room.show_state(gone.parent or self.room.world.head)
        self.room.changed()

    def fill(self) -> None:
        """Tell the tree as it is now."""
        states = self.room.world.states()
        ids = [s.id for s in states]
        shown = self.room.state.id
        self._filling = True
        try:
            self.state.options = ids if shown in ids else [*ids, shown]
            self.state.value = shown
            before = self.other.value
            self.other.options = ["-", *ids]
            self.other.value = before if before in ids else "-"
        finally:
            self._filling = False
        self._ways = {i: way for i, way in self._ways.items() if i in ids}  # of a long session most have left
        self.tree.content = tree_page(states, self.room.world.head, shown, {s.id: self._way(s) for s in states})

    def _way(self, state: State) -> str:
        """What led to a state, in words."""
        if state.id not in self._ways:
            words = "reconstruction" if not state.parent else "refined" if state.figures else ""
            if not words and state.trajectory_id:
                try:
                    words = in_words(self.room.world.trajectory(state.trajectory_id).actions)
                except PWError:
                    words = "its trajectory is not kept"
            self._ways[state.id] = words
        return self._ways[state.id]

    def _chosen(self) -> None:
        if not self._filling and self.state.value != self.room.state.id:
            self.room.guarded(lambda: self.room.show_state(self.state.value))

    def _compare(self) -> None:
        wanted = (self.other.value, self.layout.value)
        if self._filling or wanted == self._compared:
            return
        self._compared = wanted

        def compare() -> None:
            if self.other.value == "-":
                self.room.shown.show(other=None, layout=ALONE)
                return
            state = self.room.world.state(self.other.value)
            self.room.shown.show(other=self.room.end_of(state), layout=self.layout.value)

        self.room.guarded(compare)


def in_words(actions: Sequence[Action]) -> str:
    """What was done."""
    out = []
    for a in actions:
        strength = getattr(a, "magnitude", None)
        unit = "N" if a.type in ("push", "poke") else "m/s²"
        out.append(f"{a.name or a.type}" + (f" {strength:.2g} {unit}" if strength is not None else ""))
    return ", ".join(out) or "left alone"


def tree_page(states: Sequence[State], head: str, shown: str, ways: dict[str, str]) -> str:
    """The states as a drawn tree."""
    below: dict[str, list[State]] = {}
    known = {s.id for s in states}
    for s in states:
        below.setdefault(s.parent if s.parent in known else "", []).append(s)

    def branch(state: State) -> str:
        marks = '<b class="head">head</b>' * (state.id == head)
        way = html.escape(state.label or ways.get(state.id, ""))
        mark = ' class="now"' if state.id == shown else ""
        mine = f"<span{mark}>{state.time_s:.2f} s · {way}</span> <small>{html.escape(state.id)}</small> {marks}"
        inner = "".join(branch(s) for s in below.get(state.id, []))
        return f"<li>{mine}{f'<ul>{inner}</ul>' if inner else ''}</li>"

    return STYLE + f'<ul class="pw-tree">{"".join(branch(s) for s in below.get("", []))}</ul>'


STYLE = """<style>
.pw-tree, .pw-tree ul { list-style: none; margin: 0; padding-left: 14px; font-size: 12px; line-height: 1.6; }
.pw-tree { padding: 0 8px; max-height: 220px; overflow-y: auto; }
.pw-tree ul > li { position: relative; }
.pw-tree ul > li::before { content: ""; position: absolute; left: -9px; top: -4px; width: 7px; height: 14px;
  border-left: 1px solid #999; border-bottom: 1px solid #999; }
.pw-tree ul > li:not(:last-child)::after { content: ""; position: absolute; left: -9px; top: 0; bottom: 0;
  border-left: 1px solid #999; }
.pw-tree .now { background: #d0e7ff; color: #000; border-radius: 4px; padding: 1px 4px; }
.pw-tree .head { background: #2b8a3e; color: #fff; border-radius: 4px; padding: 0 4px; font-size: 10px; }
.pw-tree small { color: #888; }
</style>"""
