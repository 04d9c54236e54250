"""The studio in a real headless Chromium: pictures a second, time to a what-if, a scripted visit with screenshots."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time

import cv2
import numpy as np

from parts.records import ROOT, psnr, record
from pw_core.config import SceneConfig
from pw_core.reconstruct import reconstruct
from pw_core.studio import Studio
from pw_core.studio.panels.looks import put
from pw_core.world import World

sys.path.insert(0, str(ROOT / "test"))
from support.browser import Visit, visitor
from support.studio_visit import choose, come_in, drag, own_errors, press, settled, tab, until

SIZE = (960, 600)
PLAYED_S, ORBITED_S = 6.0, 6.0
SHOTS = ROOT / "out/bench/seen/studio"


def studio() -> None:
    """Figures of each example scene, and the visit to one."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name in ("play_doh", "jam", "dumpling"):
        store = ROOT / "out/bench/seen/studio_store"
        shutil.rmtree(store, ignore_errors=True)
        world = World(store)
        world.adopt(reconstruct(SceneConfig.load(ROOT / f"config/scenes/{name}.yaml")))
        made = Studio(world, port=0)
        try:
            with visitor(width=SIZE[0], height=SIZE[1], wait_s=240) as visit:
                come_in(visit, made)
                _figures(name, made, visit)
                if name == "play_doh":
                    _visit(made, visit)
        finally:
            made.close()


def _note() -> str:
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    return f"{SIZE[0]} x {SIZE[1]} px, no GPU, one machine for both, {load}"


def _counted(visit: Visit, seconds: float) -> tuple[float, float]:
    """New pictures and drawn frames a second in the browser over the last `seconds`."""
    pictures, drawn = visit.page.evaluate(
        "(s) => [window.__pictures, window.__drawn].map(l => l.filter(t => t > performance.now() - 1000 * s).length)",
        seconds,
    )
    return pictures / seconds, drawn / seconds


def _figures(name: str, made: Studio, visit: Visit) -> None:
    drag(visit, made, 80)
    first = made.acting.first_frame_s
    released = visit.page.evaluate("window.__released")
    seen = [t for t in visit.page.evaluate("window.__pictures") if t > released]
    record(f"studio {name}: drag to the first moved frame", first, "s", "<= 0.5", first <= 0.5, _note())
    shown = (seen[0] - released) / 1e3 if seen else None
    record(f"studio {name}: drag to the first picture of it in the browser", shown, "s", "told", None, _note())
    made.timeline.again.value = True
    made.timeline.toggle()
    visit.page.wait_for_timeout(1000 * (PLAYED_S + 1.5))
    pictures, drawn = _counted(visit, PLAYED_S)
    made.timeline.again.value = False
    made.timeline.stop()
    record(f"studio {name}: pictures a second, playing", pictures, "1/s", ">= 10", pictures >= 10,
           f"{drawn:.0f} frames drawn a second; {_note()}")  # fmt: skip
    settled(visit, made)
    _orbit(visit, ORBITED_S)
    pictures, drawn = _counted(visit, ORBITED_S)
    record(f"studio {name}: pictures a second, orbiting", pictures, "1/s", ">= 10", pictures >= 10,
           f"{drawn:.0f} frames drawn a second; {_note()}")  # fmt: skip
    settled(visit, made)
    visit.page.screenshot(path=str(SHOTS / f"{name}_orbited.png"))
    made.looks.look(None)
    settled(visit, made)


def _orbit(visit: Visit, seconds: float) -> None:
    """Drag the empty corner of the picture to and fro."""
    mouse, x, y = visit.page.mouse, 120.0, 120.0
    mouse.move(x, y)
    mouse.down()
    ends, k = time.monotonic() + seconds + 1, 0
    while time.monotonic() < ends:
        k += 1
        mouse.move(x + 60 * math.sin(k / 8), y + 20 * math.sin(k / 11))
        visit.page.wait_for_timeout(25)
    mouse.up()


def _visit(made: Studio, visit: Visit) -> None:
    """Push, play, commit, branch, compare, plan, refine, with a screenshot of each."""
    world = made.world

    def shot(name: str) -> None:
        settled(visit, made)
        visit.page.screenshot(path=str(SHOTS / f"{name}.png"))

    press(visit, "Reset")
    until(lambda: made.room.state.id == "root", visit)
    shot("open")
    first = drag(visit, made, 70)
    shot("pushed")
    press(visit, "Play")
    until(lambda: made.timeline._stop is None, visit)
    press(visit, "Commit")
    until(lambda: world.head == first, visit)
    press(visit, "Branch")
    until(lambda: made.room.state.id == "root", visit)
    second = drag(visit, made, -70)
    shot("branched")
    sight = made.room.shown
    choose(visit, "compare with", first)
    until(lambda: sight.sight.other is not None, visit)
    shot("ghost")
    choose(visit, "as", "side by side")
    until(lambda: sight.sight.layout == "side by side", visit)
    shot("side_by_side")
    choose(visit, "compare with", "-")
    tab(visit, "Looks")
    choose(visit, "what", "depth")
    until(lambda: sight.sight.kind == "depth", visit)
    shot("depth")
    choose(visit, "what", "colours")
    until(lambda: sight.sight.kind == "colours", visit)
    for name in ("particles", "entities"):
        getattr(made.looks, name).value = True
    made.looks.overlay()
    shot("particles")
    for name in ("particles", "entities"):
        getattr(made.looks, name).value = False
    made.looks.overlay()
    tab(visit, "Plan")
    press(visit, "Try")
    until(lambda: bool(made.plans.kept), visit, seconds=240)
    shot("plan")
    press(visit, "Hide ghosts")
    tab(visit, "Refine")
    choose(visit, "or towards", first)
    made.refining.iterations.value = 30
    press(visit, "Refine")
    until(lambda: made.refining.pictures["target"].visible, visit, seconds=240)
    visit.page.wait_for_timeout(1500)
    visit.page.screenshot(path=str(SHOTS / "refining.png"))
    until(lambda: made.room.jobs.wait(0.01), visit, seconds=400)
    shot("refined")
    refined = world.state(made.room.state.id)
    done = bool(refined.figures) and refined.parent == second and world.head == first and not made.room.told
    record("studio visit: states that clicks led to", len(world.states()) - 1, "", ">= 3", done,
           f"push, play, commit, branch, compare, plan, refine; said: {[t.text for t in made.room.told]}")  # fmt: skip
    errors = own_errors(visit)
    record("studio visit: console errors", len(errors), "", "0", not errors, "; ".join(errors)[:200])
    made.room.show_state("root")
    _as_the_browser_draws(made, visit)


def _as_the_browser_draws(made: Studio, visit: Visit) -> None:
    """Gaussians in the browser, from the photo's camera, held against this package's own picture."""
    scene, camera = made.room.scene, made.room.scene.cameras[0]
    width, height = camera.width, camera.height
    visit.page.set_viewport_size({"width": width, "height": height})
    for drawn, name in (("this machine", "here"), ("the browser", "there")):
        made.looks.drawn.value = drawn
        made.looks._draw()
        (client,) = made.server.get_clients().values()
        put(client, camera, made.looks.pivot(camera))
        visit.page.wait_for_timeout(4000 if name == "here" else 20000)
        path = SHOTS / f"drawn_{name}.png"
        visit.page.add_style_tag(content="body > div > :not(canvas) .mantine-Paper-root { visibility: hidden; }")
        visit.page.screenshot(path=str(path), timeout=120_000)
        own = made.world.appearance.render(camera, scene.initial_physics()).rgb
        picture = cv2.imread(str(path))[..., ::-1]
        free = np.ones(picture.shape[:2], bool)
        free[:, int(0.4 * width):] = False  # where the panel covers it
        value = psnr(picture[free], own[free])
        record(f"studio: {name} drawn against this package's picture", value, "dB", ">= 25", value >= 25,
               "photo's camera, left two fifths, which the panel does not cover")  # fmt: skip
