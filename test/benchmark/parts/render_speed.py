"""The CPU kernels on OpenSplat's scene: speed, scaling, and the first call of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import torch

from parts.records import record
from parts.render_scenes import camera, cloud, forward_backward

OPENSPLAT_MS = {"forward": 976.0, "backward": 556.0}  # two cores like those of the first machine it was measured on
BLENDS = 22.7e6


def speed() -> None:
    """Against OpenSplat's published times, then by number of Gaussians, resolution and threads."""
    main = forward_backward(cloud(), camera())
    threads = torch.get_num_threads()
    for name, ms in main.items():
        theirs = OPENSPLAT_MS[name]
        record(f"{name}, 100k, 1280x704", ms, "ms", "reported", None, f"OpenSplat {theirs:.0f} ms; {threads} threads")
        record(f"{name}, a blend", 1e6 * ms / BLENDS, "ns", "reported", None,
               f"OpenSplat {1e6 * theirs / BLENDS:.0f} ns; 22.7 M blends")  # fmt: skip
    faster = sum(OPENSPLAT_MS.values()) / sum(main.values())
    note = f"aim 10; {sum(main.values()):.0f} ms against {sum(OPENSPLAT_MS.values()):.0f} ms; {threads} threads"
    record("faster than OpenSplat, forward + backward", faster, "times", ">= 5", faster >= 5, note)
    for n in (20_000, 100_000, 500_000):
        _both(f"{n // 1000}k, 1280x704", n=n)
    for width, height in ((640, 352), (1920, 1056)):
        _both(f"100k, {width}x{height}", width=width, height=height)
    scaling()


def scaling(counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)) -> None:
    """Forward and backward by threads, as many as this machine has cores; those it has not are skipped."""
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    for n in (100_000, 500_000):
        single = 0.0
        for count in counts:
            name = f"{n // 1000}k, 1280x704, {count} threads"
            if count > cores:
                for each in OPENSPLAT_MS:
                    record(f"{each}, {name}", None, "ms", "reported", None, f"{cores} cores here")
                continue
            torch.set_num_threads(count)
            both = _both(name, n=n, single=single)
            single = single or both
    torch.set_num_threads(threads)


def _both(name: str, *, n: int = 100_000, width: int = 1280, height: int = 704, single: float = 0.0) -> float:
    """Record both passes; their sum [ms]. single: that of one thread, which the note compares with."""
    found = forward_backward(cloud(n), camera(width, height))
    both = sum(found.values())
    for each, ms in found.items():
        record(f"{each}, {name}", ms, "ms", "reported", None, f"sum {single / both:.1f}x one thread" * (single > 0))
    return both


def first_call() -> None:
    """Seconds of the first forward and backward pass of a process, with an empty and with a filled kernel cache."""
    code = (
        "import sys, time; sys.path[:0] = ['.', 'test/benchmark']; import torch; from parts import render_scenes as b;"
        "s = b.cloud(100); v = b.camera(64, 48); t = time.perf_counter(); b.forward_backward(s, v);"
        "print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for name in ("kernels compiled", "kernels from the cache"):
            run = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
            record(f"first call of a process, {name}", float(run.stdout), "s", "reported", None)
