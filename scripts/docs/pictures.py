"""The documentation's pictures that come out of the product: `python scripts/docs/pictures.py [NAME ...]`.

Names: moves, scene, plan, light; column:<scene> makes the frames of one scene for moves.

Scenes are made from config/scenes into out/docs, once; each picture is written to docs/images. Minutes on two cores.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pw_core.actions import Action, parse_action
from pw_core.config import SceneConfig
from pw_core.gaussians import Camera
from pw_core.render.cameras import orbit
from pw_core.scene import PhysicsState
from pw_core.world import World

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs/images"
STORE = ROOT / "out/docs/store"
Picture = NDArray[np.uint8]

SIZE = (640, 352)
"""Drawn at [px], shown at half."""


def world_of(name: str) -> World:
    """The scene of that name at its reconstruction."""
    world = World(STORE)
    if name in world.store.scene_ids():
        world.select(name)
        world.reset()
    else:
        world.reconstruct(SceneConfig.load(ROOT / f"config/scenes/{name}.yaml"))
    return world


def camera_of(world: World) -> Camera:
    """The photo's, at the size that is drawn."""
    assert world.scene is not None
    return world.scene.cameras[0].resized(*SIZE)


def frames(
    world: World, actions: Sequence[Action], seconds: float, *, start: str = ""
) -> tuple[list[PhysicsState], str]:
    """A rollout's physics, frame by frame, and the id of its end."""
    running = world.rollout(tuple(actions), seconds, start=start)
    return [frame.physics for frame in running], running.end.id


def write(name: str, picture: Picture) -> None:
    """As a JPEG, or what the ending says."""
    Image.fromarray(picture).save(IMAGES / name, quality=88)
    print(f"{name}: {(IMAGES / name).stat().st_size / 1e3:.0f} kB")


def half(picture: Picture) -> Picture:
    """At half the size."""
    return cv2.resize(picture, (SIZE[0] // 2, SIZE[1] // 2), interpolation=cv2.INTER_AREA)


def column(name: str, rounds: int = 2) -> list[Picture]:
    """A scene's first rounds as small pictures; kept in out/docs, so that one scene can be made anew alone."""
    kept = STORE.parent / f"{name}.npz"
    if not kept.exists():
        world, drawn, start = world_of(name), [], ""
        assert world.scene is not None
        camera = camera_of(world)
        for told in world.scene.config.rounds[:rounds]:
            seen, start = frames(world, told.actions, told.duration, start=start)
            drawn += [half(world.render(camera, physics=physics).rgb) for physics in seen[::2]]
        np.savez(kept, frames=np.array(drawn))
    with np.load(kept) as file:
        return list(file["frames"])


def moves() -> None:
    """Three scenes side by side, each two of its rounds, as one animated WebP; the photo first."""
    columns = [column(name) for name in ("jam", "play_doh", "dumpling")]
    count = max(len(c) for c in columns)
    shown = [np.concatenate([c[min(round(k * len(c) / count), len(c) - 1)] for c in columns], 1) for k in range(count)]
    shown = [shown[0]] * 6 + shown + [shown[-1]] * 8
    path = IMAGES / "moves.webp"
    first, *rest = (Image.fromarray(p) for p in shown)
    first.save(path, save_all=True, append_images=rest, duration=70, loop=0, quality=72, method=4)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(shown)} frames")


def scene() -> None:
    """Drawn, and its particles; the particles once it is pressed, and that drawn from the side."""
    world = world_of("play_doh")
    assert world.scene is not None
    camera = camera_of(world)
    pivot = world.scene.entities[0].origin
    turned = camera.moved(orbit(camera.viewmat, pivot, [math.radians(25)])[0], name="turned")
    told = world.scene.config.rounds[0]
    seen, _ = frames(world, told.actions, told.duration)
    rest = world.scene.initial_physics()
    cells = [world.render(camera).rgb, dots(world, camera, rest), dots(world, camera, seen[-1]),
             world.render(turned, physics=seen[-1]).rgb]  # fmt: skip
    write("scene.jpg", np.concatenate([np.concatenate(cells[:2], 1), np.concatenate(cells[2:], 1)], 0))


def dots(world: World, camera: Camera, physics: PhysicsState) -> Picture:
    """The particles over a pale picture, by height, the nearest last."""
    out = (255 - (255 - world.render(camera, physics=physics).rgb) // 4).astype(np.uint8)
    positions = physics.particles.positions
    uv, depth = camera.project(positions)
    shade = np.clip(positions[:, 2] / max(float(positions[:, 2].max()), 1e-6), 0, 1)
    colors = cv2.applyColorMap((255 * shade).astype(np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    for i in np.argsort(-depth):
        cv2.circle(out, tuple(int(v) for v in uv[i].round()), 2, colors[i].tolist(), -1, cv2.LINE_AA)
    return out


def plan() -> None:
    """A push in eight directions: where the thing would be, and what each costs."""
    world = world_of("play_doh")
    assert world.scene is not None
    thing, camera = world.scene.entities[0], camera_of(world)
    middle = thing.origin + np.array([0, 0, 0.03])
    goal = thing.origin[:2] + np.array([-0.03, -0.06])
    ends = []
    for k in range(8):
        angle = k * math.pi / 4
        away = np.array([math.cos(angle), math.sin(angle), 0])
        push = parse_action({
            "type": "push", "duration": 0.15, "entity": thing.name, "center": (middle - 0.05 * away).tolist(),
            "direction": away.tolist(), "radius": 0.045, "magnitude": 12,
        })  # fmt: skip
        seen, _ = frames(world, [push], 0.4)
        ends.append(seen[-1].particles.positions[thing.particles].mean(0))
    costs = np.array([np.linalg.norm(e[:2] - goal) for e in ends])
    out = world.render(camera).rgb.copy()
    low = np.array([*thing.origin[:2], 0.0])
    order = np.argsort(-costs)
    for rank, k in enumerate(order):
        end = np.array([*ends[k][:2], 0.0])
        color = (40, 170, 60) if rank == len(order) - 1 else (200, 60, 40) if rank < 3 else (225, 160, 30)
        a, b = camera.project(np.stack([low, low + 2.0 * (end - low)]))[0].round().astype(int)
        cv2.arrowedLine(out, a.tolist(), b.tolist(), color, 3, cv2.LINE_AA, tipLength=0.15)
        place = (int(b[0]) + 4, int(b[1]) + 4)
        cv2.putText(out, f"{100 * costs[k]:.1f} cm", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA)
    (g,) = camera.project(np.array([[*goal, 0.0]]))[0].round().astype(int)
    cv2.drawMarker(out, g.tolist(), (20, 60, 220), cv2.MARKER_TILTED_CROSS, 16, 3)
    write("plan_candidates.jpg", out)


def light() -> None:
    """The thing at its start, and 6 cm aside, drawn without light and with it."""
    world = world_of("play_doh")
    assert world.scene is not None
    camera, own = camera_of(world), world.scene.entities[0].particles
    rest = world.scene.initial_physics()
    positions = rest.particles.positions.copy()
    positions[own] += np.array([-0.02, 0.06, 0.0], np.float32)
    aside = PhysicsState(replace(rest.particles, positions=positions), rest.bodies)
    lit = world.render(camera, physics=aside).rgb
    dark = World(STORE)
    dark.adopt(replace(world.scene, light=None).with_id("play_doh_unlit"), replace=True)
    unlit = dark.render(camera, physics=aside).rgb
    write("light.jpg", np.concatenate([world.render(camera).rgb, unlit, lit], 1))


ALL: dict[str, Callable[[], None]] = {"moves": moves, "scene": scene, "plan": plan, "light": light}


def main() -> None:
    """Make those that are named, or all."""
    for name in sys.argv[1:] or ALL:
        column(name.removeprefix("column:")) if name.startswith("column:") else ALL[name]()


if __name__ == "__main__":
    main()
