"""What the commands share: options, errors as one line, a bar, Ctrl-C as a cancel."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pw_core.cli.output import report_error

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from pw_core.progress import Progress
    from pw_core.world import World

StoreOption = Annotated[Path, typer.Option("--store", help="Folder of scenes.", envvar="PW_STORE")]
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="A scene of that id may be replaced; it is kept, see `pw scenes --replaced`.")
]
DEFAULT_STORE = Path("out/store")
CANCELED = 130
"""Exit status after Ctrl-C, as shells have it."""


@contextmanager
def errors() -> Iterator[None]:
    """What the user can mend is one clear message, not a traceback."""
    from pw_core.errors import PWError

    try:
        yield
    except PWError as error:
        if not report_error(int(error.code), str(error)):
            typer.secho(f"error {int(error.code)}: {error}", fg="red", err=True)
        raise typer.Exit(1) from None


def bars(*more: Any, eta: Any) -> Bars:
    """A display with a bar and an ETA; `more`: columns before it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), *more,
        TimeElapsedColumn(), TextColumn("ETA"), eta, console=Console(stderr=True),
    )  # fmt: skip


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar with an ETA; yields the callback that moves it."""
    from rich.progress import TimeRemainingColumn

    with bars(eta=TimeRemainingColumn()) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda stage, fraction: bar.update(task, description=f"{label}: {stage}", completed=fraction)


class RefineBar:
    """A bar with loss, PSNR and the refinement's own ETA; where no terminal is, a line for each new stage."""

    def __init__(self, display: Bars, label: str) -> None:
        self._display, self._label = display, label
        self._stage = ""
        self._task = display.add_task(label, total=1.0, loss="", psnr="", eta="-")

    def show(self, stage: str, fraction: float, loss: float, psnr: float, eta_s: float) -> None:
        """loss and psnr may be NaN, which keeps what was shown."""
        fields: dict[str, str] = {"eta": f"{eta_s:.0f} s" if eta_s >= 0 else "-"}
        if loss == loss:
            fields["loss"] = f"loss {loss:.4f}"
        if psnr == psnr:
            fields["psnr"] = f"{psnr:.1f} dB"
        if stage != self._stage and not self._display.console.is_terminal:
            typer.echo(f"{self._label}: {stage}, {fraction:.0%}", err=True)
        self._stage = stage
        part = min(fraction, 0.9999)  # a bar that was full once stops its clock, and rounds fill it again and again
        self._display.update(self._task, description=f"{self._label}: {stage}", completed=part, **fields)  # type: ignore[arg-type]


@contextmanager
def refine_bar(label: str) -> Iterator[RefineBar]:
    """As `progress_bar`, for refinements."""
    from rich.progress import TextColumn

    more = (TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[psnr]}"))
    with bars(*more, eta=TextColumn("{task.fields[eta]}")) as display:
        yield RefineBar(display, label)


class Interrupt:
    """Whether Ctrl-C was pressed. A second one ends the program at once."""

    def __init__(self) -> None:
        self.pressed = False


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Within, Ctrl-C is a wish that is looked at between steps, so that what runs can end in order."""
    told = Interrupt()

    def press(*_: Any) -> None:
        if told.pressed:
            raise KeyboardInterrupt
        told.pressed = True
        typer.echo("stopping at the next step; Ctrl-C again: at once", err=True)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield told
    finally:
        signal.signal(signal.SIGINT, before)


def open_world(store: Path, device: str, scene: str = "", *, writes: bool = False) -> World:
    """The world on a store, with a scene selected unless none is named.

    Args:
        writes: the store is going to be written to: what killed writers left is removed.

    Raises:
        SceneError: UNKNOWN_SCENE; STORE_FAILED, and with `writes` before any work where it cannot be written to.
    """
    from pw_core.errors import ErrorCode, SceneError
    from pw_core.world import World

    world = World(store, device=device)
    if writes:
        if problem := world.store.problem():
            raise SceneError(problem, code=ErrorCode.STORE_FAILED)
        world.store.tidy()
    if scene:
        world.select(scene)
    return world


def on_terminal() -> bool:
    """Whether somebody is there to be asked."""
    import sys

    return sys.stdin.isatty() and sys.stdout.isatty()


def may_replace(world: World, scene_id: str, replace: bool) -> bool:
    """Whether a scene of that id may be replaced: as the option says, or as the user answers on a terminal.

    Raises:
        SceneError (SCENE_EXISTS): it is there, and nobody said so.
    """
    from pw_core.errors import ErrorCode, SceneError

    try:
        world.store.check_free(scene_id, replace=replace)
    except SceneError as error:
        if error.code != ErrorCode.SCENE_EXISTS or not on_terminal():
            raise
        typer.echo(str(error), err=True)
        if not typer.confirm("Replace it?", err=True):
            raise
        return True
    return replace


def parse_settings(given: list[str]) -> dict[str, Any]:
    """`key=value` options as a provider's settings; values are YAML, so that numbers and lists are what they look like.

    Raises:
        RefineError (INVALID_CONFIG): no `=`, or no YAML behind it.
    """
    import yaml

    from pw_core.errors import ErrorCode, RefineError

    out: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        try:
            out[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not (key and equals):
            raise RefineError(f"--setting {text}: expected key=value", code=ErrorCode.INVALID_CONFIG)
    return out
