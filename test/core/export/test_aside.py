"""The folder that an export is written to before it is whole: whose it is, and that a killed one's is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pw_core.export.aside import ASIDE, folder_aside, sweep

WRITER = """
import sys, time
from pathlib import Path
from pw_core.export.aside import folder_aside
with folder_aside(Path(sys.argv[1])) as aside:
    (aside / "half.usd").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def left(folder: Path) -> list[Path]:
    return list(folder.glob(f"{ASIDE}*"))


def test_it_is_there_while_it_is_written_to_and_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), folder_aside(tmp_path) as aside:
        (aside / "x").write_text("half")
        assert left(tmp_path) == [aside]
        raise KeyError
    assert left(tmp_path) == []


def test_a_killed_writers_is_swept_by_the_next_and_a_living_ones_is_not(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
        (theirs,) = left(tmp_path)
        assert sweep(tmp_path) == [] and (theirs / "half.usd").is_file()
        with folder_aside(tmp_path) as ours:
            assert sorted(left(tmp_path)) == sorted([ours, theirs])
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    assert left(tmp_path) == [theirs]  # nobody was there to remove it
    with folder_aside(tmp_path) as ours:
        assert left(tmp_path) == [ours]


def test_links_and_files_of_such_names_stay(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / f"{ASIDE}link").symlink_to(elsewhere)
    (folder / f"{ASIDE}file").write_text("x")
    assert sweep(folder) == [] and len(left(folder)) == 2 and (elsewhere / "precious").is_file()
    assert sweep(tmp_path / "nowhere") == []
