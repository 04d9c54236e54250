"""Many worlds on one NVIDIA GPU, advanced by whole frames without the host."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pw_core.gaussians import F32, F64
from pw_core.simulate.fast_cuda.bodies import BODY_SIZE, FRICTION, KEY_SIZE, MOST_BODIES, NEAR_BYTES, TOOL_SIZE, Shapes
from pw_core.simulate.fast_cuda.device import Gpu
from pw_core.simulate.fast_cuda.tables import ACTION_SIZE, ROW_SIZE, SLOTS, UNITS_SIZE, Domain, UnitOptions, units

if TYPE_CHECKING:
    import torch

SOURCES = (
    "problem.cu", "laws.cu", "rigid.cu", "transfer.cu", "particle.cu", "actions.cu", "bodies.cu", "step.cu", "block.cu",
    "grid.cu",
)  # fmt: skip
GRID_KERNELS = ["begin", "scatter_first", "exchange", "gather_last", "nodes", "bodies"]
STATE = {"positions": (0, (3,)), "velocities": (3, (3,)), "C": (6, (3, 3)), "F": (15, (3, 3)), "Jp": (24, ())}
"""First row and shape of each part of a particle's state (transfer.cu: State)."""
STATE_SIZE = 25
MOTION, MOTION_SIZE = ("positions", "velocities"), 6
"""What comes first of it."""
UNSTABLE, SPREAD, EMPTY_PUSH = 1, 2, 4
"""What `status` is made of (transfer.cu: Fault)."""
NODE_BYTES, WARP = 16, 32
STATIC_SHARED = 5632
"""Bytes that a block of `advance_worlds` has beside its grid, rounded up."""
Method = Literal["auto", "block", "grid"]


@dataclass(frozen=True, kw_only=True)
class CudaOptions:
    """How work is spread over the GPU; none of it changes a bit of a result."""

    block_threads: int = 512
    """Threads that share a world where a block has it to itself, at most."""
    least_block_threads: int = 256
    """The least of them; nodes need some as well."""
    blocks_per_sm: int = 1
    """How many such blocks run on a multiprocessor at a time; they share its registers and shared memory."""
    particle_threads: int = 64
    """Threads a block where many blocks share a world: small, so that few particles still reach all multiprocessors."""
    node_threads: int = 128
    """The same for the grid's kernel."""
    largest_cluster: int = 16
    """Multiprocessors that share a world where worlds are few; on GPUs before Hopper (9.0) one."""
    block_from_worlds: int = 16
    """Without clusters: from so many worlds on each has a block to itself; with fewer, most of the GPU would idle."""
    most_block_particles: int = 40_000
    """Worlds of more particles are shared among many blocks: their grids do not fit into shared memory."""
    spare_nodes: int = 60_000
    """Nodes a resident block has in device memory, for a world too spread out for shared memory."""
    reserved_shared_bytes: int = 6144
    """Shared memory of a block that is not the grid's."""
    order: Literal["given", "shuffled", "cells"] = "shuffled"
    """How particles lie in memory. Neighbours in one warp would add to the same nodes at the same time."""


class Problem(ctypes.Structure):
    """problem.cu: Problem."""

    _fields_: ClassVar[Sequence[Any]] = (
        [
            (k, ctypes.c_int)
            for k in ("worlds", "particles", "stride", "entities", "actions", "substeps", "bodies", "tools", "keys")
        ]
        + [("lowest", ctypes.c_int * 3), ("nodes", ctypes.c_int * 3)]
        + [("low_wall", ctypes.c_float * 3), ("high_wall", ctypes.c_float * 3)]
        + [(k, ctypes.c_float) for k in ("cell", "per_cell", "substep", "volume")]
        + [("shared_nodes", ctypes.c_int), ("spare_nodes", ctypes.c_int), ("step", ctypes.c_double)]
        + [
            (k, ctypes.c_void_p)
            for k in ("state", "active", "entity", "rows", "units", "schedule", "slots", "counts", "windows", "grid",
                      "status", "time", "body_rows", "shapes", "samples", "support", "rest", "tool_rows", "key_rows",
                      "near", "given")
        ]
    )  # fmt: skip

    @classmethod
    def of(cls, domain: Domain) -> Problem:
        """What a domain says of it."""
        return cls(
            substeps=domain.substeps, lowest=domain.lowest, nodes=domain.nodes, low_wall=domain.low_wall,
            high_wall=domain.high_wall, cell=domain.cell_m, per_cell=1 / domain.cell_m, substep=domain.substep_s,
            volume=domain.volume_m3, step=domain.step_s,
        )  # fmt: skip


def kernel_source(options: CudaOptions = CudaOptions()) -> str:
    """The CUDA C++ of all kernels, for these numbers of threads."""
    defines = {
        "FN": "__device__ __forceinline__", "SLOW": "__device__ __noinline__", "MOST_BODIES": MOST_BODIES,
        "BLOCK_THREADS": options.block_threads,
        "BLOCKS_PER_SM": options.blocks_per_sm, "PARTICLE_THREADS": options.particle_threads, "MOST_SLOTS": SLOTS,
    }  # fmt: skip
    head = "".join(f"#define {k} {v}\n" for k, v in defines.items())
    return head + "".join((Path(__file__).parent / name).read_text() for name in SOURCES)


def _spread_over_banks(nodes: int) -> int:
    """The most nodes whose four sums begin in different eights of the 32 banks of shared memory."""
    return max(8, (nodes - 8) // 32 * 32 + 8)


class CudaEngine:
    """`worlds` copies of one set of particles, each with its own state, constants, friction and actions.

    Positions [m], velocities [m/s], C [1/s], F and Jp mean what they mean in `Particles`; arrays are (W, J, ...), or
    (J, ...) for all worlds alike. All sums are of integers: a world gives the same bits alone, in any batch and in any
    order, as often as it is run.
    """

    def __init__(
        self, domain: Domain, *, entity: NDArray[np.int32], rows: F32, friction: float | F32, worlds: int = 1,
        actions: int = SLOTS, shapes: Shapes | None = None, tools: int = 0, keys: int = 0, gpu: Gpu | None = None,
        method: Method = "auto", options: CudaOptions = CudaOptions(), unit_options: UnitOptions = UnitOptions(),
    ) -> None:  # fmt: skip
        """Take memory on the GPU and load the kernels; the first time on a machine they are compiled (seconds).

        Args:
            entity: row of constants of each particle (J,).
            rows: constants (E, ROW_SIZE), or (W, E, ROW_SIZE) where worlds differ; `tables.constants`.
            friction: Coulomb's coefficient of the floor, or one for each world (W,).
            actions: rows of the table of actions of a world.
            shapes: the rigid bodies; None: there are none. tools, keys: how many tool actions a world has at most, and
                poses a tool.
            gpu: None: the first.
            method: "block" gives each world a block of threads or a cluster of blocks, its grid in shared memory;
                "grid" shares a world among many blocks, its grid in device memory, for large worlds, and for few on
                GPUs without clusters. "auto" chooses.

        Raises:
            RolloutError: no CUDA, no NVRTC, or kernels that do not compile.
        """
        import torch

        self._gpu = gpu = gpu or Gpu()
        self.domain, self.worlds, self.particles, self.options = domain, worlds, len(entity), options
        self._unit_options, self._actions = unit_options, actions
        self._device = gpu.device
        self.bodies = len(shapes.rows) if shapes is not None else 0
        self._stride = -(-max(1, self.particles) // 32) * 32
        self._order = np.arange(self.particles)
        self._back = self._tensor(self._order)
        self._entity = np.asarray(entity, np.int32)
        self.method = method if method != "auto" else self._choose()
        block = self.method == "block"
        most, of_processor = gpu.shared_memory()
        shared = min(of_processor // options.blocks_per_sm, most)
        self._shared_nodes = _spread_over_banks((shared - options.reserved_shared_bytes) // (2 * NODE_BYTES))
        self._shared_bytes = 2 * NODE_BYTES * self._shared_nodes if block else 0
        self._load_kernels(shared_bytes=most - STATIC_SHARED if block else 0)
        self.cluster = self._cluster_size(gpu.processors) if block and gpu.clusters else 1
        self._holders = min(worlds, max(1, gpu.processors * options.blocks_per_sm // self.cluster))
        nodes = int(np.prod(domain.nodes))
        spare = min(max(nodes - self._shared_nodes, 1), options.spare_nodes) if block else nodes
        holders = self._holders if block else worlds
        self._tensors = {
            "state": self._empty((worlds, STATE_SIZE, self._stride), torch.float32),
            "active": self._empty((worlds, self._stride), torch.uint8),
            "entity": self._empty((self._stride,), torch.int32, -1),
            "rows": self._empty((worlds, rows.shape[-2], ROW_SIZE), torch.float32),
            "units": self._empty((worlds, UNITS_SIZE), torch.float32),
            "schedule": self._empty((worlds, actions, ACTION_SIZE), torch.float64),
            "slots": self._empty((worlds, actions, 8), torch.float32),
            "counts": self._empty((worlds, 4), torch.int32),
            "windows": self._empty((worlds, 3, 8), torch.int32),
            "grid": self._empty((holders, 2, spare, 4), torch.int32),
            "status": self._empty((worlds,), torch.int32),
            "time": self._empty((1,), torch.int32),
            "body_rows": self._empty((worlds, self.bodies, BODY_SIZE), torch.float64),
            "tool_rows": self._empty((worlds, tools, TOOL_SIZE), torch.float64, -1),
            "key_rows": self._empty((worlds, tools, keys, KEY_SIZE), torch.float64),
            "near": self._empty((worlds, self.bodies, NEAR_BYTES), torch.uint8),
            "given": self._empty((worlds, 2, self.bodies, 6), torch.int64),
        }  # fmt: skip
        if shapes is not None:
            named: dict[str, NDArray[Any]] = {
                "shapes": shapes.rows, "samples": shapes.samples, "support": shapes.support, "rest": shapes.rest
            }  # fmt: skip
            self._tensors |= {k: self._tensor(v) for k, v in named.items()}
        self._problem = Problem.of(domain)
        numbers = {
            "worlds": worlds, "particles": self.particles, "stride": self._stride, "entities": rows.shape[-2],
            "actions": actions, "bodies": self.bodies, "tools": tools, "keys": keys,
            "shared_nodes": self._shared_nodes, "spare_nodes": spare,
        }  # fmt: skip
        for name, value in (numbers | {k: t.data_ptr() for k, t in self._tensors.items()}).items():
            setattr(self._problem, name, value)
        self._graphs: dict[int, Callable[[], None]] = {}
        self.set_constants(rows, friction)

    def _load_kernels(self, *, shared_bytes: int) -> None:
        self._module = self._gpu.module(kernel_source(self.options))
        block = self.method == "block"
        clusters = block and self._gpu.clusters
        names = ["advance_worlds"] if block else GRID_KERNELS
        self._kernels = {
            n: self._module.function(n, shared_bytes=shared_bytes, clusters=clusters) for n in names
        }

    def memory_bytes(self) -> int:
        """Device memory of all worlds together."""
        return sum(t.numel() * t.element_size() for t in self._tensors.values())

    def set_constants(self, rows: F32, friction: float | F32) -> None:
        """Put constants (E, ROW_SIZE) or (W, E, ROW_SIZE) and the floor's friction, one or (W,), in force."""
        rows = np.broadcast_to(np.asarray(rows, np.float32), (self.worlds, *rows.shape[-2:]))
        table, exact = units(rows, friction, self.domain, self._unit_options)
        self._put("rows", exact)
        self._put("units", table)

    def set_actions(self, tables: F64 | Sequence[F64]) -> None:
        """Tables of actions as from `tables.schedule`: one for all worlds, or a list of W; they may be shorter."""
        many = [tables] * self.worlds if isinstance(tables, np.ndarray) and tables.ndim == 2 else tables
        out = np.zeros((self.worlds, self._actions, ACTION_SIZE))
        for row, table in zip(out, many, strict=True):
            row[: len(table)] = table
        self._put("schedule", out)

    def set_tools(self, rows: F64, poses: F64) -> None:
        """Tools' paths (W, tools, TOOL_SIZE) and (W, tools, keys, KEY_SIZE), as from `bodies.tool_rows`."""
        self._put("tool_rows", rows)
        self._put("key_rows", poses)

    def set_body_friction(self, body: int, friction: float) -> None:
        """Coulomb's coefficient between deformables and that body, in all worlds."""
        self._tensors["shapes"][body, FRICTION] = friction

    def reset(self, state: dict[str, NDArray[Any]], bodies: F64 | None = None) -> None:
        """Put a state in place, arrays under the names of `Particles` of shape (J, ...) or (W, J, ...); time is 0.

        Actions keep their tables; masses that pushes had found are forgotten, and where tools began.

        Args:
            bodies: states of the rigid ones (B, BODY_SIZE) or (W, B, BODY_SIZE), as from `bodies.body_rows`.
        """
        self._arrange(state["positions"])
        entity = np.full(self._stride, -1, np.int32)
        entity[: self.particles] = self._entity[self._order]
        self._put("entity", entity)
        for name, (first, shape) in STATE.items():
            values = np.asarray(state[name], np.float32)
            columns = values.reshape(*values.shape[: values.ndim - len(shape)], -1)[..., self._order, :]
            part = np.swapaxes(columns, -1, -2)
            self._tensors["state"][:, first : first + part.shape[-2], : self.particles] = self._tensor(part)
        active = np.asarray(state["active"]) > 0
        self._tensors["active"][:, : self.particles] = self._tensor(active[..., self._order].astype(np.uint8))
        self._tensors["status"].zero_()
        self._tensors["time"].zero_()
        self._tensors["schedule"][:, :, 13] = 0.0
        self._tensors["tool_rows"][:, :, 5] = 0.0
        if bodies is not None:
            self._put("body_rows", np.broadcast_to(bodies, (self.worlds, self.bodies, BODY_SIZE)))

    def advance(self, steps: int) -> None:
        """Take `steps` steps of `domain.substeps` substeps; returns at once, the GPU works on."""
        if steps <= 0 or not (self.particles or self.bodies):
            return
        if self.method == "block":
            self._launch(
                "advance_worlds", (self._holders * self.cluster, 1), self._block_threads(), ctypes.c_int(steps),
                cluster=self.cluster,
            )  # fmt: skip
        else:
            if steps not in self._graphs:
                self._graphs[steps] = self._gpu.captured(lambda: self._queue_steps(steps))
            self._graphs[steps]()
        self._tensors["time"] += steps

    def read(self) -> dict[str, torch.Tensor]:
        """The whole state of all worlds on the GPU, copies: positions (W, J, 3) and so on, as in `Particles`."""
        out = {}
        for name, (first, shape) in STATE.items():
            part = self._tensors["state"][:, first : first + int(np.prod(shape)), : self.particles]
            out[name] = part[:, :, self._back].swapaxes(1, 2).reshape(self.worlds, self.particles, *shape).clone()
        out["active"] = self._tensors["active"][:, : self.particles][:, self._back].clone()
        return out

    def fetch(self, names: Sequence[str] = (), *, world: int = -1) -> dict[str, NDArray[Any]]:
        """What `read` reads, on the host, in one transfer; the arrays are views of one. Waits for the GPU.

        Args:
            names: of what; empty: the whole.
            world: that one alone; -1: all.
        """
        rows = MOTION_SIZE if names and set(names) <= set(MOTION) else STATE_SIZE
        which = slice(world, world + 1) if world >= 0 else slice(None)
        part = self._tensors["state"][which, :rows, : self.particles].index_select(2, self._back)
        values = part.swapaxes(1, 2).contiguous().cpu().numpy()
        out = {
            name: values[..., first : first + int(np.prod(shape))].reshape(*values.shape[:2], *shape)
            for name, (first, shape) in STATE.items()
            if (not names or name in names)
        }
        if not names or "active" in names:
            out["active"] = self._tensors["active"][which, : self.particles].index_select(1, self._back).cpu().numpy()
        return out

    def extremes(self) -> tuple[F32, F32]:
        """The lowest and the highest coordinates [m] of particles in each world (W, 3); not a number where one is."""
        x = self._tensors["state"][:, :3, : self.particles]
        return x.amin(2).cpu().numpy(), x.amax(2).cpu().numpy()

    def read_bodies(self) -> NDArray[np.float64]:
        """States of the rigid bodies in all worlds (W, B, BODY_SIZE). Waits for the GPU."""
        return self._tensors["body_rows"].cpu().numpy().copy()

    def status(self) -> NDArray[np.int32]:
        """What went wrong in each world (W,): 0, or a sum of UNSTABLE, SPREAD and EMPTY_PUSH. Waits for the GPU."""
        return self._tensors["status"].cpu().numpy()

    def _queue_steps(self, steps: int) -> None:
        for step in range(steps):
            self._queue_step(step)

    def _queue_step(self, step: int) -> None:
        options, worlds, last = self.options, self.worlds, self.domain.substeps - 1
        blocks = (-(-self.particles // options.particle_threads), worlds)
        # Two nodes a particle are plenty for a lump; a spread-out world's threads take several nodes each.
        node_blocks = (-(-self.particles // options.node_threads), worlds)
        self._launch("begin", (worlds, 1), 512, ctypes.c_int(step))
        self._queue_bodies(0)
        self._launch("scatter_first", blocks, options.particle_threads, ctypes.c_int(0))
        for n in range(last + 1):
            self._launch("nodes", node_blocks, options.node_threads, ctypes.c_int(n))
            self._queue_bodies(n + 1)
            kernel = "exchange" if n < last else "gather_last"
            self._launch(kernel, blocks, options.particle_threads, ctypes.c_int(n))

    def _queue_bodies(self, substep: int) -> None:
        if self.bodies:
            self._launch("bodies", (self.worlds, 1), 32, ctypes.c_int(substep))

    def _launch(
        self, kernel: str, grid: tuple[int, int], block: int, argument: ctypes.c_int, *, cluster: int = 1
    ) -> None:
        self._module.launch(
            self._kernels[kernel], grid=grid, block=block, arguments=[self._problem, argument],
            stream=self._gpu.stream(), shared_bytes=self._shared_bytes, cluster=cluster,
        )  # fmt: skip

    def _choose(self) -> Method:
        large = self.particles > self.options.most_block_particles
        few = not self._gpu.clusters and self.worlds < self.options.block_from_worlds
        return "grid" if large or few else "block"

    def _block_threads(self) -> int:
        """One for each particle of a block, within bounds: idle threads only make its barriers longer."""
        options = self.options
        share = -(-self.particles // self.cluster) + (WARP if self.bodies else 0)  # a warp moves the bodies meanwhile
        return min(options.block_threads, max(options.least_block_threads, -(-share // WARP) * WARP))

    def _cluster_size(self, processors: int) -> int:
        size = self.options.largest_cluster
        while size > 1 and (
            size * self.worlds > processors
            or not self._module.resident_clusters(
                self._kernels["advance_worlds"], block=self.options.block_threads, shared_bytes=self._shared_bytes,
                cluster=size,
            )
        ):  # fmt: skip
            size //= 2
        return size

    def _arrange(self, positions: NDArray[Any]) -> None:
        if self.options.order == "shuffled":
            self._order = np.random.default_rng(0).permutation(self.particles)
        elif self.options.order == "cells":
            first = np.asarray(positions).reshape(-1, self.particles, 3)[0]
            x, y, z = np.floor(first / self.domain.cell_m - 0.5).T
            self._order = np.lexsort((z, y, x))

        self._back = self._tensor(np.argsort(self._order))

    def _empty(self, shape: tuple[int, ...], kind: torch.dtype, fill: float = 0) -> torch.Tensor:
        import torch

        return torch.full(shape, fill, dtype=kind, device=self._device)

    def _tensor(self, values: NDArray[Any]) -> torch.Tensor:
        import torch

        return torch.tensor(np.ascontiguousarray(values), device=self._device)

    def _put(self, name: str, values: NDArray[Any]) -> None:
        self._tensors[name].copy_(self._tensor(values))
