"""Messages as drivers publish them, each with the right value, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS messages")

from support.cases import messages
from support.cases.verdict import Verdict


@pytest.mark.parametrize("case", messages.CASES.values(), ids=messages.CASES)
def test_it_is_right_or_refused_by_name(case: Callable[[Path], Iterator[Verdict]], tmp_path: Path) -> None:
    wrong = [f"{v.name}: {v.note}" for v in case(tmp_path) if v.state == "wrong"]
    assert not wrong, "\n".join(wrong)
