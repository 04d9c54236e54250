"""One process writes a scene; others read it, and are told who writes when they try."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pw_core.errors import ErrorCode, PWError
from pw_core.scene import State
from pw_core.store import Store
from pw_core.store.locks import Lock, held_here
from pw_core.tree import ROOT
from pw_core.world import World

OTHER = """
import sys
from pw_core.store.locks import Lock
from pathlib import Path
lock = Lock.take(Path(sys.argv[1]), "ball")
print("mine", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def store(scene, tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.save_scene(scene, root=State(ROOT, "", 0.0, scene.initial_physics()))
    store.close()
    return store


@pytest.fixture
def other(store):
    """Another process that writes the scene."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_writer_is_told_and_readers_always_read(store, scene, other) -> None:
    world = World.open(store.root, scene="ball")
    assert world.head == ROOT
    before = {p: p.read_bytes() for p in store.root.rglob("*") if p.is_file()}
    for call in (lambda: world.commit(ROOT), world.reset, lambda: world.save(ROOT, "x"),
                 lambda: store.save_scene(scene, replace=True)):  # fmt: skip
        with pytest.raises(PWError) as caught:
            call()
        assert caught.value.code == ErrorCode.STORE_LOCKED
        assert f"process {other.pid} on {os.uname().nodename}, since 20" in str(caught.value)
    assert {p: p.read_bytes() for p in store.root.rglob("*") if p.is_file()} == before
    world.adopt(scene.with_id("own"))  # another scene is nobody's
    other.send_signal(signal.SIGKILL)
    other.wait()
    world.select("ball")
    world.save(ROOT, "x")  # the system took the lock back


def test_worlds_of_one_process_share_it_and_give_it_back_together(store, other, scene) -> None:
    other.kill()
    other.wait()
    first, second = (World.open(store.root, scene="ball") for _ in range(2))
    first.reset()
    second.select("ball")
    second.reset()
    assert held_here(store.root, "ball")
    first.adopt(scene.with_id("own"))  # it works on another scene now
    assert held_here(store.root, "ball")
    del second
    gc.collect()
    assert not held_here(store.root, "ball") and held_here(store.root, "own")
    ran = subprocess.run([sys.executable, "-c", OTHER, str(store.root)], input="", capture_output=True, text=True)
    assert ran.stdout == "mine\n", ran.stderr


def test_a_forked_child_does_not_hold_it(store) -> None:
    lock = Lock.take(store.root, "ball")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(0)
    lock.release()
    ran = subprocess.run([sys.executable, "-c", OTHER, str(store.root)], input="", capture_output=True, text=True)
    os.write(write, b"x")
    os.waitpid(child, 0)
    assert ran.stdout == "mine\n", ran.stderr


def test_a_lock_whose_file_is_gone_is_taken_anew(store) -> None:
    lock = Lock.take(store.root, "ball")
    (store.root / ".locks/ball.json").unlink()
    assert not lock.is_there()
    again = Lock.take(store.root, "ball")
    assert again.is_there() and lock.is_there()
    again.release()
    assert held_here(store.root, "ball")
    lock.release()
    assert not held_here(store.root, "ball")
