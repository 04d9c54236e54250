"""Genesis as an engine, and all that touches its own objects: start it, build a scene, move arrays in and out."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pw_core.errors import RolloutError
from pw_core.gaussians import F32, F64
from pw_core.kernels import denormals
from pw_core.scene import Body, Entity, Scene
from pw_core.simulate.actions import Active
from pw_core.simulate.engine import COUPLING_CELLS, HELD_ARMATURE, Diverged
from pw_core.simulate.fast.particles import held_nodes
from pw_core.simulate.field import SlotField
from pw_core.simulate.materials import MaterialTable, volume_share
from pw_core.simulate.meshes import collision_mesh
from pw_core.simulate.rotations import rotation
from pw_core.simulate.settings import SimulationSettings

_NAMES = {"positions": "pos", "velocities": "vel", "C": "C", "F": "F", "Jp": "Jp", "active": "active"}
_SHAPES: dict[str, tuple[int, ...]] = {"pos": (3,), "vel": (3,), "C": (3, 3), "F": (3, 3), "Jp": (), "actu": ()}
FLOOR = 0
"""Index of the table's geometry in the simulator: it is added first."""
_started: str | None = None


def start(device: str) -> None:
    """Start Genesis, once in a process.

    Raises:
        RolloutError: it already runs on another device, or there is no such device.
    """
    global _started
    if _started == device:
        return
    if _started is not None:
        raise RolloutError(f"the simulator of this process runs on '{_started}': use a new process for '{device}'")
    if device not in ("cpu", "cuda"):
        raise RolloutError(f"unknown device '{device}' for the simulator: use 'cpu' or 'cuda'")
    import genesis as gs

    # One thread on the CPU: sums over the grid then always run in the same order, so replays are bit-identical.
    if device == "cpu":
        os.environ.setdefault("QD_NUM_THREADS", "1")
    # It has this thread, and those that come from it, take denormal results for zero: what else the process computes
    # would have other bits from then on.
    with denormals.kept():
        gs.init(backend=gs.cpu if device == "cpu" else gs.cuda, precision="32", logging_level="error", seed=0)
    _started = device


def build_scene(
    scene: Scene, settings: SimulationSettings, force_field: Any, materials: MaterialTable
) -> tuple[Any, Any, dict[str, Any]]:
    """Genesis's scene, its MPM solver, and its rigid entities by name. Gravity is a row of the force field's table."""
    import genesis as gs

    world = gs.Scene(
        sim_options=gs.options.SimOptions(dt=settings.step_s, substeps=settings.substeps, gravity=(0.0, 0.0, 0.0)),
        mpm_options=gs.options.MPMOptions(
            lower_bound=tuple(settings.lower), upper_bound=tuple(settings.upper), grid_density=settings.grid_density,
            particle_size=settings.particle_size_m, enable_CPIC=False,
        ),
        # Genesis's rigid contact takes two minutes to compile; the few contacts here are ours (bodies.py).
        rigid_options=gs.options.RigidOptions(enable_collision=False, disable_constraint=True),
        show_viewer=False, show_FPS=False,
    )  # fmt: skip
    if scene.config.has_table:
        floor = gs.materials.Rigid(
            needs_coup=True, coup_friction=scene.config.simulation.floor_friction, coup_softness=0.0,
            coup_restitution=0.0,
        )  # fmt: skip
        world.add_entity(morph=gs.morphs.Plane(), material=floor)
    for row, entity in enumerate(e for e in scene.entities if e.kind == "deformable"):
        density = entity.material.density_kg_m3 * volume_share(entity, settings.particle_size_m)
        # "Nowhere" takes any number of particles; where they are is written with the state.
        world.add_entity(
            morph=gs.morphs.Nowhere(n_particles=entity.particles.stop - entity.particles.start),
            material=materials.material(row, entity.material.model, density=density),
        )
    links = {e.name: _add_rigid(world, e, settings) for e in scene.entities if e.kind != "deformable"}
    world.add_force_field(force_field)
    world.build()
    return world, world.sim.mpm_solver, links


def _add_rigid(world: Any, entity: Entity, settings: SimulationSettings) -> Any:
    import genesis as gs

    mesh = collision_mesh(entity)
    material = gs.materials.Rigid(
        rho=entity.mass_kg / max(abs(float(mesh.volume)), 1e-9), needs_coup=True, gravity_compensation=0.0,
        coup_friction=entity.material.friction, coup_softness=COUPLING_CELLS * settings.cell_m, coup_restitution=0.0,
    )  # fmt: skip
    path = Path(tempfile.mkdtemp(prefix="pw_")) / "body.obj"
    mesh.export(path)
    return world.add_entity(
        morph=gs.morphs.Mesh(
            file=str(path), pos=tuple(entity.origin), fixed=False, convexify=False, decimate=False,
            # Left to itself Genesis turns a free body's frame onto its principal axes: poses would not be ours.
            file_meshes_are_zup=True, align=False,
        ),
        material=material,
    )  # fmt: skip


class GenesisEngine:
    """Genesis's MPM and rigid solvers, see `engine.Engine`."""

    def __init__(self, scene: Scene, settings: SimulationSettings, *, device: str) -> None:
        start(device)
        self._floor, self._dx = scene.config.has_table, settings.cell_m
        grid = (settings.lower, settings.upper, settings.cell_m, settings.substep_s)
        self._field = SlotField(held=grid if any(e.fixed != "no" for e in scene.config.entities) else None)
        self._table = MaterialTable(sum(e.kind == "deformable" for e in scene.entities))
        self._world, self._solver, handles = build_scene(scene, settings, self._field.force_field, self._table)
        self.bodies = {name: GenesisBody(handle) for name, handle in handles.items()}

    def read_particles(self) -> dict[str, NDArray[Any]]:
        """See `Engine`."""
        raw = _read(self._solver, self._world) if self._solver.is_active else {}
        return {ours: raw[theirs] for ours, theirs in _NAMES.items()} if raw else {}

    def write_particles(self, arrays: dict[str, NDArray[Any]]) -> None:
        """See `Engine`."""
        if self._solver.is_active:
            _write(self._solver, self._world, arrays)

    def write_materials(self, rows: F64) -> None:
        """See `Engine`."""
        self._table.write(rows)

    def hold(self, positions: F32) -> None:
        """See `Engine`."""
        self._field.hold(held_nodes(positions, np.float32(1 / self._dx)))

    def write_friction(self, body: str, friction: float) -> None:
        """See `Engine`."""
        if not (body or self._floor):
            return
        geom = int(self.bodies[body].entity.geoms[0].idx) if body else FLOOR
        self._world.sim.rigid_solver.dyn_info.geoms.coup_friction[geom] = friction

    def write_slots(self, active: list[Active]) -> None:
        """See `Engine`."""
        self._field.write(active)

    def step(self) -> None:
        """See `Engine`."""
        try:
            self._world.step(update_visualizer=False, refresh_visualizer=False)
        except Exception as error:
            if "nan" not in str(error).lower():
                raise
            raise Diverged(str(error)) from error


class GenesisBody:
    """A free rigid body of Genesis's, see `engine.BodyHandle`."""

    def __init__(self, entity: Any) -> None:
        self.entity = entity

    def read(self) -> Body:
        """See `BodyHandle`. Genesis's angular velocity is in the body's own frame, ours in the world's."""
        q = self.entity.get_qpos().cpu().numpy().astype(np.float64)
        v = self.entity.get_dofs_velocity().cpu().numpy().astype(np.float64)
        return Body(q[:3], q[3:], v[:3], rotation(q[3:]) @ v[3:])

    def write(self, body: Body) -> None:
        """See `BodyHandle`."""
        q = np.concatenate([body.position, body.orientation]).astype(np.float32)
        # Geometry and link velocities follow at once: the next substep must not meet the body where it was before.
        self.entity.set_qpos(q, zero_velocity=False)
        # By the quaternion as the simulator keeps it, so that a twist that was read is written back to the bit.
        spin = body.angular @ rotation(q[3:].astype(np.float64))
        self.entity.set_dofs_velocity(np.concatenate([body.linear, spin]).astype(np.float32))

    def hold(self, held: bool) -> None:
        """See `BodyHandle`."""
        self.entity.set_dofs_armature(np.full(6, HELD_ARMATURE if held else 0.0, np.float32))

    def take_coupling(self) -> tuple[F64, F64]:
        """See `BodyHandle`.

        Genesis lets them act in the substep after. Left there they would be a part of the state that no one can read.
        """
        links, link = self.entity.solver.dyn_state.links, self.entity.base_link_idx
        out = []
        for field in (links.cfrc_coupling_vel, links.cfrc_coupling_ang):
            values = field.to_numpy()
            out.append(-values[link].reshape(3).astype(np.float64))
            if out[-1].any():
                values[link] = 0
                field.from_numpy(values)
        return out[0], out[1]


def _write(solver: Any, world: Any, arrays: dict[str, NDArray[Any]]) -> None:
    import genesis as gs
    import torch

    n = solver.n_particles
    data = {theirs: torch.as_tensor(np.ascontiguousarray(arrays[ours])) for ours, theirs in _NAMES.items()}
    data["actu"] = torch.zeros(n)
    for key, value in data.items():
        kind = gs.tc_bool if key == "active" else gs.tc_float
        data[key] = value.to(dtype=kind, device=gs.device)[None].contiguous()
    solver._kernel_set_state(world.sim.cur_substep_local, *(data[k] for k in (*_SHAPES, "active")))


def _read(solver: Any, world: Any) -> dict[str, NDArray[Any]]:
    import genesis as gs
    import torch

    n = solver.n_particles
    data = {k: torch.zeros((1, n, *s), dtype=gs.tc_float, device=gs.device) for k, s in _SHAPES.items()}
    data["active"] = torch.zeros((1, n), dtype=gs.tc_bool, device=gs.device)
    solver._kernel_get_state(world.sim.cur_substep_local, *(data[k] for k in (*_SHAPES, "active")))
    return {k: v[0].cpu().numpy() for k, v in data.items()}
