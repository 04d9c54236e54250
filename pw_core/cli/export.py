"""`pw export`, `pw background`: scenes and trajectories for other programs, and Gaussians of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pw_core.cli.common import DEFAULT_STORE, ReplaceOption, StoreOption, errors, may_replace, open_world
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
        path = world.export(to, trajectory=chosen, state=state, time_s=time)
        size = sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size
        report(path=path, bytes=size)
        typer.echo(f"{path}: {size / 1e6:.1f} MB")


def background(
    scene: Annotated[str, typer.Argument(help="Id of a reconstructed scene.")],
    splats: Annotated[
        Path, typer.Argument(help="Gaussians: .ply (also SuperSplat's packed one) .spz .sog .splat .ksplat.")
    ],
    new: Annotated[str, typer.Option("--as", help="Id of the scene to make.")],
    at: Annotated[tuple[float, float, float], typer.Option(help="Where their origin is put [m].")] = (0, 0, 0),
    turn: Annotated[tuple[float, float, float], typer.Option(help="About x, then y, then z [degrees].")] = (0, 0, 0),
    scale: Annotated[float, typer.Option(min=1e-6, help="Metres in one of their units.")] = 1.0,
    beside: Annotated[bool, typer.Option("--beside", help="The scene's own background stays too.")] = False,
    replace: ReplaceOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Put a scene before another background, such as a scan of the room made with another tool."""
    with errors():
        import numpy as np
        from scipy.spatial.transform import Rotation

        from pw_core.export.packed import read_splats

        world = open_world(store, "cpu", scene, writes=True)
        moved = read_splats(splats).moved(
            Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), np.array(at), scale=scale
        )
        replace = may_replace(world, new, replace)
        made = world.with_background(moved, new, beside=beside, replace=replace)
        report(scene=made.id, gaussians=len(moved))
        typer.echo(f"scene '{made.id}' in {store / made.id}, before {len(moved)} Gaussians of {splats}")
