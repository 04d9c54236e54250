"""What the engine asks of a GPU: its size, kernels, a stream, graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pw_core.errors import RolloutError
from pw_core.simulate.fast_cuda.driver import Module, cached, shared_memory

CLUSTERS_FROM = 9
"""Compute capability, major number: from Hopper on, blocks of a cluster read each other's shared memory."""


class Gpu:
    """An NVIDIA GPU. `device` is torch's, `processors` its multiprocessors, `clusters` whether they may share a world.

    Raises:
        RolloutError: torch sees no CUDA.
    """

    def __init__(self, index: int = 0) -> None:
        import torch

        if not torch.cuda.is_available():
            raise RolloutError("the CUDA engine needs an NVIDIA GPU and a CUDA build of PyTorch; torch sees none")
        self.device = torch.device("cuda", index)
        properties = torch.cuda.get_device_properties(self.device)
        self.processors: int = properties.multi_processor_count
        self.clusters: bool = properties.major >= CLUSTERS_FROM

    def shared_memory(self) -> tuple[int, int]:
        """Bytes that a block may have, and that a multiprocessor has."""
        return shared_memory(self.device.index)

    def module(self, source: str) -> Module:
        """The kernels of that source, compiled where they are not in the cache."""
        return _module(source, self.device.index)

    def stream(self) -> int:
        """The stream that torch works on."""
        import torch

        return int(torch.cuda.current_stream(self.device).cuda_stream)

    def captured(self, queue: Callable[[], None]) -> Callable[[], None]:
        """What `queue` launches as one graph, to be launched again and again."""
        import torch

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph):
            queue()

        def replay() -> None:
            with torch.cuda.device(self.device):
                graph.replay()

        return replay


@cache
def _module(source: str, index: int) -> Module:
    import torch

    major, minor = torch.cuda.get_device_capability(index)
    code = cached(source, architecture=f"sm_{major}{minor}")
    with torch.cuda.device(index):
        torch.zeros(1, device="cuda")  # makes torch's context the current one
        return Module(code)
