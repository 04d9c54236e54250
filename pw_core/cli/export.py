"""`pw export`: scenes and trajectories for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pw_core.cli.common import DEFAULT_STORE, StoreOption, errors, open_world, progress_bar
from pw_core.cli.output import report


def export(
    what: Annotated[
        str, typer.Argument(metavar="SCENE[/TRAJECTORY]", help="Id; as TRAJECTORY `last`: the last committed.")
    ],
    to: Annotated[
        Path,
        typer.Option(
            help="File to write: .ply .glb .usd .mcap .rrd, of trajectories .npz .parquet too; without an ending a "
            "folder of PLY files."
        ),
    ],
    state: Annotated[str, typer.Option(help="Of the scene; empty: the head.")] = "",
    time: Annotated[float | None, typer.Option(help="Of the trajectory [s]: that instant alone.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a scene, or a trajectory, for Foxglove, Rerun, Isaac Sim, splat viewers and others."""
    with errors():
        scene, _, trajectory = what.partition("/")
        world = open_world(store, "cpu", scene)
        chosen = None if not trajectory else "" if trajectory == "last" else trajectory
        with progress_bar(what) as progress:
            path = world.export(to, trajectory=chosen, state=state, time_s=time, progress=progress)
        size = sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size
        report(path=path, bytes=size)
        typer.echo(f"{path}: {size / 1e6:.1f} MB")
