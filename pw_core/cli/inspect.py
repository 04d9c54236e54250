"""`pw inspect`: what is in a folder, a film or a photo, and what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pw_core.cli.common import errors, progress_bar
from pw_core.cli.output import report

if TYPE_CHECKING:
    from pw_core.reconstruct import Inputs, ViewInput


def inspect(
    path: Annotated[
        Path, typer.Argument(help="A folder of pictures (of this project or another tool), a film, or a photo.")
    ],
    depth_scale: Annotated[float, typer.Option(help="[m] of a unit of depth pictures; 0: as usual.")] = 0.0,
    max_frames: Annotated[int, typer.Option(help="Taken from a film or a sequence.")] = 40,
) -> None:
    """Read pictures as `pw reconstruct --views` does, and tell what each file is used for, or why it is not."""
    with errors():
        from pw_core.reconstruct import Inputs
        from pw_core.reconstruct.inputs import check

        with progress_bar("inspect") as progress:
            found = Inputs.load(path, max_frames=max_frames, depth_scale=depth_scale, progress=progress)
            progress("done", 1.0)
        files = [{"name": f.name, "use": f.use, "why": f.reason} for f in found.files]
        report(layout=found.layout, route=found.route, metric=found.metric, pictures=len(found.views), files=files,
               notes=list(found.notes))  # fmt: skip
        _tell(found)
        check(found)


def _tell(found: Inputs) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else 160)
    layout = f"{found.layout}: " if found.layout else ""
    unit = "" if found.metric else "; the unit of its poses is not known to be the metre"
    console.print(f"{layout}{len(found.views)} pictures, taken as: {found.route}{unit}", highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("file", "used for", "size [px]", "focal [px]", "depth [m]", "seen", "why not, or what was done"):
        table.add_column(name, overflow="fold")
    views = {v.name: v for v in found.views}
    for file in found.files:
        view = views.get(Path(file.name).name) if file.use == "picture" else None
        table.add_row(file.name, file.use or "[yellow]not used[/]", *_numbers(view), file.reason)
    console.print(table)
    for note in found.notes:
        console.print(f"note: {note}", highlight=False)


def _numbers(view: ViewInput | None) -> tuple[str, str, str, str]:
    """Of a picture: its size, focal length, depth from nearest to farthest, how much of it was seen."""
    if view is None:
        return "", "", "", ""
    focal = view.focal_px if view.K is None else float(view.K[0, 0])
    pose = "" if view.viewmat is None else ", posed"
    deep = "" if view.depth is None else view.depth[view.depth > 0]
    return (
        f"{view.image.shape[1]} x {view.image.shape[0]}", (f"{focal:.1f}" if focal else "not known") + pose,
        "" if isinstance(deep, str) else f"{deep.min():.3f} to {deep.max():.3f}",
        "all" if view.valid is None else f"{100 * view.valid.mean():.1f} %",
    )  # fmt: skip
