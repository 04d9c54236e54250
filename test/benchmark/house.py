"""Figures of the house, counted from the code itself: `make bench BENCH=house` writes out/bench/house.json.

Import circles, numbers outside options, sizes of folders, files and functions, the type checker, the import rules: a
few minutes, most of them mypy's. With PW_HOUSE_AGAINST=<commit> the scenes of the three example photos and the states
after their rounds are made by that commit's code too, and must be the same bits (ten minutes more).
"""

from __future__ import annotations

import os

from parts.house_counts import counts
from parts.house_rules import rules
from parts.house_same import same
from parts.records import write


def main() -> None:
    """Measure, print, write."""
    counts()
    rules()
    same(os.environ.get("PW_HOUSE_AGAINST", ""))
    write("house", keep=True)


if __name__ == "__main__":
    main()
