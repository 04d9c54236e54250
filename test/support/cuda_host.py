"""The CUDA engine's whole kernels on a CPU (cuda_host.hpp): it runs, slowly, where there is no GPU."""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pw_core.simulate.fast_cuda.device import Gpu

_CLUSTER = """    static Cluster here() { return Cluster{block->rank, block->cluster}; }
    void barrier() const { cluster_barrier(); }
    template <class T>
    T* of(int other, T* mine) const {
        return in_block(other, mine);
    }
"""


def available() -> bool:
    """Whether this machine can compile and run it."""
    import platform

    return shutil.which("g++") is not None and platform.machine() == "x86_64"


def host_source(source: str) -> str:
    """The kernels as C++ for a CPU, with a function `<kernel>_on_host` for each."""
    source = source.replace("extern __shared__ int memory[];", "int* memory = dynamic_words;")
    source = re.sub(r"#if __CUDA_ARCH__ >= 900\n.*?#endif\n", lambda _: _CLUSTER, source, count=1, flags=re.S)
    names = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(', source)
    ends = "".join(
        f'extern "C" void {n}_on_host(const void* p, int argument, int width, int height, int threads, '
        f"int cluster) {{\n"
        f"    launch([](const void* p, int argument) {{ {n}(*(const Problem*)p, argument); }}, p, argument, width, "
        f"height, threads, cluster);\n}}\n"
        for n in names
    )
    here = Path(__file__).with_name("cuda_host.hpp")
    return f'#include "{here}"\n{source}\n{ends}'


class HostModule:
    """See `driver.Module`."""

    def __init__(self, source: str) -> None:
        text = host_source(source) + Path(__file__).with_name("cuda_host.hpp").read_text()
        folder = Path(tempfile.gettempdir()) / "pw_cuda_host"
        folder.mkdir(exist_ok=True)
        out = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.so"
        if not out.exists():
            (cpp := out.with_suffix(".cpp")).write_text(host_source(source))
            flags = ["-std=c++17", "-O2", "-w", "-ffp-contract=off", "-mfma", "-shared", "-fPIC", "-pthread"]
            subprocess.run(["g++", *flags, "-o", str(out.with_suffix(".new")), str(cpp)], check=True)
            out.with_suffix(".new").rename(out)
        self._library = ctypes.CDLL(str(out))

    def function(self, name: str, *, shared_bytes: int = 0, clusters: bool = False) -> Any:
        """See `driver.Module`."""
        return getattr(self._library, f"{name}_on_host")

    def resident_clusters(self, function: Any, *, block: int, shared_bytes: int, cluster: int) -> int:
        """See `driver.Module`."""
        return int(cluster <= 4)

    def launch(
        self, function: Any, *, grid: tuple[int, int], block: int, arguments: Sequence[Any], stream: int,
        shared_bytes: int = 0, cluster: int = 1,
    ) -> None:  # fmt: skip
        """See `driver.Module`; it returns when all is done."""
        problem, argument = arguments
        function(ctypes.byref(problem), argument, grid[0], grid[1], block, cluster)


class HostGpu(Gpu):
    """A GPU of a few multiprocessors that share a CPU."""

    def __init__(self, *, processors: int = 4, shared: int = 120_000, clusters: bool = True) -> None:
        self.device = torch.device("cpu")
        self.processors, self.clusters = processors, clusters
        self._shared = shared

    def shared_memory(self) -> tuple[int, int]:
        """See `Gpu`."""
        return self._shared, self._shared

    def module(self, source: str) -> Any:
        """See `Gpu`."""
        return HostModule(source)

    def stream(self) -> int:
        """See `Gpu`."""
        return 0

    def captured(self, queue: Callable[[], None]) -> Callable[[], None]:
        """See `Gpu`."""
        return queue
