"""`pw scenes`, `check`, `restore-scene`, `purge-scene`: what a store holds, whether it is whole, what was replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pw_core.cli.common import (
    DEFAULT_STORE,
    ReplaceOption,
    StoreOption,
    errors,
    may_replace,
    open_world,
    progress_bar,
)  # fmt: skip
from pw_core.cli.output import report


def scenes(
    store: StoreOption = DEFAULT_STORE,
    replaced: Annotated[bool, typer.Option("--replaced", help="Those whose place others took, instead.")] = False,
) -> None:
    """List the scenes of a store."""
    with errors():
        world = open_world(store, "cpu")
        if not replaced:
            listed = [entry.id for entry in world.scenes()]
            report(scenes=listed)
            for scene_id in listed:
                typer.echo(scene_id)
            return
        report(replaced=[{"id": r.id, "states": r.states, "bytes": r.size} for r in world.replaced()])
        for each in world.replaced():
            states = f"{each.states} state{'s' * (each.states != 1)}"
            typer.echo(f"{each.id}  {states}, {each.size / 1e6:.1f} MB")


def check(
    store: Annotated[Path, typer.Argument(help="Folder of scenes.", envvar="PW_STORE")] = DEFAULT_STORE,
    repair: Annotated[
        bool, typer.Option("--repair", help="Broken states and trajectories leave their scene, for .quarantine.")
    ] = False,
) -> None:
    """Read all that a store holds and say what is broken; the exit status is 1 if anything is."""
    with errors():
        world = open_world(store, "cpu", writes=repair)
        with progress_bar("check") as progress:
            faults = world.store.check(repair=repair, progress=progress)
        for each in faults:
            done = {"quarantine": "moved to .quarantine", "made anew": "made anew"}.get(each.remedy) if repair else None
            typer.echo(f"{each.path}: {each.what}; {done or 'remedy: ' + each.remedy}")
        scenes = world.store.scene_ids()
        typer.echo(f"{len(scenes)} scenes, {len(faults)} faults")
        report(scenes=scenes, faults=[{"path": f.path, "what": f.what, "remedy": f.remedy} for f in faults])
        if faults:
            raise typer.Exit(1)


def restore_scene(
    replaced: Annotated[str, typer.Argument(help="As `pw scenes --replaced` lists it.")],
    replace: ReplaceOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Put a scene that was replaced back in its place, with all its states."""
    with errors():
        from pw_core.store.replaced import split_id

        world = open_world(store, "cpu", writes=True)
        replace = may_replace(world, split_id(replaced)[0], replace)
        scene = world.restore_replaced(replaced, replace=replace)
        report(scene=scene.id, folder=store / scene.id, states=len(world.states()))
        typer.echo(f"scene '{scene.id}' is back in {store / scene.id}, with {len(world.states())} states")


def purge_scene(
    replaced: Annotated[list[str] | None, typer.Argument(help="As `pw scenes --replaced` lists them.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that were replaced.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remove scenes that were replaced, for good."""
    with errors():
        world = open_world(store, "cpu", writes=True)
        if bool(replaced) == all_:
            raise typer.BadParameter("name replaced scenes, or --all")
        doomed = [each.id for each in world.replaced()] if all_ else list(replaced or ())
        world.purge_replaced(*doomed)
        report(purged=doomed)
        for each in doomed:
            typer.echo(f"{each} is gone")
