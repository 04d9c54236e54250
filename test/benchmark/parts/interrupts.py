"""Refine goals cancelled, and the worker killed, at random moments: is the head as it was, and readable, each time?

A node of its own, the clay at 1000 particles, its own films of a push that the prediction did not have, real physics.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parts.node import running_node, until, worker_pid
from parts.records import ROOT, record
from pw_core.errors import ErrorCode, PWError

MOMENTS = 20
WAYS = ("cancelled", "worker killed")
ITERATIONS = 60
DURATION, INTERVAL = 0.2, 0.02


def interrupts(*, moments: int = MOMENTS, seed: int = 0, ways: Sequence[str] = WAYS) -> None:
    """All of item 7."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "films").mkdir()
        with running_node(root, f"input_roots:=['{root}']") as (world, process):
            prepare(world, root / "films")
            _measure(world, process, f"file://{root / 'films'}", moments=moments, seed=seed, ways=ways)


def small_scene() -> tuple[str, Any]:
    """A configuration as YAML, and its photo: the clay at 1000 particles."""
    import imageio.v3 as iio
    import yaml

    fields = yaml.safe_load((ROOT / "config" / "scenes" / "play_doh.yaml").read_text())
    fields["simulation"]["particles"] = 1000
    fields["reconstruct"] = {"width_px": 320}
    fields["refine"] = {"width_px": 160, "nodes": 16}
    photo = iio.imread(ROOT / "examples" / "photos" / "play_doh.png")[..., :3]
    return yaml.safe_dump(fields), np.ascontiguousarray(photo)


def prepare(world: Any, films: Path) -> None:
    """A committed rollout, and a film of another one."""
    from pw_core.actions import parse_action

    text, photo = small_scene()
    world.reconstruct(config_yaml=text, photo=photo)
    push = parse_action({
        "type": "push", "duration": 0.15, "center": [0.614, 0.05, 0.03], "direction": [0, -1, 0], "radius": 0.04,
        "magnitude": 8,
    })  # fmt: skip
    world.rollout([push], DURATION, frame_interval=INTERVAL)
    real = world.result(600)
    times = np.arange(round(DURATION / INTERVAL) + 1) * INTERVAL
    frames = [world.render(trajectory_id=real.trajectory_id, time=float(t)) for t in times]
    camera = world.call("ListScenes").scenes[0].cameras[0]
    np.savez(films / f"{camera}.npz", stamps=times, frames=np.stack(frames))
    (films / "film.json").write_text(json.dumps({"time_origin": 0.0}))
    world.rollout([], DURATION, frame_interval=INTERVAL, commit=True)
    world.result(600)


def _measure(world: Any, process: Any, uri: str, *, moments: int, seed: int, ways: Sequence[str]) -> None:
    head, picture = _head(world), world.render()

    def whole(how: str) -> float:
        """Seconds of a refinement that nobody disturbs; the head is put back."""
        began = time.monotonic()
        world.refine(frames_uri=uri, iterations=ITERATIONS, commit=True)
        done = world.result(600)
        took = time.monotonic() - began
        world.call("RestoreState", state_id=head)
        note = f"PSNR {done.before.psnr_masked:.1f} to {done.after.psnr_masked:.1f} dB inside the masks"
        record(f"a refinement through the node, undisturbed, {how}", took, "s", "reported", None, note)
        return took

    rng = random.Random(seed)
    for how in ways:
        if how == "worker killed":
            os.kill(worker_pid(process), signal.SIGKILL)
            _idle(world)
        # After a kill with a new worker, which starts the simulator anew, as after each kill.
        took = whole("kernels loaded" if how == "cancelled" else "worker new")
        _counted(how, world, process, uri, moments, lambda longest=took: rng.uniform(0, longest), head, picture)


def _counted(
    how: str, world: Any, process: Any, uri: str, count: int, draw: Callable[[], float], head: str, picture: Any
) -> None:
    """Disturb `count` goals, each at a moment [s] drawn anew; one that had ended by then does not count."""
    same, right, late, slowest = 0, 0, 0, 0.0
    for k in range(3 * count):
        if k - late == count:
            break
        world.refine(frames_uri=uri, iterations=ITERATIONS, commit=True)
        time.sleep(draw())
        began = time.monotonic()
        if how == "cancelled":
            world.cancel()
        else:
            os.kill(worker_pid(process), signal.SIGKILL)
        code, committed = _ended(world)
        slowest = max(slowest, time.monotonic() - began)
        _idle(world)
        if committed:
            late += 1
            world.call("RestoreState", state_id=head)
            continue
        right += code == (ErrorCode.CANCELED if how == "cancelled" else ErrorCode.WORKER_DIED)
        same += _head(world) == head and np.array_equal(world.render(), picture)
    note = f"at random moments of goals with `commit`; {late} more had ended by then and do not count"
    record(f"refine {how}: head unchanged and readable", same, f"of {count}", f"= {count}", same == count, note)
    note = f"after at most {slowest:.2f} s"
    record(f"refine {how}: ended with its code", right, f"of {count}", f"= {count}", right == count, note)


def _ended(world: Any) -> tuple[int, bool]:
    """The goal's code, and whether it was committed before anything disturbed it."""
    try:
        result = world.result(300)
    except PWError as error:
        return int(error.code), False
    return int(result.error_code), bool(result.committed)


def _idle(world: Any) -> None:
    from pw_msgs.msg import WorldStatus

    time.sleep(0.3)  # a killed worker is noticed
    until(lambda: world.status().status == WorldStatus.IDLE, 300)


def _head(world: Any) -> str:
    return str(world.call("ListStates").head_state)
