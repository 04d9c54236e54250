"""The order of names: by the numbers in them, whatever the names are."""

from __future__ import annotations

import random
from pathlib import Path

from pw_core.media.listing import listed, natural


def test_names_are_in_the_order_of_their_numbers_and_a_beginning_comes_first() -> None:
    wanted = ["10.png", "cam", "cam2", "cam2b", "cam10", "cam10.png", "front", "front 1", "frontal", "x01", "x1"]
    for seed in range(20):
        mixed = random.Random(seed).sample(wanted, len(wanted))
        assert sorted(mixed, key=natural) == wanted


def test_a_folder_where_one_name_begins_another_is_listed(tmp_path: Path) -> None:
    for name in ("frame2", "frame", "frame10"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in listed(tmp_path)] == ["frame", "frame2", "frame10"]
