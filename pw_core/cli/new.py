"""`pw new`: a scene file for a photo of one's own, written at once or drawn in the browser."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pw_core.cli.common import DEFAULT_STORE, DeviceOption, StoreOption, errors, interrupts, on_terminal
from pw_core.cli.output import report

if TYPE_CHECKING:
    from pw_core.cli.own.camera import Thing

Ground = Literal["table", "none"]


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
    pitch: Annotated[
        float | None, typer.Option(help="[degrees] By which the camera looks down; not given: from the picture.")
    ] = None,
    hfov: Annotated[float, typer.Option(help="[degrees] Across the photo; 0: from EXIF.")] = 0.0,
    edge_row: Annotated[
        float, typer.Option(help="[px] Row of the photo where the table ends; 0: as the picture seems to show.")
    ] = 0.0,
    ground: Annotated[
        Ground, typer.Option(help="none: the things hang or are mounted; --size then gives how far away they are.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Scene file to write; default: beside the photo.")] = None,
    materials: Annotated[bool, typer.Option("--materials", help="List the materials and end.")] = False,
    browse: Annotated[
        bool | None,
        typer.Option("--browse/--no-browse", help="Draw it in the browser; default: where there is one, with no box."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: one that is free.")] = 0,
    host: Annotated[str, typer.Option(help="Address the page is served at; others than this machine's too.")] = "",
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Write a commented scene file that works, for `pw reconstruct`; what is guessed in it says so."""
    from pw_core.cli.own.presets import PRESETS

    if materials:
        report(materials={name: preset.source for name, preset in PRESETS.items()})
        for name, preset in PRESETS.items():
            typer.echo(f"{name}: {preset.source}")
        return
    if browse is None:
        browse = photo is not None and not (box or entity or ground == "none") and on_terminal() and _has_browser()
    if browse and ground == "none":
        raise typer.BadParameter("the page draws things on a table: give --entity and --box in place of --browse")
    if browse:
        with errors():
            _serve(photo, out, store, device, host, port)
        return
    if photo is None:
        raise typer.BadParameter("name a photo")
    with errors():
        from pw_core.cli.own.known import OwnPhoto, known_of, write, written
        from pw_core.errors import ErrorCode, SceneError

        seen = OwnPhoto.read(photo)
        try:
            things = _things(entity or [], box or [])
            known = known_of(seen, things, hfov_deg=hfov, pitch_deg=pitch, height_m=camera_height, size_m=size,
                             edge_row=edge_row, table=ground == "table")  # fmt: skip
        except ValueError as error:
            raise SceneError(str(error), code=ErrorCode.INVALID_CONFIG) from None
        target = out or photo.with_name(f"{seen.name}.yaml")
        text = written(seen, known, target)
        write(text, target)
    for note in seen.picture.notes:
        typer.echo(f"note: {photo}: {note}", err=True)
    doubts = seen.leaning(things) if ground == "table" else []
    for doubt in doubts:
        typer.secho(f"doubtful: {doubt}", fg="yellow", err=True)
    guesses = text.count("GUESS") - 1
    report(file=target, guesses=guesses, notes=list(seen.picture.notes), doubts=doubts)
    typer.echo(f"{target}: {guesses} guesses in it" if guesses else f"{target}")
    typer.echo(f"next: pw reconstruct {shlex.quote(str(target))}")


def _things(entity: list[str], box: list[str]) -> tuple[Thing, ...]:
    """Of the command line's words.

    Raises:
        ValueError: a box that is none, or more boxes than things.
    """
    from pw_core.cli.own.camera import Thing, boxes

    pairs = [text.partition("=")[::2] for text in entity] or [("thing", "clay")]
    given = boxes(box)
    if len(given) > len(pairs):
        raise ValueError(f"{len(given)} boxes for {len(pairs)} entities: name each with --entity NAME=MATERIAL")
    return tuple(Thing(name=n, material=m, box=given[i] if i < len(given) else None) for i, (n, m) in enumerate(pairs))


def _has_browser() -> bool:
    """Whether a browser with a window can be opened here."""
    import os
    import sys
    import webbrowser

    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _serve(photo: Path | None, out: Path | None, store: Path, device: str, host: str, port: int) -> None:
    """The page, until Ctrl-C.

    Raises:
        PWError: the photo cannot be read, the store not written to, the port not had.
    """
    import webbrowser

    from pw_core.cli.own.server import HOST, Page
    from pw_core.cli.own.session import Session

    session = Session(photo, out=out, store=store, device=device)
    page = Page(session, host=host or HOST, port=port)
    typer.echo(f"{page.address}; Ctrl-C ends it", err=True)
    if _has_browser():
        webbrowser.open(page.address)
    with interrupts() as told:
        while not told.pressed:
            time.sleep(0.2)
    page.close()
