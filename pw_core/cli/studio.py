"""`pw studio`: a scene in the browser."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from pw_core.cli.common import DEFAULT_STORE, DeviceOption, StoreOption, errors, interrupts, open_world


def studio(
    scene: Annotated[str, typer.Argument(help="Id of a reconstructed scene.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine alone.")] = 8080,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Look at a scene in the browser, orbit it, play its trajectories, push it and see what happens. Ctrl-C ends it."""
    with errors():
        from pw_core.studio import Studio

        made = Studio(open_world(store, device, scene, writes=True), port=port)
        typer.echo(f"{made.address}; Ctrl-C ends it", err=True)
        with interrupts() as told:
            while not told.pressed:
                time.sleep(0.2)
        made.close()
