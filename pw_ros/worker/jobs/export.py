"""Exports into the one folder that messages may have written to. No ROS here."""

from __future__ import annotations

from pathlib import Path

from pw_core.errors import ErrorCode, SceneError
from pw_core.export.aside import sweep
from pw_core.store.names import is_name
from pw_ros.worker.context import Context
from pw_ros.worker.protocol import Progressed
from pw_ros.worker.scene_requests import Exported, ExportRequest

EXPORTS = ".exports"
"""In the store: where exports go unless the node names another folder."""


def export(context: Context, request: ExportRequest) -> Exported:
    """See ExportRequest."""
    world, desk = context.world, context.desk
    path = _place(context, request.name)
    if request.state and request.trajectory:
        raise SceneError("give state_id or trajectory_id, not both", code=ErrorCode.UNKNOWN_STATE)
    if request.time_s is not None and not request.trajectory:
        raise SceneError("an instant is of a trajectory: name one, or 'last'", code=ErrorCode.INVALID_TIME)
    if path.exists() and not request.replace:
        raise SceneError(f"{path} is there already: name another, or let it be replaced", code=ErrorCode.STORE_FAILED)

    def progress(stage: str, fraction: float) -> None:
        desk.event(Progressed(stage, fraction))
        desk.serve()
        if desk.canceled:
            raise SceneError("canceled, nothing was written", code=ErrorCode.CANCELED)

    chosen = {"": None, "last": ""}.get(request.trajectory, request.trajectory)
    world.export(path, trajectory=chosen, state=request.state, time_s=request.time_s, progress=progress)
    files = path.rglob("*") if path.is_dir() else [path]
    return Exported(str(path), sum(f.stat().st_size for f in files))


def _place(context: Context, name: str) -> Path:
    """Where it goes: right below the folder of exports, whatever the name says."""
    if not all(is_name(part) for part in name.split(".")):
        text = "use letters, digits, '_' and '-', then the format's ending, and no folders"
        raise SceneError(f"name '{name}' is no file's: {text}", code=ErrorCode.INVALID_NAME)
    store = context.world.store.root
    if not context.export_root and not store.is_dir():  # a store that went away is not made anew
        raise SceneError(f"the store {store} is not there", code=ErrorCode.STORE_FAILED)
    return _folder(context) / name


def _folder(context: Context) -> Path:
    if context.export_root:
        return Path(context.export_root).resolve()
    return context.world.store.root.resolve() / EXPORTS


def sweep_exports(context: Context) -> None:
    """Remove what a worker that was killed while it exported has left in the folder of exports."""
    sweep(_folder(context))
