"""`pw reconstruct`, `rollout`, `view`: a scene, what happens in it, and its looks."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pw_core.cli.common import (
    DEFAULT_STORE,
    DeviceOption,
    ReplaceOption,
    StoreOption,
    errors,
    may_replace,
    open_world,
    progress_bar,
)  # fmt: skip
from pw_core.cli.output import report

if TYPE_CHECKING:
    from pw_core.reconstruct.report.outcome import Outcome


def reconstruct(
    config: Annotated[Path, typer.Argument(help="Scene file, e.g. config/scenes/jam.yaml.")],
    photo: Annotated[Path | None, typer.Option(help="Another photo than the scene file's.")] = None,
    views: Annotated[
        Path | None,
        typer.Option(help="Many photos: a folder (cameras.json: intrinsics, poses; depth/: RGB-D) or a film."),
    ] = None,
    replace: ReplaceOption = False,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Make a scene of Gaussians bound to particles from one photo, or from many views of what stands there."""
    with errors():
        from pw_core.config import SceneConfig
        from pw_core.reconstruct.report.outcome import Outcome

        loaded = SceneConfig.load(config)
        if photo is not None:
            _tell_other_size(loaded.photo, photo)
            loaded = loaded.model_copy(update={"photo": str(photo.resolve())})
        world = open_world(store, device, writes=True)
        replace = may_replace(world, loaded.name, replace)
        with progress_bar(loaded.name) as progress:
            inputs = None
            if views is not None:
                from pw_core.reconstruct import Inputs, describe_route

                inputs = Inputs.load(
                    views, max_frames=loaded.reconstruct.views.max_frames,
                    depth_scale=loaded.reconstruct.views.depth_scale,
                )  # fmt: skip
                typer.echo(f"{len(inputs.views)} pictures, taken as: {describe_route(loaded, inputs)}")
            scene = world.reconstruct(loaded, inputs, replace=replace, progress=progress)
        outcome = Outcome.of(scene)
        report(scene=scene.id, folder=store / scene.id, psnr_db=_number(outcome.psnr_db), doubts=list(outcome.doubts),
               entities=[{"name": e.name, "kind": e.kind, "material": e.material.model, "volume_m3": e.volume_m3,
                          "mass_kg": e.mass_kg} for e in scene.entities])  # fmt: skip
        for e in scene.entities:
            typer.echo(
                f"{e.name}: {e.kind}, {e.material.model}, {e.volume_m3 * 1e6:.0f} cm³, {e.mass_kg:.3f} kg, "
                f"{e.particles.stop - e.particles.start} particles, {e.gaussians.stop - e.gaussians.start} Gaussians"
            )
        _tell(outcome)
        page = store / scene.id / "reconstruction" / "index.html"
        if page.is_file():
            typer.echo(f"every stage of it: {page}")
        typer.echo(f"scene '{scene.id}' in {store / scene.id}; next: pw rollout {scene.id}{_stored(store)}")


def _tell_other_size(named: str, photo: Path) -> None:
    """Boxes and points are pixels of the photo that a scene file names: said, where this one is of another size."""
    from pw_core.reconstruct.image import load_photo

    if not named or not Path(named).is_file():
        return
    theirs, own = (load_photo(path).shape[1::-1] for path in (named, photo))
    if theirs != own:
        typer.echo(
            f"note: {photo} is {own[0]} x {own[1]} px, the scene file's photo {theirs[0]} x {theirs[1]}: boxes and "
            "points of its prompts are taken as pixels of the former",
            err=True,
        )


def _stored(store: Path) -> str:
    """The option that the next command needs too."""
    return "" if store == DEFAULT_STORE else f" --store {shlex.quote(str(store))}"


def _number(value: float) -> float | None:
    """What JSON has."""
    return None if math.isnan(value) else value


def _tell(outcome: Outcome) -> None:
    """How well the scene came out, and what is doubtful of it."""
    psnr = outcome.psnr_db
    if not math.isnan(psnr):
        from_db = outcome.options.good_psnr_db
        typer.secho(
            f"looks like its pictures to {psnr:.1f} dB (good from {from_db:.0f})",
            fg="green" if outcome.good else "yellow",
        )
    for text in outcome.notes:
        typer.echo(f"note: {text}", err=True)
    for text in outcome.left_out:
        typer.secho(f"left out: {text}", fg="yellow", err=True)
    for text in outcome.doubts:
        typer.secho(f"doubtful: {text}", fg="yellow", err=True)


def rollout(
    scene: Annotated[str, typer.Argument(help="Id of a reconstructed scene.")],
    round_: Annotated[int, typer.Option("--round", help="Actions of the scene's round N (from 1); 0: none.")] = 1,
    duration: Annotated[float, typer.Option(help="[s]; 0: the round's.")] = 0.0,
    start: Annotated[str, typer.Option(help="State to start from; empty: the head.")] = "",
    commit: Annotated[bool, typer.Option(help="Make the end the world's new state.")] = False,
    film: Annotated[Path | None, typer.Option(help="Write a film (.mp4).")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the trajectory, as `pw export` does.")] = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Ask what happens: physics from a state under a round's actions."""
    with errors():
        from pw_core.errors import ErrorCode, RolloutError

        world = open_world(store, device, scene, writes=commit)
        assert world.scene is not None
        rounds = world.scene.config.rounds
        if not 0 <= round_ <= len(rounds):
            raise RolloutError(
                f"round {round_}: the scene has rounds 1 to {len(rounds)}; 0 waits", code=ErrorCode.INVALID_ACTION
            )
        actions = rounds[round_ - 1].actions if round_ else ()
        seconds = duration or (rounds[round_ - 1].duration if round_ else 0.5)
        pictures = []
        with progress_bar(scene) as progress:
            running = world.rollout(actions, seconds, start=start, commit=commit, progress=progress)
            for frame in running:
                progress("stepping", frame.fraction)
                if film is not None:
                    pictures.append(world.render(physics=frame.physics).rgb)
        if film is not None:
            from pw_core.export.film import write_film

            write_film(film, pictures, fps=world.scene.config.playback_fps)
        if export is not None:
            world.export(export, trajectory=running.trajectory.id)
        report(state=running.end.id, trajectory=running.trajectory.id, time_s=running.end.time_s,
               frames=len(running.trajectory), committed=commit)  # fmt: skip
        typer.echo(f"state {running.end.id} at {running.end.time_s:.3f} s, {len(running.trajectory)} frames")


def view(
    scene: Annotated[str, typer.Argument(help="Id of a reconstructed scene.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("view.png"),
    state: Annotated[str, typer.Option(help="State; empty: the head.")] = "",
    turn: Annotated[float, typer.Option(help="Camera carried round the first entity [degrees].")] = 0.0,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "cpu",
) -> None:
    """Draw a scene from its photo's camera, or turned about it."""
    with errors():
        import math

        import imageio.v3 as iio

        from pw_core.render.cameras import orbit

        world = open_world(store, device, scene)
        assert world.scene is not None
        camera = world.scene.cameras[0]
        if turn:
            pivot = world.scene.entities[0].origin
            camera = camera.moved(orbit(camera.viewmat, pivot, [math.radians(turn)])[0], name="turned")
        iio.imwrite(out, world.render(camera, state=state).rgb)
        report(path=out)
        typer.echo(out)
