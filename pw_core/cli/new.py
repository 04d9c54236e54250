"""`pw new`: a scene file for a photo of one's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from pw_core.cli.common import errors


def new(
    photo: Annotated[Path | None, typer.Argument(help="The photo.")] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(help="NAME=MATERIAL of a thing that moves, once for each; `pw new --materials` lists them."),
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(help="left,top,right,bottom [px of the photo] of each, in the same order.")
    ] = None,
    size: Annotated[float, typer.Option(help="[m] Width of the first thing across its box: gives the metre.")] = 0.0,
    camera_height: Annotated[float, typer.Option(help="[m] Of the camera above the table, in place of --size.")] = 0.0,
    pitch: Annotated[float | None, typer.Option(help="[degrees] By which the camera looks down.")] = None,
    hfov: Annotated[float, typer.Option(help="[degrees] Across the photo; 0: from EXIF.")] = 0.0,
    edge_row: Annotated[float, typer.Option(help="[px] Row of the photo where the table ends; 0: none is seen.")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="Scene file to write; default: beside the photo.")] = None,
    materials: Annotated[bool, typer.Option("--materials", help="List the materials and end.")] = False,
) -> None:
    """Write a commented scene file that works, for `pw reconstruct`; what is guessed in it says so."""
    from pw_core.cli.presets import PRESETS

    if materials:
        for name, preset in PRESETS.items():
            typer.echo(f"{name}: {preset.source}")
        return
    if photo is None:
        raise typer.BadParameter("name a photo")
    with errors():
        from pw_core.config import SceneConfig
        from pw_core.errors import ErrorCode, SceneError
        from pw_core.files import replace_file

        text, target = _written(photo, entity or [], box or [], size, camera_height, pitch, hfov, edge_row, out)
        if target.exists():
            raise SceneError(f"{target} is there already: name another with --out", code=ErrorCode.SCENE_EXISTS)
        replace_file(target, text.encode())
        SceneConfig.load(target)  # what was written can be read
    guesses = text.count("GUESS") - 1
    typer.echo(f"{target}: {guesses} guesses in it" if guesses else f"{target}")
    typer.echo(f"next: pw reconstruct {shlex.quote(str(target))}")


def _written(
    photo: Path, entity: list[str], box: list[str], size: float, camera_height: float, pitch: float | None, hfov: float,
    edge_row: float, out: Path | None,
) -> tuple[str, Path]:  # fmt: skip
    """The file's text, and where it belongs.

    Raises:
        ReconstructError (INVALID_IMAGE), SceneError (INVALID_CONFIG).
    """
    import math
    import os

    from pw_core.cli.new_scene import Known, boxes, scene_text, solve
    from pw_core.cli.presets import PRESETS
    from pw_core.errors import ErrorCode, ReconstructError, SceneError
    from pw_core.media.errors import MediaError
    from pw_core.media.pictures import read_picture

    try:
        picture = read_picture(photo)
    except MediaError as error:
        raise ReconstructError(str(error), code=ErrorCode.INVALID_IMAGE) from None
    height, width = picture.rgb.shape[:2]
    focal = width / 2 / math.tan(math.radians(hfov) / 2) if 0 < hfov < 180 else picture.focal_px
    try:
        pairs = [text.partition("=")[::2] for text in entity] or [("thing", "clay")]
        unknown = [m for _, m in pairs if m not in PRESETS]
        if unknown:
            raise ValueError(f"material '{unknown[0]}' is none of {', '.join(PRESETS)}")
        given = boxes(box)
        if len(given) > len(pairs):
            raise ValueError(f"{len(given)} boxes for {len(pairs)} entities: name each with --entity NAME=MATERIAL")
        rows = tuple((n, m, given[i] if i < len(given) else None) for i, (n, m) in enumerate(pairs))
        known = Known(width=width, height=height, focal_px=focal, pitch_deg=pitch, height_m=camera_height, size_m=size,
                      edge_row=edge_row, entities=rows, hfov_given=hfov > 0)  # fmt: skip
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", photo.stem).strip("_-") or "scene"
        target = out or photo.with_name(f"{name}.yaml")
        shown = Path(os.path.relpath(photo.resolve(), target.resolve().parent))
        return scene_text(name, shown, known, solve(known)), target
    except ValueError as error:
        raise SceneError(str(error), code=ErrorCode.INVALID_CONFIG) from None
