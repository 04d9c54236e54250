"""`pw refine`: a trajectory corrected by films on disk, or by whatever provider makes its targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pw_core.cli.common import (
    CANCELED,
    DEFAULT_STORE,
    DeviceOption,
    StoreOption,
    errors,
    interrupts,
    open_world,
    parse_settings,
    refine_bar,
)  # fmt: skip
from pw_core.cli.output import report

if TYPE_CHECKING:
    from pw_core.config import RefineConfig
    from pw_core.refine.run import Refining
    from pw_core.world import World

ProviderOption = Annotated[str, typer.Option(help="observed, video_diffusion, an installed one; empty: as configured.")]
SettingOption = Annotated[list[str] | None, typer.Option("--setting", help="Of the provider, key=value; repeatable.")]
CameraOption = Annotated[list[str] | None, typer.Option("--camera", help="A view; repeatable. None: all films.")]
EstimateOption = Annotated[
    list[str] | None, typer.Option(help="Constant fitted too, e.g. stiffness or wind; repeatable.")
]
IterationsOption = Annotated[int, typer.Option(min=0, help="Of Adam in each stage; 0: as configured.")]
PromptOption = Annotated[str, typer.Option(help="What the film shows, for a video model; empty: as configured.")]
StrengthOption = Annotated[
    float | None, typer.Option(help="How far a video model may leave the prediction, 0 to 1; none: as configured.")
]


def refine(
    scene: Annotated[str, typer.Argument(help="Id of a reconstructed scene.")],
    films: Annotated[
        Path | None,
        typer.Option(help="Folder with a film of each camera (<camera>/, <camera>.mp4, .npz), or a recording."),
    ] = None,
    trajectory: Annotated[str, typer.Option(help="What is corrected; empty: the last committed.")] = "",
    time_origin: Annotated[
        float | None, typer.Option(help="Stamp [s] of the trajectory's t = 0; none: that of film.json, or 0.")
    ] = None,
    provider: ProviderOption = "",
    setting: SettingOption = None,
    camera: CameraOption = None,
    estimate: EstimateOption = None,
    iterations: IterationsOption = 0,
    prompt: PromptOption = "",
    strength: StrengthOption = None,
    keep_best: Annotated[bool, typer.Option(help="Ctrl-C leaves the best so far as a state.")] = False,
    commit: Annotated[bool, typer.Option(help="Make the corrected state the world's head.")] = False,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Correct a rollout's appearance and state by target frames. Ctrl-C cancels; the world is then as it was.

    Without --commit the corrected state is saved beside the head, for `pw rollout --start` and `pw view --state`.
    """
    with errors():
        from pw_core.loop.films import read_films
        from pw_core.loop.providers import make_provider

        world = open_world(store, device, scene, writes=True)
        assert world.scene is not None
        config = settings_of(
            world.scene.config.refine, provider=provider, setting=setting, estimate=estimate, iterations=iterations,
            prompt=prompt, strength=strength,
        )  # fmt: skip
        names = tuple(camera or ())
        seen, origin = read_films(films, cameras=names, known=world.scene.cameras) if films is not None else ([], 0.0)
        for film in seen:
            for note in film.notes:
                typer.echo(f"note: film of camera '{film.name}': {note}", err=True)
        made = make_provider(config, films=seen, time_origin=origin if time_origin is None else time_origin)
        running = world.refine(
            made, trajectory=trajectory, cameras=() if seen else names, config=config, keep_best=keep_best
        )
        if not _followed(running, scene) and not keep_best:
            typer.echo("canceled: nothing is changed", err=True)
            raise typer.Exit(CANCELED)
        _kept(world, running, commit=commit)


def settings_of(base: RefineConfig, *, provider: str, setting: list[str] | None, estimate: list[str] | None,
                iterations: int, prompt: str, strength: float | None) -> RefineConfig:  # fmt: skip
    """The scene's settings with what the command line says.

    Raises:
        RefineError: INVALID_STRENGTH, INVALID_CONFIG.
    """
    from pw_core.loop.providers import changed

    changes: dict[str, Any] = {
        "provider": provider or base.provider, "iterations": iterations or base.iterations,
        "prompt": prompt or base.prompt, "strength": base.strength if strength is None else strength,
        "estimate": tuple(estimate) if estimate else base.estimate,
    }  # fmt: skip
    if setting:
        own = base.settings if changes["provider"] == base.provider else {}
        changes["settings"] = {**own, **parse_settings(setting)}
    return changed(base, changes)


def _followed(running: Refining, label: str) -> bool:
    """Run it under a bar; False where Ctrl-C ended it."""
    with interrupts() as told, refine_bar(label) as bar:
        for step in running:
            bar.show(step.stage, step.fraction, step.loss, step.psnr, step.eta_s)
            if told.pressed and step.fraction < 1:
                running.close()
                return False
    return True


def _kept(world: World, running: Refining, *, commit: bool) -> None:
    """Put the corrected state on disk and say what came of it."""
    from pw_core.errors import RefineError

    try:
        state, figures = running.state, running.figures
    except RefineError:
        typer.echo("canceled before there was anything to keep: nothing is changed", err=True)
        raise typer.Exit(CANCELED) from None
    if commit:
        world.commit(state.id)
    else:
        assert world.scene is not None
        world.store.save_trajectory(world.scene.id, running.trajectory)
        world.save(state.id, label="refined")
    estimates = [{"name": e.name, "before": e.before, "value": e.value, "error": e.error, "observable": e.observable}
                 for e in running.estimates]  # fmt: skip
    report(state=state.id, trajectory=running.trajectory.id, committed=commit, figures=figures, estimates=estimates)
    typer.echo(
        f"state {state.id}{', the head' if commit else ''}: PSNR {figures['psnr_before']:.1f} → "
        f"{figures['psnr_after']:.1f} dB, silhouettes {figures['mask_iou_before']:.3f} → "
        f"{figures['mask_iou_after']:.3f} IoU, moved by {figures['moved_mean_m'] * 1e3:.2f} mm in the mean, "
        f"{figures['seconds']:.0f} s"
    )
    for e in running.estimates:
        limit = "" if e.observable else " (the films could not tell)"
        typer.echo(f"{e.name}: {e.before:.4g} → {e.value:.4g} ± {e.error:.2g}{limit}")
