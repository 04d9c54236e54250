"""`pw studio`: a scene in the browser."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from pw_core.cli.common import DEFAULT_STORE, DeviceOption, StoreOption, errors, interrupts, open_world
from pw_core.cli.output import report


def studio(
    scene: Annotated[str, typer.Argument(help="Id of a reconstructed scene.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the page.")] = 8080,
    host: Annotated[
        str, typer.Option(help="What others may reach the page by, e.g. 0.0.0.0; a token is asked for then.")
    ] = "127.0.0.1",
    token: Annotated[
        str, typer.Option(envvar="PW_STUDIO_TOKEN", help="What is asked for; empty: a new one where one is needed.")
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Look at a scene in the browser, orbit it, play its trajectories, push it and see what happens, plan and refine.
    Ctrl-C ends it."""
    with errors():
        from pw_core.studio import Studio

        made = Studio(open_world(store, device, scene, writes=True), host=host, port=port, token=token)
        report(address=made.address)
        typer.echo(f"{made.address}\nCtrl-C ends it", err=True)
        with interrupts() as told:
            while not told.pressed:
                time.sleep(0.2)
            if left := made.close():
                typer.echo(f"'{left}' has not ended yet: it goes with this process", err=True)
