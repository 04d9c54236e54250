"""Inputs as tools hand them in, each with the right value: none ends in a traceback or in something else without a
word. The cases that need ROS are in test/ros."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cases import depth, films, layouts, photos, texts
from support.cases.verdict import Verdict

CASES = photos.CASES | depth.CASES | texts.CASES | films.CASES | layouts.CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_right_or_refused_by_name(case: Callable[[Path], Iterator[Verdict]], tmp_path: Path) -> None:
    wrong = [f"{v.name}: {v.note}" for v in case(tmp_path) if v.state == "wrong"]
    assert not wrong, "\n".join(wrong)
