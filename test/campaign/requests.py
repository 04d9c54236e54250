"""Fuzzed requests to every service and action of a node, and what must hold of each answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import rclpy
from hypothesis import HealthCheck, Phase, given, seed, settings
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor

from campaign.messages import messages
from pw_core.limits import LIMITS
from pw_msgs import action, srv
from pw_ros.naming import snake_case
from pw_ros.spinning import Spinning

WITHIN = 30.0
"""[s] in which each answer must be there, on a machine that does other work too."""


def kinds(module: Any) -> list[str]:
    """The names of a module's types."""
    return sorted(name for name in vars(module) if name[0].isupper() and "_" not in name)


@dataclass
class Counts:
    """What came of the requests."""

    asked: int = 0
    hung: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    long: list[str] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)
    longest: tuple[float, str] = (0.0, "")

    def take(self, name: str, answer: Any, request: Any, *, took_s: float = 0.0) -> None:
        """Judge one answer; None: there was none in time."""
        self.asked += 1
        self.longest = max(self.longest, (took_s, name))
        shown = f"{name} {request}"[:400]
        if answer is None:
            self.hung.append(shown)
            return
        code, text = answer.error_code, answer.error_msg
        self.codes[code] = self.codes.get(code, 0) + 1
        if code and code % 100 == 0:
            self.unknown.append(f"{code} {text[:300]} <- {shown}")
        if len(text.encode("utf-8", "replace")) > LIMITS.error_bytes:
            self.long.append(shown)


class Fuzzer:
    """A client that asks for anything."""

    def __init__(self, world: str = "perpetual_wonder") -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("fuzzer", context=self.context)
        self.world, self.counts = world, Counts()
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(self.node)
        self._spinning = Spinning(executor, name="fuzzer")
        self._clients: dict[str, Any] = {}

    def close(self) -> None:
        """Leave."""
        self._spinning.end(5.0)
        for name, client in self._clients.items():
            if name in kinds(action):
                client.destroy()
        self.node.destroy_node()
        self.context.try_shutdown()

    def targets(self) -> Iterator[tuple[str, Any]]:
        """All that can be asked for, by name, and the types of its requests."""
        for name in kinds(srv):
            yield name, getattr(srv, name).Request
        for name in kinds(action):
            yield name, getattr(action, name).Goal

    def served(self, name: str) -> bool:
        """Whether the node has it; some types may have no server yet."""
        client = self._client(name)
        wait = client.wait_for_server if name in kinds(action) else client.wait_for_service
        return bool(wait(10.0))

    def _client(self, name: str) -> Any:
        if name not in self._clients:
            topic = f"/{self.world}/{snake_case(name)}"
            if name in kinds(action):
                self._clients[name] = ActionClient(self.node, getattr(action, name), topic)
            else:
                self._clients[name] = self.node.create_client(getattr(srv, name), topic)
        return self._clients[name]

    def ask(self, name: str, request: Any) -> Any:
        """The answer; None: it did not come in time. Goals are called off: a random one may run for a minute."""
        client = self._client(name)
        if name not in kinds(action):
            return _wait(client.call_async(request))
        handle = _wait(self._spinning.do(lambda: client.send_goal_async(request)))
        if handle is None or not handle.accepted:
            return None
        result = self._spinning.do(handle.get_result_async)
        self._spinning.do(handle.cancel_goal_async)
        found = _wait(result)
        return None if found is None else found.result

    def run(self, name: str, kind: Any, *, examples: int, at: int = 0) -> None:
        """So many requests of one type, drawn by that seed."""

        @seed(at)
        @settings(
            max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(request=messages(kind))
        def tried(request: Any) -> None:
            began = time.monotonic()
            answer = self.ask(name, request)
            self.counts.take(name, answer, request, took_s=time.monotonic() - began)

        tried()


def _wait(future: Any) -> Any:
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    return future.result() if done.wait(WITHIN) else None
