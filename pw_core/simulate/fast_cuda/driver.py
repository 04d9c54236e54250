"""CUDA C++ compiled at run time: NVRTC and the CUDA driver through ctypes, nothing to install beside torch.

PyTorch's CUDA builds bring NVRTC with them, the NVIDIA driver brings libcuda. Neither needs a compiler, a toolkit or
headers on the machine. Compiled kernels are kept in a cache folder, so that a process after the first loads them in
milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pw_core.errors import RolloutError
from pw_core.files import replace_file


def cache_folder() -> Path:
    """Where compiled kernels are kept: $XDG_CACHE_HOME/perpetual_wonder/cuda, or ~/.cache/... without it."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "perpetual_wonder" / "cuda"


def load_nvrtc() -> ctypes.CDLL:
    """NVRTC, from the wheels that PyTorch's CUDA builds bring, else from a CUDA toolkit.

    Raises:
        RolloutError: there is none.
    """
    for name in _nvrtc_candidates():
        try:
            return ctypes.CDLL(str(name))
        except OSError:
            continue
    raise RolloutError(
        "CUDA's run-time compiler (libnvrtc) was not found: install a CUDA build of PyTorch, or `pip install "
        "nvidia-cuda-nvrtc`"
    )


def _nvrtc_candidates() -> list[Path | str]:
    pattern = re.compile(r"libnvrtc\.so\.(\d+)")
    found = []
    for place in map(Path, sys.path):
        for path in sorted((place / "nvidia").glob("*/lib/libnvrtc.so.*")) if (place / "nvidia").is_dir() else []:
            match = pattern.fullmatch(path.name)
            if match:
                found.append((int(match[1]), path))
    # The newest first: it knows the newest GPUs. Its builtins lie beside it.
    wheels: list[Path | str] = [path for _, path in sorted(found, reverse=True)]
    toolkit = [p for root in ("/usr/local/cuda", os.environ.get("CUDA_HOME", "")) if root
               for p in sorted(Path(root).glob("lib64/libnvrtc.so.*"), reverse=True)]  # fmt: skip
    system = ctypes.util.find_library("nvrtc")
    return [*wheels, *toolkit, *([system] if system else [])]


def compile_source(source: str, *, architecture: str, options: Sequence[str] = ()) -> bytes:
    """Machine code (a cubin) of CUDA C++ for an architecture such as "sm_90".

    Raises:
        RolloutError: no NVRTC, or the source does not compile; the message holds the compiler's log.
    """
    nvrtc = load_nvrtc()
    program = ctypes.c_void_p()
    flags = [f"--gpu-architecture={architecture}", "--fmad=false", "-default-device", *options]
    array = (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags))
    _nvrtc(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"mpm.cu", 0, None, None))
    try:
        if nvrtc.nvrtcCompileProgram(program, len(flags), array):
            size = ctypes.c_size_t()
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            raise RolloutError(f"the CUDA kernels do not compile for {architecture}: {log.value.decode()}")
        size = ctypes.c_size_t()
        _nvrtc(nvrtc, nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        code = ctypes.create_string_buffer(size.value)
        _nvrtc(nvrtc, nvrtc.nvrtcGetCUBIN(program, code))
        return code.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _nvrtc(library: ctypes.CDLL, result: int) -> None:
    if result:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RolloutError(f"NVRTC: {library.nvrtcGetErrorString(result).decode()}")


def nvrtc_version() -> tuple[int, int]:
    """Major and minor version of the run-time compiler."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    load_nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def cached(source: str, *, architecture: str, options: Sequence[str] = ()) -> bytes:
    """`compile_source`, from the cache folder where it was compiled before by the same compiler."""
    key = repr((source, architecture, tuple(options), nvrtc_version()))
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.cubin"
    with contextlib.suppress(OSError):
        return path.read_bytes()
    code = compile_source(source, architecture=architecture, options=options)
    with contextlib.suppress(OSError):  # a read-only home: compile again next time
        replace_file(path, code)
    return code


class _Attribute(ctypes.Structure):
    """cuda.h: CUlaunchAttribute, of a cluster's size."""

    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("value", ctypes.c_uint * 16)]


class _Config(ctypes.Structure):
    """cuda.h: CUlaunchConfig."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p), ("attributes", ctypes.POINTER(_Attribute)), ("count", ctypes.c_uint),
    ]  # fmt: skip


# Names and values of cuda.h.
MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
NON_PORTABLE_CLUSTERS = 14  # CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
CLUSTER_DIMENSION = 4  # CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
SHARED_OF_BLOCK = 97  # CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
SHARED_OF_PROCESSOR = 81  # CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR


def shared_memory(device: int) -> tuple[int, int]:
    """Bytes of shared memory that a block may have, and that a multiprocessor has; older torch knows neither."""
    cuda = ctypes.CDLL("libcuda.so.1")
    found = []
    for attribute in (SHARED_OF_BLOCK, SHARED_OF_PROCESSOR):
        value = ctypes.c_int()
        if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            raise RolloutError(f"CUDA driver: device {device} does not tell how much shared memory it has")
        found.append(value.value)
    return found[0], found[1]


class Module:
    """Kernels of a cubin in the current CUDA context, which torch has made."""

    def __init__(self, code: bytes) -> None:
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._module = ctypes.c_void_p()
        self._code = code
        self._check(self._cuda.cuModuleLoadData(ctypes.byref(self._module), code))

    def function(self, name: str, *, shared_bytes: int = 0, clusters: bool = False) -> Any:
        """A kernel that may use so much dynamic shared memory, in clusters of up to 16 blocks if asked."""
        handle = ctypes.c_void_p()
        self._check(self._cuda.cuModuleGetFunction(ctypes.byref(handle), self._module, name.encode()))
        if shared_bytes:
            self._check(self._cuda.cuFuncSetAttribute(handle, MAX_DYNAMIC_SHARED, shared_bytes))
        if clusters:
            self._check(self._cuda.cuFuncSetAttribute(handle, NON_PORTABLE_CLUSTERS, 1))
        return handle

    def resident_clusters(self, function: Any, *, block: int, shared_bytes: int, cluster: int) -> int:
        """How many clusters of that many blocks can run at a time; 0 where such clusters do not fit the GPU."""
        config = _config((cluster, 1), block, shared_bytes, 0, cluster)
        count = ctypes.c_int()
        failed = self._cuda.cuOccupancyMaxActiveClusters(ctypes.byref(count), function, ctypes.byref(config))
        return 0 if failed else count.value

    def launch(
        self, function: Any, *, grid: tuple[int, int], block: int, arguments: Sequence[Any], stream: int,
        shared_bytes: int = 0, cluster: int = 1,
    ) -> None:  # fmt: skip
        """Queue a kernel on a stream; `arguments` are ctypes values, `cluster` divides the grid's first number.

        Raises:
            RolloutError: the driver refuses it.
        """
        pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(a) for a in arguments))
        config = _config(grid, block, shared_bytes, stream, cluster)
        self._check(self._cuda.cuLaunchKernelEx(ctypes.byref(config), function, pointers, None))

    def _check(self, result: int) -> None:
        if result:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorString(result, ctypes.byref(text))
            raise RolloutError(f"CUDA driver: {(text.value or b'?').decode()} ({result})")


def _config(grid: tuple[int, int], block: int, shared_bytes: int, stream: int, cluster: int) -> _Config:
    config = _Config(grid=(*grid, 1), block=(block, 1, 1), shared_bytes=shared_bytes, stream=stream)
    if cluster > 1:
        attribute = _Attribute(id=CLUSTER_DIMENSION)
        attribute.value[:3] = [cluster, 1, 1]
        config.attributes, config.count = ctypes.pointer(attribute), 1
    return config
