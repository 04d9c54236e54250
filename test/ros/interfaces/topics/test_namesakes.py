"""Two nodes of one name: the one that was there before keeps it, the other is told to end (`refuse_second`)."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from pw_ros.interfaces.context import NodeContext
from pw_ros.interfaces.topics import namesakes
from pw_ros.interfaces.topics.namesakes import LINGERS, NEW_FOR, Namesakes
from support.ros_world import until


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_of_two_nodes_begun_together_the_first_keeps_the_name(tmp_path_factory, start_node) -> None:
    first, second = (
        start_node(
            namespace="twins", store=str(tmp_path_factory.mktemp(name)), refuse_second=True,
            world_factory="support.fake_world:FakeWorld",
        )
        for name in ("first", "second")
    )  # fmt: skip
    until(lambda: second.refused, 30.0)
    assert "was there before" in second.refused
    time.sleep(1.5)  # it looks once a second
    assert not first.refused


class Graph:
    """As much of a node as is needed, in a graph with `count` of its name, whose clock a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, count: int = 2) -> None:
        self.now, self.count, self.said = 100.0, count, list[str]()
        clock = SimpleNamespace(monotonic=lambda: self.now, time_ns=lambda: 10**18)
        monkeypatch.setattr(namesakes, "time", clock)
        self.node = SimpleNamespace(
            get_name=lambda: "world", get_namespace=lambda: "/a", group=None, create_subscription=lambda *_, **__: 1,
            get_node_names_and_namespaces=lambda: [("world", "/a")] * self.count + [("other", "/a")],
            get_logger=lambda: SimpleNamespace(error=lambda text, **_: self.said.append(text)),
        )  # fmt: skip

    def namesakes(self) -> Namesakes:
        """Of the node."""
        return Namesakes(cast(NodeContext, self.node))


def diagnostics(**values: str) -> DiagnosticArray:
    return DiagnosticArray(status=[DiagnosticStatus(values=[KeyValue(key=k, value=v) for k, v in values.items()])])


def test_each_hears_the_other_and_exactly_one_gives_way(monkeypatch) -> None:
    graph = Graph(monkeypatch)
    both = [graph.namesakes(), graph.namesakes()]  # at the same instant even
    for a in both:
        assert a.look() == "" and not graph.said
    graph.now += LINGERS
    for a in both:
        for b in both:
            a.heard(diagnostics(**b.told()))
        assert "2 nodes are called /a/world" in a.look()
    assert sorted(a.give_way for a in both) == [False, True]


@pytest.mark.parametrize(
    ("values", "after", "why"),
    [
        ({}, 0.0, "a name of which nothing is heard: it has died, or is another program's"),
        ({"node": "/b/world", "began": "1 a"}, 0.0, "another namespace"),
        ({"node": "/a/world", "began": "nonsense"}, 0.0, "no number"),
        ({"node": "/a/world", "began": f"{2 * 10**18} a"}, 0.0, "it came later"),
        ({"node": "/a/world", "began": "1 a"}, NEW_FOR, "this one has worked for long when they meet"),
    ],
)
def test_a_node_stays(monkeypatch, values: dict[str, str], after: float, why: str) -> None:
    graph = Graph(monkeypatch)
    mine = graph.namesakes()
    graph.now += after
    mine.look()
    mine.heard(diagnostics(**values))
    graph.now += LINGERS
    assert mine.look() and not mine.give_way, why


def test_a_node_that_lingers_in_the_graph_is_no_second_and_one_that_stays_is(monkeypatch) -> None:
    graph = Graph(monkeypatch)
    mine = graph.namesakes()

    def look(at: float, count: int) -> str:
        graph.now, graph.count = at, count
        return mine.look()

    assert not look(100, 1) and not look(101, 2)
    mine.heard(diagnostics(node="/a/world", began="1 a"))
    assert not look(102, 1) and not mine.give_way  # it had just ended
    assert not look(103, 2) and not look(103 + LINGERS - 0.1, 2)
    assert "2 nodes are called /a/world" in look(103 + LINGERS, 2)
