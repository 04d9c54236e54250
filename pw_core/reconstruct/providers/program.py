"""External programs in their own environment: followed while they run, ended when called off."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pw_core.errors import ErrorCode, ReconstructError
from pw_core.progress import Progress

PERCENT = re.compile(rb"(\d{1,3})(?:\.\d+)?\s?%")
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
"""Variables of our own environment that would send another Python to our packages and libraries."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""Nothing is downloaded behind the user's back; `env` may say otherwise."""


@dataclass(frozen=True, kw_only=True)
class ProgramOptions:
    """How a program is followed and ended."""

    poll_s: float = 0.2
    """Between two looks at it: how late a cancel may be heard [s]."""
    grace_s: float = 5.0
    """Between asking it to end and ending it [s]."""
    said_lines: int = 12
    """Of the end of what it printed, in messages."""


READ_BYTES = 8192
"""Of the end of a log, that are searched for lines and percentages: more than a terminal shows."""


def run_program(
    command: Sequence[str], *, log: Path, what: str, key: str, progress: Progress, folder: str = "",
    env: Mapping[str, str] | None = None, timeout_s: float = 0.0, options: ProgramOptions = ProgramOptions(),
) -> None:  # fmt: skip
    """Run a command to its end; what it prints goes to the file `log`, and the last percentage in it to `progress`.

    It has a process group of its own, which is ended with all that it started when `progress` raises, or after
    `timeout_s` [s] (0: never). `what` and `key` say in messages what it makes, and which setting names it.

    Raises:
        ReconstructError: MISSING_WEIGHTS where there is no such program or folder; RECONSTRUCT_FAILED with its last
            lines where it fails or takes too long. What `progress` raises passes through.
    """
    if folder and not Path(folder).is_dir():
        raise ReconstructError(f"{key}.folder: {folder} is no folder", code=ErrorCode.MISSING_WEIGHTS)
    variables = {k: v for k, v in os.environ.items() if k not in OURS} | OFFLINE | dict(env or {})
    began = time.monotonic()
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                list(command), cwd=folder or None, env=variables, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ReconstructError(f"{key}.command: '{command[0]}' cannot be run: {error.strerror}",
                                   code=ErrorCode.MISSING_WEIGHTS) from None  # fmt: skip
        try:
            while process.poll() is None:
                progress(what, _fraction(log))
                if timeout_s and time.monotonic() - began > timeout_s:
                    said = _tail(log, options)
                    raise ReconstructError(f"{what}: not done after {timeout_s:g} s ({key}.timeout_s); {said}",
                                           code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(options.poll_s)
        finally:
            _end(process, options)
    if process.returncode:
        code = process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
        raise ReconstructError(f"{what}: '{command[0]}' {how}; {_tail(log, options)}",
                               code=ErrorCode.RECONSTRUCT_FAILED)  # fmt: skip


def last_lines(log: Path, *, options: ProgramOptions = ProgramOptions()) -> str:
    """The end of what a program printed, for messages; progress bars as they stood last."""
    lines = [part.split(b"\r")[-1] for part in _end_of(log).split(b"\n")]
    text = [line.decode(errors="replace").rstrip() for line in lines if line.strip()]
    return "\n  ".join(text[-options.said_lines :])


def _tail(log: Path, options: ProgramOptions) -> str:
    text = last_lines(log, options=options)
    return f"its last lines ({log}):\n  {text}" if text else "it printed nothing"


def _end_of(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - READ_BYTES))
        return file.read()


def _fraction(log: Path) -> float:
    found = PERCENT.findall(_end_of(log))
    return min(int(found[-1]), 100) / 100 if found else 0.0


def _end(process: subprocess.Popen[bytes], options: ProgramOptions) -> None:
    """End the whole group: what a program has started may outlive it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(options.grace_s)
        if how is signal.SIGTERM and process.returncode is not None and not _alive(process.pid):
            return


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
