"""Other nodes that have this one's name: they would answer its clients by turns. Which of them was first?

Each world node tells in `/diagnostics` when it began. Who sees another node of its name in the graph listens there: all
of them compare the same numbers, so that of any two exactly one finds that it is the later one.
"""

from __future__ import annotations

import math
import time
import uuid
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from pw_ros.interfaces.context import NodeContext

LINGERS = 3.0
"""[s] in which a node that has ended may still be in the graph: until then one of the same name is no second."""

NEW_FOR = 5.0
"""[s] in which a node that meets another of its name may give way to it: longer than discovery takes. One that has
worked for longer, as where two networks are joined, keeps on."""


class Namesakes:
    """Looked for once a second.

    Args:
        node: whose name it is.
    """

    def __init__(self, node: NodeContext) -> None:
        self.node = node
        # Wall time, since others may be on another machine; the id tells apart who began at the same instant.
        self.mine = (time.time_ns(), uuid.uuid4().hex)
        self._began = time.monotonic()
        self._met = math.inf  # [s, monotonic] when another node of this name was first seen; inf: there is none
        self._first = self.mine
        self._listening: Any = None

    @property
    def name(self) -> str:
        """With its namespace."""
        return f"{self.node.get_namespace().rstrip('/')}/{self.node.get_name()}"

    def told(self) -> dict[str, str]:
        """What `/diagnostics` says of this node, for others of its name."""
        return {"node": self.name, "began": f"{self.mine[0]} {self.mine[1]}"}

    def look(self) -> str:
        """What is to be said where another node has this one's name; empty where none has."""
        node, now = self.node, time.monotonic()
        count = node.get_node_names_and_namespaces().count((node.get_name(), node.get_namespace()))
        self._met = min(self._met, now) if count > 1 else math.inf
        if count > 1 and self._listening is None:
            self._listening = node.create_subscription(
                DiagnosticArray, "/diagnostics", self.heard, 10, callback_group=node.group
            )
        if now - self._met < LINGERS:  # also where there is none
            return ""
        text = f"{count} nodes are called {self.name}: they answer by turns; give each its own name"
        node.get_logger().error(text, throttle_duration_sec=10.0)
        return text

    def heard(self, message: DiagnosticArray) -> None:
        """Another node's diagnostics, or this one's own."""
        for status in message.status:
            values = {v.key: v.value for v in status.values}
            began, _, of = values.get("began", "").partition(" ")
            if values.get("node") == self.name and began.isdigit():
                self._first = min(self._first, (int(began), of))

    @property
    def give_way(self) -> bool:
        """Whether another one of the name, which lives, was there before this one began."""
        return self._first < self.mine and self._met - self._began < NEW_FOR
