"""A second node of the same name. No DDS."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from pw_ros.interfaces.topics import publishers
from pw_ros.interfaces.topics.publishers import LINGERS, Publishers


def test_a_node_that_lingers_in_the_graph_is_no_second_and_one_that_stays_is(monkeypatch) -> None:
    clock, graph, met = [100.0], [("world", "/")], []
    monkeypatch.setattr(publishers.time, "monotonic", lambda: clock[0])
    node = SimpleNamespace(
        get_name=lambda: "world", get_namespace=lambda: "/", get_node_names_and_namespaces=lambda: graph,
        get_logger=lambda: SimpleNamespace(error=lambda *a, **k: None), second=lambda text, at: met.append(at),
    )  # fmt: skip
    seen: Any = SimpleNamespace(node=node, _met=math.inf)

    def ask(at: float, count: int) -> str:
        clock[0], graph[:] = at, [("world", "/")] * count
        return Publishers._second_of_its_name(seen)

    assert not ask(100, 1) and not ask(101, 2) and not ask(102, 1)  # it had just ended
    assert not ask(103, 2) and not ask(103 + LINGERS - 0.1, 2)
    assert "2 nodes are called /world" in ask(103 + LINGERS, 2) and met == [103]
