"""The `pw` command. It imports nothing heavy before it is told what to do."""

from __future__ import annotations

import warnings
from typing import Any

import typer

from pw_core.cli.doctor import doctor
from pw_core.cli.export import export
from pw_core.cli.inspect import inspect
from pw_core.cli.new import new
from pw_core.cli.output import with_json
from pw_core.cli.refine import refine
from pw_core.cli.run import run
from pw_core.cli.scenes import reconstruct, rollout, view
from pw_core.cli.splats import background, entity
from pw_core.cli.store import check, purge_scene, restore_scene, scenes
from pw_core.cli.studio import studio

app = typer.Typer(
    help="A predictive world for robot planners: a photo in, what-if physics and rendered views out.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
_making = (new, inspect, reconstruct, rollout, refine, run, view, studio, export, background, entity)
_keeping = (scenes, check, restore_scene, purge_scene, doctor)
for _command in (*_making, *_keeping):
    app.command()(with_json(_command))


def main() -> None:
    """Entry point of the `pw` script."""
    usual = warnings.formatwarning

    def told(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
        """What is for the user, without the line of code that says it."""
        return f"warning: {message}\n" if category is UserWarning else usual(message, category, *where, **more)

    warnings.formatwarning = told
    app()
