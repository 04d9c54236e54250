"""`pw background`, `pw entity`: Gaussians of other tools into a scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pw_core.cli.common import (
    DEFAULT_STORE,
    ReplaceOption,
    StoreOption,
    errors,
    may_replace,
    open_world,
    progress_bar,
)
from pw_core.cli.output import report
from pw_core.progress import subrange

if TYPE_CHECKING:
    from pw_core.config import Material
    from pw_core.gaussians import Gaussians

SceneArgument = Annotated[str, typer.Argument(help="Id of a reconstructed scene.")]
SplatsArgument = Annotated[
    Path, typer.Argument(help="Gaussians: .ply (also SuperSplat's packed one) .spz .sog .splat .ksplat.")
]
NewOption = Annotated[str, typer.Option("--as", help="Id of the scene to make.")]
AtOption = Annotated[tuple[float, float, float], typer.Option(help="Where their origin is put [m].")]
TurnOption = Annotated[tuple[float, float, float], typer.Option(help="About x, then y, then z [degrees].")]
ScaleOption = Annotated[float, typer.Option(min=1e-6, help="Metres in one of their units.")]


def background(
    scene: SceneArgument,
    splats: SplatsArgument,
    new: NewOption,
    at: AtOption = (0, 0, 0),
    turn: TurnOption = (0, 0, 0),
    scale: ScaleOption = 1.0,
    beside: Annotated[bool, typer.Option("--beside", help="The scene's own background stays too.")] = False,
    replace: ReplaceOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Put a scene before another background, such as a scan of the room made with another tool."""
    with errors():
        world = open_world(store, "cpu", scene, writes=True)
        may = may_replace(world, new, replace)
        with progress_bar(new) as progress:
            progress(f"reading {splats.name}", 0.0)
            moved = _placed(splats, at, turn, scale)
            progress("storing", 0.5)
            made = world.with_background(moved, new, beside=beside, replace=may)
            progress("storing", 1.0)
        report(scene=made.id, gaussians=len(moved))
        typer.echo(f"scene '{made.id}' in {store / made.id}, before {len(moved)} Gaussians of {splats}")


def entity(
    scene: SceneArgument,
    splats: SplatsArgument,
    new: NewOption,
    name: Annotated[str, typer.Option(help="Of the entity.")],
    material: Annotated[str, typer.Option(help="By name, as `pw new --materials` lists them.")],
    at: AtOption = (0, 0, 0),
    turn: TurnOption = (0, 0, 0),
    scale: ScaleOption = 1.0,
    stand: Annotated[
        bool, typer.Option("--stand", help="Move it up or down onto the table, and turn it upright where it leans.")
    ] = False,
    fill: Annotated[bool, typer.Option("--fill", help="A vessel with a narrow mouth is filled, not hollow.")] = False,
    tool: Annotated[bool, typer.Option("--tool", help="A rigid one that only moves along timed poses.")] = False,
    replace: ReplaceOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Add a thing that another tool scanned, cut out of its scan, to a scene, filled with particles."""
    with errors():
        world = open_world(store, "cpu", scene, writes=True)
        may, of = may_replace(world, new, replace), _material(material)
        with progress_bar(new) as progress:
            progress(f"reading {splats.name}", 0.0)
            made = world.with_entity(
                _placed(splats, at, turn, scale), new, name=name, material=of, stand=stand, fill=fill, tool=tool,
                source=splats.name, replace=may, progress=subrange(progress, 0.2, 1.0),
            )  # fmt: skip
            progress("storing", 1.0)
        added = made.entities[-1]
        particles = added.particles.stop - added.particles.start
        report(scene=made.id, entity=name, particles=particles, volume_m3=added.volume_m3, mass_kg=added.mass_kg)
        typer.echo(
            f"scene '{made.id}' in {store / made.id}: '{name}' of {added.volume_m3 * 1e6:.0f} cm3, "
            f"{added.mass_kg:.3g} kg, {particles} particles"
        )


def _placed(path: Path, at: tuple[float, ...], turn: tuple[float, ...], scale: float) -> Gaussians:
    """In the scene's world."""
    import numpy as np
    from scipy.spatial.transform import Rotation

    from pw_core.export.packed import read_splats

    way = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    return read_splats(path).moved(way, np.array(at), scale=scale)


def _material(preset: str) -> Material:
    from pw_core.cli.own.presets import PRESETS
    from pw_core.config import Material
    from pw_core.errors import ErrorCode, SceneError

    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise SceneError(f"material '{preset}' is none of {known}", code=ErrorCode.INVALID_CONFIG)
    return Material.model_validate(PRESETS[preset].material)
