"""What people and drivers hand in: `make bench BENCH=inputs` writes out/bench/inputs.json, one record for each input.

    python test/benchmark/inputs.py [part]...

Parts: `cases` (each input of test/support/cases right, or refused by name where that will do; 1 or 0), `layouts` (poses
of other tools' folders against their source), `fuzz` (mutated files: tracebacks and memory), `new` (scene files of six
photos from a box and a size alone: pitch, metre, masks).
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from parts.own_scenes import own_scenes
from parts.records import record, write

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.cases import depth, films, layouts, photos, texts


def cases() -> None:
    """A record for each input, and one for all."""
    all_cases = photos.CASES | depth.CASES | texts.CASES | films.CASES | layouts.CASES
    if importlib.util.find_spec("rclpy") is not None:
        from support.cases import messages

        all_cases |= messages.CASES
    right = total = 0
    for name, case in all_cases.items():
        with tempfile.TemporaryDirectory(prefix="pw_inputs_") as folder:
            for verdict in case(Path(folder)):
                good = verdict.state != "wrong"
                right, total = right + good, total + 1
                record(f"{name}: {verdict.name}", float(good), "", "1", good, f"{verdict.state} {verdict.note}".strip())
    record("inputs right or refused by name", right / total, "", "1", right == total, f"{right} of {total}")


def layout_poses() -> None:
    """Figure 3: the largest difference of a pose's entry from its source, for each layout."""
    for name, make in layouts.SAMPLES.items():
        with tempfile.TemporaryDirectory(prefix="pw_inputs_") as folder:
            sample = make(Path(folder))
            found = layouts.read(sample.folder)
            error, unaccounted = layouts.pose_error(found, sample), layouts.complaint(found, sample)
            record(f"layout {name}: poses", error, "m", "<= 1e-6", error <= 1e-6 and not unaccounted,
                   unaccounted or "all files accounted for")  # fmt: skip


def fuzz() -> None:
    """Figure 2: 5 000 mutated files over all readers."""
    from support.fuzz import READERS, answers, most_memory_mb

    before = most_memory_mb()
    found = []
    with tempfile.TemporaryDirectory(prefix="pw_fuzz_") as folder:
        for i, name in enumerate(READERS):
            count = 5000 // len(READERS) + (i < 5000 % len(READERS))
            found += list(answers(name, count, Path(folder) / str(i)))
    troubles = [f"{a.reader}: {a.trouble}" for a in found if a.trouble]
    record("mutated files: tracebacks or hangs", len(troubles), "", "0", not troubles,
           troubles[0] if troubles else f"{len(found)} files, {sum(a.read for a in found)} read")
    grown = most_memory_mb() - before
    record("mutated files: memory beyond the start", grown, "MB", "<= 500", grown <= 500, "2 Mpx may be asked for")


PARTS: dict[str, Callable[[], None]] = {"cases": cases, "layouts": layout_poses, "fuzz": fuzz, "new": own_scenes}


def main() -> None:
    """All parts, or those named on the command line."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := [n for n in names if n not in PARTS]:
        sys.exit(f"no part {', '.join(unknown)}: name some of {', '.join(PARTS)}, or none for all")
    for name in names:
        PARTS[name]()
    write("inputs", keep=len(names) < len(PARTS))


if __name__ == "__main__":
    main()
