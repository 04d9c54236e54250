"""`pw run`: a scene's rounds of rollout, refine and commit, gone on with after whatever ended them, and their page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pw_core.cli.common import (
    CANCELED,
    DEFAULT_STORE,
    DeviceOption,
    StoreOption,
    errors,
    interrupts,
    open_world,
    progress_bar,
    refine_bar,
)  # fmt: skip
from pw_core.cli.output import report
from pw_core.cli.refine import (
    CameraOption,
    EstimateOption,
    IterationsOption,
    PromptOption,
    ProviderOption,
    SettingOption,
    StrengthOption,
    settings_of,
)  # fmt: skip

if TYPE_CHECKING:
    from pw_core.config import SceneConfig
    from pw_core.world import World


def run(
    config: Annotated[Path, typer.Argument(help="Scene file with rounds, e.g. config/scenes/jam.yaml.")],
    targets: Annotated[
        Path | None, typer.Option(help="Folder with round-1/, round-2/ ... of films, a round's as for `pw refine`.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Real particle positions: folder of round-<k>.npz; for the page's errors.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Only the first N rounds; 0: all.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default out/run/<scene>.")] = None,
    restart: Annotated[
        bool, typer.Option(help="The run begins again, with the scene made anew; the old is kept.")
    ] = False,
    provider: ProviderOption = "",
    setting: SettingOption = None,
    camera: CameraOption = None,
    estimate: EstimateOption = None,
    iterations: IterationsOption = 0,
    prompt: PromptOption = "",
    strength: StrengthOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Roll out, refine by films where there are any, commit; round by round, with a page that shows each.

    Whatever ends it, Ctrl-C or a power cut, the same command goes on from the last committed state.
    """
    with errors():
        from pw_core.config import SceneConfig
        from pw_core.loop.page import write_page
        from pw_core.loop.rounds import Rounds
        from pw_core.loop.truth import Truth

        loaded = SceneConfig.load(config)
        folder = out or Path("out/run") / loaded.name
        if restart:
            (folder / "run.json").unlink(missing_ok=True)
        world = open_world(store, device, writes=True)
        _select(world, loaded, anew=restart)
        settings = settings_of(
            loaded.refine, provider=provider, setting=setting, estimate=estimate, iterations=iterations,
            prompt=prompt, strength=strength,
        )  # fmt: skip
        story = loaded.rounds[: rounds or None]
        going = Rounds(world, story, folder, refine=settings, targets=targets, cameras=tuple(camera or ()))
        known = None
        if truth is not None:
            known = Truth(truth, start=world.state(going.ledger.base).physics.particles.positions)
        done = sum(going.done(k) for k in range(1, len(story) + 1))
        typer.echo(f"scene '{loaded.name}' from state {going.ledger.last}: {done} of {len(story)} rounds are done")
        with interrupts() as told, refine_bar(loaded.name) as bar:
            for step in going.run(lambda number: typer.echo(f"round {number}: {write_page(going, truth=known)}")):
                bar.show(f"round {step.round}, {step.stage}", step.fraction, step.loss, step.psnr, step.eta_s)
                if told.pressed:
                    break
        done = sum(going.done(k) for k in range(1, len(story) + 1))
        report(scene=loaded.name, state=going.ledger.last, rounds=len(story), done=done, page=folder / "index.html")
        if told.pressed:
            typer.echo(f"stopped at state {going.ledger.last}; the same command goes on from there", err=True)
            raise typer.Exit(CANCELED)
        typer.echo(f"state {going.ledger.last} is the head; {folder / 'index.html'}")


def _select(world: World, config: SceneConfig, *, anew: bool) -> None:
    """The stored scene of that configuration, or one made of it."""
    from pw_core.errors import ErrorCode, SceneError

    if not anew and config.name in world.store.scene_ids():
        stored = world.select(config.name).config
        free = {"rounds", "refine", "title", "playback_fps"}  # these may change between two goes
        if stored.model_dump(exclude=free) != config.model_dump(exclude=free):
            raise SceneError(
                f"scene '{config.name}' in {world.store.root} was made of another configuration; expected the same, "
                "another --store, or --restart",
                code=ErrorCode.INVALID_CONFIG,
            )
        return
    with progress_bar(config.name) as progress:
        world.reconstruct(config, replace=anew, progress=progress)
