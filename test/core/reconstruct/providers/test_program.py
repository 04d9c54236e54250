"""External programs: followed while they run, ended when called off, and what they printed last."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.providers.program import ProgramOptions, last_lines, run_program


def run(tmp_path: Path, code: str, progress: Any = lambda s, f: None, **options: Any) -> None:
    run_program([sys.executable, "-c", code], log=tmp_path / "log", what="thing", key="thing.settings",
                progress=progress, **options)  # fmt: skip


def test_the_last_percentage_that_it_prints_is_how_far_it_is(tmp_path: Path) -> None:
    told: list[float] = []
    code = "import sys, time\nprint('10% and 40 %', flush=True)\ntime.sleep(0.6)\nprint('step 2: 250%')"
    run(tmp_path, code, lambda stage, fraction: told.append(fraction), options=ProgramOptions(poll_s=0.05))
    assert told[-1] in (0.4, 1.0) and 0.4 in told


def test_it_does_not_see_our_packages_and_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    run(tmp_path, "import os; print(os.environ.get('PYTHONPATH'), os.environ['HF_HUB_OFFLINE'], os.environ['MINE'])",
        env={"MINE": "yes"})  # fmt: skip
    assert last_lines(tmp_path / "log") == "None 1 yes"


def test_calling_off_ends_it_and_passes_on(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(stage: str, fraction: float) -> None:
        if (tmp_path / "pid").is_file():
            raise StopError

    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(StopError):
        run(tmp_path, code, stop)
    assert time.monotonic() - began < 30
    pid = (tmp_path / "pid").read_text()
    assert not pid or not os.path.isdir(f"/proc/{pid}")


def test_what_fails_is_said_with_its_last_lines(tmp_path: Path) -> None:
    code = "for k in range(30): print('line', k)\nraise SystemExit(3)"
    with pytest.raises(ReconstructError, match=r"(?s)thing: .* failed with exit code 3.*line 29") as caught:
        run(tmp_path, code, options=ProgramOptions(said_lines=2))
    assert caught.value.code == ErrorCode.RECONSTRUCT_FAILED and "line 27" not in str(caught.value)
    with pytest.raises(ReconstructError, match=r"not done after 0\.3 s \(thing\.settings\.timeout_s\); it printed not"):
        run(tmp_path, "import time; time.sleep(60)", timeout_s=0.3)


def test_progress_bars_are_shown_as_they_stood_last(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"begin\n 10%\r 20%\r 30%\n\nend\n")
    assert last_lines(tmp_path / "log") == "begin\n   30%\n  end"
