"""What a round looked like: rollout, target, refined and their differences, as stills of its end and a film."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pw_core.export.film import write_film
from pw_core.gaussians import Camera
from pw_core.refine.targets.observed import CameraFilm, nearest
from pw_core.scene import State, Trajectory

if TYPE_CHECKING:
    from pw_core.loop.rounds import Rounds
    from pw_core.world import World

Picture = NDArray[np.uint8]
PANEL_PX = 480
GAIN = 3.0
"""Of the pictures of differences: a difference of 85 of 255 is as bright as can be."""


@dataclass(frozen=True)
class Shown:
    """Files of one view of a round, beside the page: stills by what they show, and a film of them side by side."""

    camera: str
    stills: dict[str, str]
    film: str


def draw_round(run: Rounds, number: int, *, panel_px: int = PANEL_PX) -> list[Shown]:
    """Draw round `number` into `<folder>/round-<number>/`; what was drawn already is only listed."""
    folder = run.folder / f"round-{number}"
    rollout, refined = run.ledger.of(number, "rollout"), run.ledger.of(number, "refine")
    assert rollout is not None
    of = [rollout.trajectory, refined.trajectory if refined else ""]
    index = folder / "pictures.json"  # written last: where it is, all is
    if index.is_file():
        kept = json.loads(index.read_text(encoding="utf-8"))
        if kept["of"] == of:
            return [Shown(**s) for s in kept["views"]]
    folder.mkdir(parents=True, exist_ok=True)
    world = run.world
    films, origin = run.films(number)
    by_name = {f.name: f for f in films}
    shown = []
    for camera in run.views(number):
        small = _small(camera, panel_px)
        before = world.trajectory(rollout.trajectory)
        rows = {"rollout": _drawn(world, before, small, world.state(before.start))}
        if refined is not None:
            after = world.trajectory(refined.trajectory)
            target = _targets(by_name.get(camera.name), world.state(refined.state), camera.name, before, small, origin)
            if target is not None:
                rows["target"] = target
            rows["refined"] = _drawn(world, after, small, world.state(refined.state))
        shown.append(_written(folder, camera.name, rows, fps=run.scene.config.playback_fps))
    new = index.with_name(".new-pictures.json")
    new.write_text(json.dumps({"of": of, "views": [s.__dict__ for s in shown]}, indent=1), encoding="utf-8")
    new.replace(index)
    return shown


def _small(camera: Camera, panel_px: int) -> Camera:
    width = min(camera.width, panel_px)
    return camera.resized(width, max(round(camera.height * width / camera.width), 1))


def _drawn(world: World, trajectory: Trajectory, camera: Camera, state: State) -> list[Picture]:
    """Every frame, with the appearance of that state."""
    return [
        world.render(camera, physics=world.physics_at(trajectory, t), state=state.id).rgb
        for t in map(float, trajectory.times)
    ]


def _targets(
    film: CameraFilm | None, refined: State, name: str, trajectory: Trajectory, camera: Camera, origin: float
) -> list[Picture] | None:
    """What the film shows at the trajectory's times. Frames that a provider made are gone but for the last, which the
    refined state keeps."""
    import cv2

    size = (camera.width, camera.height)
    if film is None:
        last = refined.views.get(name)
        return None if last is None else [np.asarray(cv2.resize(last, size, interpolation=cv2.INTER_AREA), np.uint8)]
    rows = nearest(film.stamps - origin, trajectory.times)
    return [np.asarray(cv2.resize(film.frames[i], size, interpolation=cv2.INTER_AREA), np.uint8) for i in rows]


def _written(folder: Path, camera: str, rows: dict[str, list[Picture]], *, fps: float) -> Shown:
    import imageio.v3 as iio

    stills = {name: pictures[-1] for name, pictures in rows.items()}
    if "target" in stills:
        for name in ("rollout", "refined"):
            stills[f"{name} - target"] = difference(stills[name], stills["target"])
    files = {}
    for name, picture in stills.items():
        file = f"{camera}-{name.replace(' - ', '-minus-')}.png"
        iio.imwrite(folder / file, picture)
        files[name] = f"{folder.name}/{file}"
    count = len(rows["rollout"])
    moving = [pictures for pictures in rows.values() if len(pictures) == count]
    write_film(folder / f"{camera}.mp4", [np.concatenate(p, axis=1) for p in zip(*moving)], fps=fps)
    return Shown(camera, files, f"{folder.name}/{camera}.mp4")


def difference(a: Picture, b: Picture) -> Picture:
    """Mean absolute difference of two pictures (H, W, 3), times GAIN, from black over red to white."""
    import cv2

    gap = np.abs(a.astype(np.float32) - b).mean(-1) * GAIN
    hot = cv2.applyColorMap(np.clip(gap, 0, 255).astype(np.uint8), cv2.COLORMAP_HOT)
    return np.ascontiguousarray(hot[..., ::-1], dtype=np.uint8)
