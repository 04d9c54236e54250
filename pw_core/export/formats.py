"""`export`: a state or a trajectory in the formats of other programs; the ending of the name says which."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pw_core.errors import ErrorCode, SceneError
from pw_core.export.aside import folder_aside
from pw_core.export.content import Content
from pw_core.export.packed import COMPRESSED_PLY, PACKED
from pw_core.export.ply_frames import FRAMES
from pw_core.progress import Progress, no_progress

Writer = Callable[[Content, Path], None]


@dataclass(frozen=True)
class Format:
    """What writes it (module and function), what of it there is, and the package it needs."""

    where: str
    about: str
    trajectories: bool = True
    states: bool = True
    package: str = ""

    def writer(self) -> Writer:
        """The function."""
        module, _, name = self.where.partition(":")
        return getattr(import_module(module), name)


FORMATS = {
    ".ply": Format("pw_core.export.ply_frames:write_still", "Gaussians in the usual 3DGS layout", trajectories=False),
    "/": Format("pw_core.export.ply_frames:write_frames", "a folder of such PLY files, with their times"),
    ".glb": Format("pw_core.export.gltf:write_glb", "glTF with KHR_gaussian_splatting", trajectories=False),
    ".usd": Format("pw_core.export.usd:write_usd", "USD: splats, points, meshes, cameras", package="pxr"),
    ".mcap": Format(
        "pw_core.export.mcap:write_mcap", "a ROS 2 recording: Foxglove, ros2 bag play, Rerun", package="rosbags"
    ),
    ".rrd": Format("pw_core.export.rerun:write_rrd", "a recording for the Rerun viewer", package="rerun"),
    ".npz": Format("pw_core.export.trajectory:write_npz", "particles and bodies as NumPy arrays", states=False),
    ".parquet": Format("pw_core.export.trajectory:write_parquet", "a row a frame and particle", states=False),
}
FORMATS |= {".usda": FORMATS[".usd"], ".usdc": FORMATS[".usd"]}
_PACKED = Format(
    "pw_core.export.packed:write_packed", "packed Gaussians of splat viewers", trajectories=False, package="gaussforge"
)
FORMATS |= dict.fromkeys((*PACKED, COMPRESSED_PLY), _PACKED)
PACKAGES = {"pxr": "usd-core", "rosbags": "rosbags", "rerun": "rerun-sdk", "gaussforge": "gaussforge"}
"""What pip calls those packages."""


def export(content: Content, path: Path | str, *, progress: Progress = no_progress) -> Path:
    """Write `content`; the ending of `path` says how, see `FORMATS`. A name without an ending is a folder of PLY files.

    Args:
        progress: told of each frame; what it raises ends the export, of which nothing is left.

    Raises:
        SceneError (STORE_FAILED): an ending that is not known, a still format for a trajectory or the other way round,
            a package that is not installed, or a file that cannot be written.
    """
    path = Path(path)
    ending = COMPRESSED_PLY if path.name.lower().endswith(COMPRESSED_PLY) else path.suffix.lower()
    format_ = FORMATS.get(ending or "/")
    if format_ is None:
        raise _failed(f"{path}: expected a name ending in {', '.join(k for k in FORMATS if k != '/')}, or a folder's")
    moving = content.trajectory is not None
    if moving and not format_.trajectories:
        raise _failed(
            f"{path}: {path.suffix} holds one instant; say which by its time, or name a folder, for a PLY each"
        )
    if not moving and not format_.states:
        raise _failed(f"{path}: {path.suffix} holds trajectories, this is a state; name a trajectory")
    if path.is_dir() and not (path / FRAMES).is_file():
        raise _failed(f"{path}: a folder is there that no export made; name another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Aside under the same name: some libraries go by a file's ending.
        with folder_aside(path.parent) as aside:
            new = aside / path.name
            content.progress = lambda done: progress("writing", done)
            format_.writer()(content, new)
            if path.is_dir():
                shutil.rmtree(path)
            new.replace(path)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != format_.package:
            raise
        raise _failed(
            f"{path}: {path.suffix} needs the package {PACKAGES[format_.package]}: pip install "
            f"'{PACKAGES[format_.package]}', or perpetual-wonder[exports]"
        ) from None
    except (OSError, RuntimeError) as error:  # the latter of OpenUSD and Rerun, such as on a full disk
        raise _failed(f"{path} cannot be written: {_reason(error)}") from None
    return path


def _reason(error: Exception) -> str:
    """What is wrong, without the places in its sources that OpenUSD tells of first."""
    said = re.findall(r"at line \d+ in file .* : '(.*)'$", str(error), re.MULTILINE)
    return str(said[0]) if said else str(error)


def _failed(text: str) -> SceneError:
    return SceneError(text, code=ErrorCode.STORE_FAILED)
