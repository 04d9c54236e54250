"""The main job: a node in its own process, a client over DDS, one photo, the scene's rounds; out/demo/index.html.

python examples/demo.py [--scene play_doh] [--width 640] [--out out/demo]
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from page import Section, write_page
from rich.console import Console

from pw_core.config import SceneConfig
from pw_core.export.film import write_film
from pw_core.gaussians import Camera
from pw_core.render.cameras import orbit
from pw_msgs.msg import CameraView
from pw_ros.client import WorldClient
from pw_ros.convert.cameras import camera_to_info, viewmat_to_pose
from pw_ros.convert.images import compressed_to_numpy, image_to_numpy

ROOT = Path(__file__).resolve().parents[1]
CONSOLE = Console()


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
    if args.width is not None:
        scenes = _as_wide_as(args.width, scenes / f"{args.scene}.yaml", out / "configs")
    config = SceneConfig.load(scenes / f"{args.scene}.yaml")
    parameters = [f"store:={out / 'store'}", f"config_dirs:=['{scenes}']"]
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
    shown = time.perf_counter() - drawn_at  # of all pictures: the scene's, then each round's
    # Films are written beside the next round: encoding needs the core that physics leaves free.
    films = ThreadPoolExecutor(1)
    written: list[Future[float]] = []
    for number, round_ in enumerate(config.rounds, 1):
        with step(f"round {number}: {round_.name}") as timing:
            world.rollout(round_.actions, round_.duration, commit=True, return_views=True)
            simulated_at = 0.0
            with CONSOLE.status("") as status:
                while not world.is_done():
                    feedback = world.feedback()
                    if feedback is not None:
                        status.update(f"{feedback.stage} {feedback.fraction:.0%}")
                        if not simulated_at and feedback.fraction >= 1:
                            simulated_at = time.perf_counter()
                    time.sleep(0.02)
            result = world.result()
            shown += time.perf_counter() - simulated_at if simulated_at else 0.0
        last = f"round_{number}.png"
        written.append(films.submit(_write_round, result.views, out, number, config.playback_fps))
        rows = [
            ("simulated", f"{result.simulated_time:.2f} s in {timing.seconds:.1f} s of wall time"),
            ("frames", str(len(result.views))),
            ("state", result.state_id),
        ]
        for track in result.tracks:
            a, b = (np.array([p.position.x, p.position.y, p.position.z]) for p in (track.poses[0], track.poses[-1]))
            moved = ", ".join(f"{v * 1e3:+.0f}" for v in b - a)
            rows.append((track.name, f"moved ({moved}) mm in x, y, z"))
        media = [(f"round_{number}.mp4", "as predicted"), (last, "where it ends; the next round starts here")]
        sections.append(Section(f"Round {number}: {round_.name}", media=media, rows=rows))
    with step("the last film"):
        encoding = sum(f.result() for f in written)
    films.shutdown()
    total = time.perf_counter() - began
    states = world.states()
    sections.append(Section("All in all", rows=[
        ("states", " → ".join(s.state_id for s in states if s.committed)),
        ("wall time", f"{total:.0f} s"),
        ("rendering and sending pictures", f"{shown:.1f} s, {shown / total:.0%}"),
        ("encoding films, beside the next round", f"{encoding:.1f} s, {encoding / total:.0%}"),
        ("most memory", f"{memory.peak_gb:.1f} GB in node, worker and client together"),
    ]))  # fmt: skip
    return sections


def _as_wide_as(width: int, source: Path, folder: Path) -> Path:
    """The folder, with a copy of the scene's file in it that has another working width [px]."""
    fields = yaml.safe_load(source.read_text(encoding="utf-8"))
    fields["photo"] = str((source.parent / fields["photo"]).resolve())
    fields["reconstruct"] = {**fields.get("reconstruct", {}), "width_px": width}
    folder.mkdir()
    (folder / source.name).write_text(yaml.safe_dump(fields), encoding="utf-8")
    return folder


def _write_round(views: list[Any], out: Path, number: int, fps: float) -> float:
    """Film and last picture of a round; the seconds that took."""
    began = time.perf_counter()
    pictures = [compressed_to_numpy(v.image) for v in views]
    write_film(out / f"round_{number}.mp4", pictures, fps=fps)
    cv2.imwrite(str(out / f"round_{number}.png"), pictures[-1][..., ::-1])
    return time.perf_counter() - began


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
