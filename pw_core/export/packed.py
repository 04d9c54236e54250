"""Gaussians in the files of other tools: read, and written packed.

PLY files in the layout of 3D Gaussian splatting are read as they are; SuperSplat's compressed PLY, SPZ, SOG, .splat and
.ksplat through gaussforge, which turns them into that layout.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pw_core.errors import ErrorCode, SceneError
from pw_core.export.content import Content
from pw_core.gaussians import Gaussians
from pw_core.render.ply import read_ply, write_ply

PACKED = (".splat", ".ksplat", ".spz", ".sog")
COMPRESSED_PLY = ".compressed.ply"
_HEAD = 4096  # bytes of a PLY in which its header says that it is packed


def write_packed(content: Content, path: Path) -> None:
    """The only instant of `content`; the ending of `path` says how. The order of the Gaussians is the format's."""
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.ply"
        write_ply(plain, next(content.frames()).all)
        path.write_bytes(_converted(plain.read_bytes(), "ply", _kind(path), path))


def read_splats(path: Path | str) -> Gaussians:
    """Gaussians as another tool left them, in its axes and units.

    Raises:
        SceneError (STORE_FAILED): no such file, not a format that is known, or one that needs gaussforge, which is not
            installed.
    """
    path = Path(path)
    kind = _kind(path)
    if kind not in ("ply", "compressed.ply", *(p[1:] for p in PACKED)):
        known = ", ".join((".ply", COMPRESSED_PLY, *PACKED))
        raise _failed(f"{path}: expected Gaussians as {known}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _failed(f"{path} cannot be read: {error}") from None
    if kind == "ply" and b"packed_position" in data[:_HEAD]:
        kind = "compressed.ply"
    if kind == "ply":
        return read_ply(path)
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.ply"
        plain.write_bytes(_converted(data, kind, "ply", path))
        return read_ply(plain)


def _kind(path: Path) -> str:
    """What gaussforge calls it."""
    return "compressed.ply" if path.name.lower().endswith(COMPRESSED_PLY) else path.suffix.lower()[1:]


def _converted(data: bytes, kind: str, wanted: str, path: Path) -> bytes:
    try:
        import gaussforge
    except ModuleNotFoundError:
        packed = kind if wanted == "ply" else wanted
        raise _failed(
            f"{path}: packed Gaussians ({packed}) need the package gaussforge: pip install 'gaussforge', or "
            "perpetual-wonder[exports]"
        ) from None
    made: dict[str, Any] = gaussforge.GaussForge().convert(data, kind, wanted)
    if made.get("error") or not made.get("data"):
        raise _failed(f"{path}: not readable as {kind}: {made.get('error') or 'nothing is in it'}")
    return bytes(made["data"])


def _failed(text: str) -> SceneError:
    return SceneError(text, code=ErrorCode.STORE_FAILED)
