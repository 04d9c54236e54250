"""A state's file: safetensors with arrays by dotted names, all that is no array in the metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pw_core.scene import AppearanceParameters, Body, Particles, PhysicsState, State
from pw_core.store.arrays import contiguous, part
from pw_core.store.checksums import SUM, sum_of


def state_bytes(state: State) -> bytes:
    """What the file holds."""
    from safetensors.numpy import save

    arrays = {f"particles.{k}": v for k, v in state.physics.particles.arrays().items()}
    for name, body in state.physics.bodies.items():
        arrays |= {f"body.{name}.{k}": np.asarray(v, np.float64) for k, v in asdict(body).items()}
    meta = {
        "id": state.id, "parent": state.parent, "time_s": repr(state.time_s), "trajectory_id": state.trajectory_id,
        "created": repr(state.created), "label": state.label,
        "parameters": json.dumps(state.parameters), "figures": json.dumps(state.figures),
    }  # fmt: skip
    if state.appearance is not None:
        arrays |= {f"look.{k}": v for k, v in state.appearance.arrays().items()}
    arrays |= {f"view.{name}": picture for name, picture in state.views.items()}
    arrays = contiguous(arrays)
    return save(arrays, metadata=meta | {SUM: sum_of(arrays, meta)})


def read_state(path: Path) -> State:
    """What `state_bytes` made; whatever is wrong with the file raises its own error.

    Raises:
        ValueError: it is not what was written; files of older versions have no checksum to tell by.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (safe_open is no mapping)
        meta = file.metadata()
    if SUM in meta and sum_of(arrays, meta) != meta[SUM]:
        raise ValueError(f"its checksum differs from what was written; `pw check {path.parents[2]}` says more")
    names = sorted({key.split(".")[1] for key in arrays if key.startswith("body.")})
    bodies = {name: Body(**part(arrays, f"body.{name}")) for name in names}
    return State(
        id=meta["id"], parent=meta["parent"], time_s=float(meta["time_s"]),
        physics=PhysicsState(Particles(**part(arrays, "particles")), bodies),
        trajectory_id=meta["trajectory_id"], created=float(meta["created"]), label=meta["label"],
        appearance=AppearanceParameters(**part(arrays, "look")) if "look.raw" in arrays else None,
        parameters=json.loads(meta.get("parameters", "{}")), figures=json.loads(meta.get("figures", "{}")),
        views={k.removeprefix("view."): v for k, v in arrays.items() if k.startswith("view.")},
    )  # fmt: skip
