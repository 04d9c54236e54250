"""The CUDA engine's source compiled for a CPU (mpm_host.cpp): its arithmetic is tested where there is no GPU."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import pw_core.simulate.fast_cuda as package
from pw_core.simulate.fast_cuda.engine import STATE, STATE_SIZE, Problem
from pw_core.simulate.fast_cuda.tables import Domain, units


def build(folder: Path, compiler: str) -> ctypes.CDLL:
    """Compile into `folder`; additions and multiplications are fused where the source says so, as on the GPU."""
    out = folder / "mpm_host.so"
    include = Path(package.__file__).parent
    source = Path(__file__).with_name("mpm_host.cpp")
    flags = ["-std=c++17", "-O2", "-w", "-ffp-contract=off", "-shared", "-fPIC", f"-I{include}"]
    subprocess.run([compiler, *flags, "-o", str(out), str(source)], check=True)
    return ctypes.CDLL(str(out))


def address(array: Any) -> int:
    """Where a contiguous array lies."""
    assert array.flags.c_contiguous
    return int(array.ctypes.data)


def advance(
    library: ctypes.CDLL, state: dict[str, Any], rows: Any, entity: Any, slots: Any, friction: float, domain: Domain,
    substeps: int,
):  # fmt: skip
    """The state after that many substeps and the faults; `slots` (n, 8) are in force all the time."""
    count = len(entity)
    packed = np.zeros((STATE_SIZE, count), np.float32)
    for name, (first, _) in STATE.items():
        part = np.asarray(state[name], np.float32).reshape(count, -1).T
        packed[first : first + len(part)] = part
    table, exact = units(np.asarray(rows, np.float32)[None], friction, domain)
    active, slots = (np.asarray(state["active"]) > 0).astype(np.uint8), np.asarray(slots, np.float32)
    entity = np.ascontiguousarray(entity, np.int32)
    problem = Problem.of(domain)
    problem.particles = problem.stride = count
    for name, array in (("state", packed), ("active", active), ("entity", entity), ("rows", exact), ("units", table)):
        setattr(problem, name, address(array))
    fault = library.substeps(ctypes.byref(problem), ctypes.c_void_p(address(slots)), len(slots), substeps)
    out = {k: packed[first : first + int(np.prod(s))].T.reshape(count, *s) for k, (first, s) in STATE.items()}
    return out | {"active": state["active"]}, fault
