"""The main job: one photo, a goal, and a world that nobody sees into; out/demo/index.html.

A node makes a scene of the photo. Then, twice: a plan towards the goal; the hidden world acts on it and is filmed; the
node predicts the same, is corrected by the film, and its prediction before and after stands beside what happened.

python examples/demo.py [--scene play_doh] [--width 640] [--out out/demo]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from hidden_world import HiddenWorld
from page import Section, write_page
from rich.console import Console

from pw_core.config import SceneConfig
from pw_core.export.film import write_film
from pw_core.gaussians import Camera
from pw_core.loop.films import camera_fields
from pw_core.render.cameras import orbit
from pw_core.store import Store
from pw_msgs.msg import CameraView
from pw_ros.client import WorldClient
from pw_ros.convert.actions import message_to_action
from pw_ros.convert.cameras import camera_to_info, viewmat_to_pose
from pw_ros.convert.images import image_to_numpy

ROOT = Path(__file__).resolve().parents[1]
CONSOLE = Console()
PARTICLES = 2000
"""Half of the scene's: a candidate then takes half a second on a core."""
ROUNDS, DURATION_S, INTERVAL_S = 2, 0.4, 0.02
CANDIDATES, POPULATION = 20, 10
FILM_PX = 320
"""Width of the films that correct."""


@dataclass
class Spent:
    """Seconds of drawing and sending pictures, and the films under way, whose results are seconds of encoding."""

    drawn: float = 0.0
    films: list[Future[float]] = field(default_factory=list)


@dataclass
class Goal:
    """Where the entity's middle is to be, x and y [m]."""

    entity: str
    mass_kg: float
    place: np.ndarray


def main() -> int:
    """Run the demo; the exit status is 0 when every step worked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", default="play_doh", help="a file name of config/scenes (default: play_doh)")
    parser.add_argument("--width", type=int, default=None, help="of the pictures [px] (default: the scene's own)")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder to write (default: out/demo)")
    args = parser.parse_args()
    # Only this machine, and a domain of its own, so that no other robot hears the demo.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(60 + os.getpid() % 40))
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    scenes, out = ROOT / "config" / "scenes", args.out.resolve()
    scenes = _for_the_demo(args.width, scenes / f"{args.scene}.yaml", out / "configs")
    config = SceneConfig.load(scenes / f"{args.scene}.yaml")
    parameters = [f"store:={out / 'store'}", f"config_dirs:=['{scenes}']", f"input_roots:=['{out}']"]
    command = [sys.executable, "-m", "pw_ros.node", "--ros-args", *(x for p in parameters for x in ("-p", p))]
    with (args.out / "node.log").open("w") as log:
        node = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with WorldClient() as world:
            sections = run(world, config, args.out, Memory())
    finally:
        node.send_signal(signal.SIGINT)
        try:
            node.wait(15)
        except subprocess.TimeoutExpired:
            node.kill()
    page = args.out / "index.html"
    write_page(page, f"PerpetualWonder: {config.title or config.name}", sections)
    CONSOLE.print(f"[bold green]done[/]: open {page}")
    return 0


def run(world: WorldClient, config: SceneConfig, out: Path, memory: Memory) -> list[Section]:
    """The steps, each reported with its time [s]; the page's sections."""
    began = time.perf_counter()
    with step("node and its worker start"):
        world.wait_until_ready(120)
    with step(f"photo to scene '{config.name}'") as reconstructed:
        response = world.reconstruct(config.name)
    drawn_at = time.perf_counter()
    shape = world.render().shape
    sections = [_scene_section(world, config, out, shape, reconstructed.seconds, response)]
    spent = Spent(drawn=time.perf_counter() - drawn_at)
    with step("a hidden world begins as the scene does"):
        scene = Store(out / "store").load_scene(config.name)
        hidden = HiddenWorld(scene)
    entity = next(e for e in scene.entities if e.kind == "deformable")
    goal = Goal(entity.name, entity.mass_kg, entity.origin[:2] + np.array([0.02, 0.04]))
    photo = scene.cameras[0]
    front = photo.resized(FILM_PX, round(photo.height * FILM_PX / photo.width))
    # Films are written beside the next round: encoding needs the core that physics leaves free.
    with ThreadPoolExecutor(1) as films:
        for number in range(1, ROUNDS + 1):
            sections.append(_round(number, world, hidden, goal, front, out, films, spent))
        with step("the last film"):
            encoded = sum(f.result() for f in spent.films)
    total = time.perf_counter() - began
    states = world.states()
    sections.append(Section("All in all", rows=[
        ("states", " → ".join(s.state_id for s in states if s.committed)),
        ("wall time", f"{total:.0f} s"),
        ("rendering and sending pictures", f"{spent.drawn:.1f} s, {spent.drawn / total:.0%}"),
        ("encoding films, beside the next round", f"{encoded:.1f} s, {encoded / total:.0%}"),
        ("most memory", f"{memory.peak_gb:.1f} GB in node, worker and client together"),
    ]))  # fmt: skip
    return sections


def _round(
    number: int, world: WorldClient, hidden: HiddenWorld, goal: Goal, front: Camera, out: Path,
    films: ThreadPoolExecutor, spent: Spent,
) -> Section:  # fmt: skip
    """Plan, predict, act, correct; what is shown of it."""
    with step(f"round {number}: a plan of {CANDIDATES} candidates") as planned:
        best = plan(world, goal, seed=number)
    action, kept = message_to_action(best.actions[0]), best.best
    with step(f"round {number}: predicted, acted, filmed"):
        world.commit(kept.state_id)
        before = _drawn(world, kept.trajectory_id, front, spent)
        happened = hidden.act([action], DURATION_S, frame_interval=INTERVAL_S)
        film = hidden.film(front)
        folder = out / "films" / f"round-{number}"
        folder.mkdir(parents=True)
        np.savez(folder / "front.npz", stamps=happened.times, frames=np.stack(film))
        camera = camera_fields(front) | {"name": "front"}
        (folder / "cameras.json").write_text(json.dumps([camera]), encoding="utf-8")
    with step(f"round {number}: corrected by the film") as corrected:
        world.refine(frames_uri=f"file://{folder.resolve()}", trajectory_id=kept.trajectory_id, commit=True,
                     estimate=["friction"])  # fmt: skip
        figures = world.result()
        state = next(s for s in world.states() if s.state_id == figures.state_id)
        after = _drawn(world, state.trajectory_id, front, spent)
    own = hidden.scene.entity(goal.entity).particles
    real = float(np.linalg.norm(happened.positions[-1][own].mean(0)[:2] - goal.place))
    name = f"round_{number}"
    spent.films.append(films.submit(_write_beside, out / name, [before, film, after], goal, front))
    return Section(
        f"Round {number}: plan, act, look, correct",
        media=[(f"{name}.mp4", "as predicted, as it happened in the hidden world, as corrected by its film; the cross "
                               "is the goal"), (f"{name}.png", "the last instant")],
        rows=[
            ("the plan", f"{action.magnitude:.1f} N towards ({action.direction[0]:+.2f}, {action.direction[1]:+.2f}), "
                         f"the best of {CANDIDATES} in {planned.seconds:.1f} s"),
            ("promised", f"{kept.score.cost * 1e3:.0f} mm from the goal"),
            ("happened", f"{real * 1e3:.0f} mm from the goal"),
            ("silhouette, before and after", f"{figures.before.mask_iou:.3f} → {figures.after.mask_iou:.3f}"),
            ("PSNR inside it", f"{figures.before.psnr_masked:.1f} → {figures.after.psnr_masked:.1f} dB"),
            ("corrected in", f"{corrected.seconds:.1f} s, by {figures.after.mean_correction * 1e3:.1f} mm on average"),
            *((f"{e.name} with the table", f"{e.before:.2f} → {e.after:.2f}; in the hidden world "
               f"{hidden.constants['floor_friction']:.2f}") for e in figures.estimates),
        ],
    )  # fmt: skip


def plan(world: WorldClient, goal: Goal, *, seed: int) -> Any:
    """The push that brings the entity nearest to its goal; the result of `~/plan`."""
    world.rollout([], 0.02)
    start = _middle(world.result(), goal.entity, 0)
    heading = math.degrees(math.atan2(*(goal.place - start[:2])[::-1]))
    weight = goal.mass_kg * 9.81
    template = [{
        "type": "push", "name": "planned", "entity": goal.entity, "duration": 0.15, "radius": 0.06,
        "center": start.tolist(),
        "direction": {"azimuth_deg": {"free": [heading - 90, heading + 90], "name": "towards"}},
        "magnitude": {"free": [0.5 * weight, 1.8 * weight], "name": "force"},
    }]  # fmt: skip
    objective = {"terms": [
        {"type": "reach", "entity": goal.entity, "position": [*goal.place.tolist(), 0.0], "axes": [True, True, False]}
    ]}  # fmt: skip
    world.plan(
        template, DURATION_S, objective=objective, max_candidates=CANDIDATES, population=POPULATION, seed=seed,
        frame_interval=INTERVAL_S,
    )  # fmt: skip
    return world.result()


def _middle(result: Any, entity: str, frame: int) -> np.ndarray:
    place = next(t for t in result.tracks if t.name == entity).poses[frame].position
    return np.array([place.x, place.y, place.z])


def _drawn(world: WorldClient, trajectory: str, camera: Camera, spent: Spent) -> list[np.ndarray]:
    """Pictures of a trajectory's frames."""
    began = time.perf_counter()
    view = CameraView(camera_info=camera_to_info(camera), pose=viewmat_to_pose(camera.viewmat))
    times = np.arange(0, DURATION_S + INTERVAL_S / 2, INTERVAL_S)
    pictures = [np.array(world.render(view=view, trajectory_id=trajectory, time=float(t))) for t in times]
    spent.drawn += time.perf_counter() - began
    return pictures


def _write_beside(stem: Path, columns: list[list[np.ndarray]], goal: Goal, camera: Camera) -> float:
    """Films side by side, the goal marked, and their last picture; the seconds that took."""
    began = time.perf_counter()
    uv, _ = camera.project(np.array([[*goal.place, 0.0]]))
    place = tuple(round(float(v)) for v in uv[0])
    pictures = []
    for row in zip(*columns, strict=True):
        marked = [cv2.drawMarker(np.ascontiguousarray(p), place, (220, 30, 30), cv2.MARKER_CROSS, 12, 2) for p in row]
        pictures.append(np.hstack(marked))
    write_film(stem.with_suffix(".mp4"), pictures, fps=25)
    cv2.imwrite(str(stem.with_suffix(".png")), pictures[-1][..., ::-1])
    return time.perf_counter() - began


def _for_the_demo(width: int | None, source: Path, folder: Path) -> Path:
    """The folder, with a copy of the scene's file in it: on the fast engine, with another working width [px]."""
    fields = yaml.safe_load(source.read_text(encoding="utf-8"))
    fields["photo"] = str((source.parent / fields["photo"]).resolve())
    fields["simulation"] = {**fields.get("simulation", {}), "engine": "fast", "particles": PARTICLES}
    fields["refine"] = {**fields.get("refine", {}), "width_px": FILM_PX, "iterations": 40}
    if width is not None:
        fields["reconstruct"] = {**fields.get("reconstruct", {}), "width_px": width}
    folder.mkdir()
    (folder / source.name).write_text(yaml.safe_dump(fields), encoding="utf-8")
    return folder


def _scene_section(
    world: WorldClient, config: SceneConfig, out: Path, shape: tuple[int, ...], seconds: float, response: Any
) -> Section:
    height, width = shape[:2]
    photo = cv2.resize(cv2.imread(config.photo), (width, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out / "photo.png"), photo)
    render = world.render()
    cv2.imwrite(str(out / "render.png"), render[..., ::-1])
    error = float(np.mean((photo[..., ::-1].astype(float) - render) ** 2))
    c = config.camera
    camera = Camera.above_table(
        height_m=c.height_m, pitch_deg=c.pitch_deg, hfov_deg=c.hfov_deg, width=width, height=height
    )
    media = [("photo.png", "the photo"), ("render.png", "the scene, drawn from the photo's camera")]
    pivot = [0.75 * config.table.edge_m, 0.0, 0.0]
    for degrees in (-20, 20):
        turned = orbit(camera.viewmat, pivot, [math.radians(degrees)])[0]
        view = CameraView(camera_info=camera_to_info(camera), pose=viewmat_to_pose(turned))
        picture = image_to_numpy(world.call("RenderView", view=view).image)
        name = f"turned_{degrees:+d}.png"
        cv2.imwrite(str(out / name), picture[..., ::-1])
        media.append((name, f"turned by {degrees}°"))
    rows = [
        ("reconstructed in", f"{seconds:.1f} s"),
        ("PSNR at the photo", f"{10 * math.log10(255**2 / error):.1f} dB"),
    ]
    for e in response.entities:
        rows.append(
            (e.name, f"{e.kind}, {e.material}, {e.mass:.2f} kg, {e.particles} particles, {e.gaussians} Gaussians")
        )
    return Section("Photo to scene", media=media, rows=rows)


class Memory:
    """The most resident memory [GB] of this process and its children so far, looked at twice a second."""

    def __init__(self) -> None:
        self.peak_gb = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while True:
            total = 0
            for process in [me, *me.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):  # ended since it was listed
                    total += process.memory_info().rss
            self.peak_gb = max(self.peak_gb, total / 1e9)
            time.sleep(0.5)


class step:
    """Prints what is under way, and how long it took."""

    def __init__(self, text: str) -> None:
        self.text, self.seconds = text, 0.0

    def __enter__(self) -> step:
        self._began = time.perf_counter()
        CONSOLE.print(f"[dim]...[/] {self.text}")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        if kind is None:
            CONSOLE.print(f"    {self.seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
