"""What the kernels read of rigid bodies: shapes, states, tools' paths as plain arrays. They need no GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pw_core.actions import Action, Tool
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32, F64
from pw_core.scene import Body, Scene
from pw_core.simulate.bodies import contact_shape
from pw_core.simulate.engine import COUPLING_CELLS
from pw_core.simulate.fast.distance import distance_grid
from pw_core.simulate.meshes import collision_mesh
from pw_core.simulate.settings import SimulationSettings

BODY_SIZE, SHAPE_SIZE = 32, 40  # rigid.cu: BodyRow, ShapeRow
TOOL_SIZE, KEY_SIZE = 24, 8  # bodies.cu: ToolRow, KeyRow
NEAR_BYTES = 136  # rigid.cu: Near
MOST_BODIES = 8
FRICTION = 33  # rigid.cu: S_FRICTION
ORIENTATION, LINEAR, SPIN, TURN = 3, 7, 10, 20  # rigid.cu: BodyRow
REACH_SOFTNESSES = 3.0  # beyond so many e-folding lengths from its grid a body is not felt: under a tenth


@dataclass(frozen=True)
class Shapes:
    """names of the rigid entities; rows (B, SHAPE_SIZE); samples (n, 4): distance [m] and its gradient; support (m, 3)
    [m]: corners of hulls about centres; rest (r, 3) [m]: particles about centres."""

    names: tuple[str, ...]
    rows: F64
    samples: F32
    support: F64
    rest: F32


def shapes(scene: Scene, settings: SimulationSettings) -> Shapes:
    """Of the scene's rigid entities.

    Raises:
        RolloutError (INVALID_ACTION): more of them than the kernels take.
    """
    bodies = [e for e in scene.entities if e.kind != "deformable"]
    if len(bodies) > MOST_BODIES:
        raise RolloutError(
            f"the scene has {len(bodies)} rigid bodies and the CUDA engine takes {MOST_BODIES} at most: use another "
            "engine", code=ErrorCode.INVALID_ACTION,
        )  # fmt: skip
    rows = np.zeros((len(bodies), SHAPE_SIZE))
    samples, support, rest = [np.zeros((0, 4), np.float32)], [np.zeros((0, 3))], [np.zeros((0, 3), np.float32)]
    softness = COUPLING_CELLS * settings.cell_m
    for row, e in zip(rows, bodies, strict=True):
        mesh = collision_mesh(e)
        inertia = np.asarray(mesh.moment_inertia, np.float64) * (e.mass_kg / max(abs(float(mesh.volume)), 1e-12))
        grid = distance_grid(mesh.vertices, mesh.faces)
        corners, inverse = contact_shape(e)
        count = np.array(grid.distance.shape)
        far = np.maximum(np.abs(grid.lower), np.abs(grid.lower + (count - 1) * grid.cell))
        row[0], row[1:10], row[10:19], row[19] = e.mass_kg, inertia.reshape(9), inverse.reshape(9), e.kind == "tool"
        row[20:23], row[23:26], row[26:29], row[29] = grid.lower, grid.cell, count, sum(map(len, samples))
        row[30], row[31] = grid.distance.max(), np.linalg.norm(far) + REACH_SOFTNESSES * softness
        row[32], row[FRICTION] = softness, e.material.friction
        row[34:36] = sum(map(len, support)), len(corners)
        row[36:38] = sum(map(len, rest)), e.particles.stop - e.particles.start
        samples.append(np.concatenate([grid.distance.reshape(-1, 1), grid.gradient.reshape(-1, 3)], 1))
        support.append(corners)
        rest.append((scene.rest[e.particles] - e.origin).astype(np.float32))
    names = tuple(e.name for e in bodies)
    return Shapes(names, rows, np.concatenate(samples), np.concatenate(support), np.concatenate(rest))


def body_rows(bodies: Mapping[str, Body], names: Sequence[str]) -> F64:
    """States of bodies as the kernels have them (B, BODY_SIZE), let go of and under no force."""
    rows = np.zeros((len(names), BODY_SIZE))
    for row, name in zip(rows, names, strict=True):
        body = bodies[name]
        row[:13] = np.concatenate([body.position, body.orientation, body.linear, body.angular])
        row[TURN : TURN + 9] = _turned(body.orientation)
    return rows


def bodies_of(rows: NDArray[np.float64], names: Sequence[str]) -> dict[str, Body]:
    """And back, from (B, BODY_SIZE)."""
    return {
        name: Body(*(p.copy() for p in np.split(row[:13], [3, 7, 10]))) for name, row in zip(names, rows, strict=True)
    }


def _turned(q: F64) -> F64:
    w, x, y, z = q
    return np.array([
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z),
        1 - 2 * (x * x + z * z), 2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ])  # fmt: skip


def room_for(many: Sequence[Sequence[Action]]) -> tuple[int, int]:
    """How many tools a world has at most, and key poses a tool."""
    tools = [[a for a in actions if isinstance(a, Tool)] for actions in many]
    return max(map(len, tools), default=0), max((len(t.times) for row in tools for t in row), default=0)


def tool_rows(actions: Sequence[Action], names: Sequence[str], *, tools: int, keys: int) -> tuple[F64, F64]:
    """One world's tools (tools, TOOL_SIZE) and their key poses (tools, keys, KEY_SIZE)."""
    rows, poses = np.zeros((tools, TOOL_SIZE)), np.zeros((tools, keys, KEY_SIZE))
    rows[:, 0] = -1
    for row, pose, tool in zip(rows, poses, (a for a in actions if isinstance(a, Tool)), strict=False):
        row[:5] = names.index(tool.entity), tool.start, tool.end, tool.relative, len(tool.times)
        pose[: len(tool.times), 0] = tool.times
        pose[: len(tool.times), 1:4] = [p.position for p in tool.poses]
        pose[: len(tool.times), 4:8] = [p.orientation for p in tool.poses]
    return rows, poses
