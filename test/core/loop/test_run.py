"""`pw run`: rounds with and without targets, their page, and going on after a kill at any moment."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time

import numpy as np
import pytest

from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, PWError
from pw_core.loop.ledger import Entry, Ledger
from pw_core.loop.page import polyline
from pw_core.loop.rounds import Rounds
from pw_core.loop.truth import Truth


def files_of(page):
    return re.findall(r'src="([^"]+)"', page.read_text())


def test_without_targets_it_is_rollouts_and_a_page(story, pw, tmp_path) -> None:
    status, said = pw("run", story.scene, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert status == 0, said
    world = story.World.open(tmp_path / "store", scene="ball")
    assert len(world.states()) == 3 and world.state().time_s == pytest.approx(0.5)
    shown = files_of(tmp_path / "out" / "index.html")
    assert len(shown) == 4 and all((tmp_path / "out" / f).is_file() for f in shown)
    again, said = pw("run", story.scene, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert again == 0 and "2 of 2 rounds are done" in said
    assert len(story.World.open(tmp_path / "store", scene="ball").states()) == 3


@pytest.mark.slow
def test_rounds_follow_a_world_that_they_do_not_know(story, pw, tmp_path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    status, said = pw(
        "run", story.scene, "--targets", story.targets, "--truth", story.truth, "--store", store, "--out", out
    )
    assert status == 0, said
    world = story.World.open(store, scene="ball")
    done = json.loads((out / "run.json").read_text())["entries"]
    assert [(e["round"], e["what"]) for e in done] == [(1, "rollout"), (1, "refine"), (2, "rollout"), (2, "refine")]
    assert world.head == done[-1]["state"] and len(world.states()) == 5
    truth = Truth(story.truth, start=world.scene.rest)
    ends = [world.trajectory(e["trajectory"]).positions[-1] for e in done]
    first, corrected, second, last = (truth.error(k, p, time_s=0.25).particle_m for k, p in zip((1, 1, 2, 2), ends))
    unaware = float(np.linalg.norm(story.stand_in.HIDDEN)) * 0.25**2 / 2
    assert first == pytest.approx(unaware, rel=0.01) and corrected < 0.3 * first
    assert second == pytest.approx(unaware, abs=0.3 * unaware) and last < 0.3 * second
    page = (out / "index.html").read_text()
    for words in ("rollout", "target", "refined", "refined - target", "Loss", "gust 2", "predicted state off by"):
        assert words in page, words
    shown = files_of(out / "index.html")
    assert len(shown) == 2 * 2 * (5 + 1) and all((out / f).is_file() for f in shown)
    entry = next(e for e in done if e["what"] == "refine")
    assert len(entry["more"]["losses"]) == 4 and entry["more"]["figures"]["mask_iou_after"] > 0.8
    # A page that is lost comes back without a round being done again.
    shutil.rmtree(out / "round-1")
    assert pw("run", story.scene, "--targets", story.targets, "--store", store, "--out", out)[0] == 0
    assert all((out / f).is_file() for f in shown) and len(story.World.open(store, scene="ball").states()) == 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_moment_it_goes_on_and_ends_as_if_it_had_not_been(story, pw_process, tmp_path) -> None:
    def arguments(name):
        return ("run", story.scene, "--targets", story.targets, "--store", tmp_path / name / "store",
                "--out", tmp_path / name / "out")  # fmt: skip

    began = time.monotonic()
    whole = pw_process(*arguments("whole"))
    said, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, said
    took = time.monotonic() - began
    rng, kills = random.Random(5), 0
    for _ in range(10):
        began = time.monotonic()
        process = pw_process(*arguments("killed"))
        try:
            process.wait(rng.uniform(0.2, 0.8) * took)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:  # quicker than the whole one, whose kernels may have been compiled or whose machine was busy
            took = time.monotonic() - began
            shutil.rmtree(tmp_path / "killed")
            continue
        if (tmp_path / "killed" / "store" / "ball" / "scene.yaml").is_file():
            world = story.World.open(tmp_path / "killed" / "store", scene="ball")
            assert np.isfinite(world.state().physics.particles.positions).all()
        if kills >= 4:
            break
    process = pw_process(*arguments("killed"))
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert kills >= 2
    ends = []
    for name in ("whole", "killed"):
        world = story.World.open(tmp_path / name / "store", scene="ball")
        assert {s.id for s in world.states()} == world.committed and len(world.states()) == 5
        ends.append(world.state().physics.particles.positions)
        assert (tmp_path / name / "out" / "index.html").is_file()
    assert np.allclose(*ends, atol=1e-5)


def test_a_state_counts_once_it_is_committed(tmp_path) -> None:
    ledger = Ledger(tmp_path / "run.json", scene="ball", base="root")
    ledger.propose(Entry(1, "rollout", "s-1", "t-1"))
    ledger.propose(Entry(1, "refine", "s-2", "t-2", {"losses": [1.0]}))
    again = Ledger(tmp_path / "run.json", scene="ball", base="s-9")
    assert again.base == "root" and again.last == "s-2"
    assert [e.state for e in again.settle({"root", "s-1"})] == ["s-2"] and again.last == "s-1"
    assert Ledger(tmp_path / "run.json", scene="ball", base="").entries == again.entries
    with pytest.raises(PWError, match="scene 'ball'"):
        Ledger(tmp_path / "run.json", scene="other", base="root")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(PWError) as caught:
        Ledger(tmp_path / "run.json", scene="ball", base="root")
    assert caught.value.code == ErrorCode.STORE_FAILED


def test_a_crash_between_files_and_tree_leaves_no_state_behind(story, tmp_path) -> None:
    from pw_core.config import SceneConfig

    config = SceneConfig.load(story.scene)
    world = story.World(tmp_path / "store")
    world.reconstruct(config)
    list(Rounds(world, config.rounds[:1], tmp_path / "out", refine=RefineConfig()).run())
    tree = tmp_path / "store" / "ball" / "tree.json"
    tree.write_text('{"head": "root", "committed": ["root"], "last_trajectory": ""}')  # as it was before the commit
    world = story.World.open(tmp_path / "store", scene="ball")
    assert len(world.states()) == 2
    going = Rounds(world, config.rounds[:1], tmp_path / "out", refine=RefineConfig())
    assert len(world.states()) == 1 and not going.done(1)
    list(going.run())
    assert going.done(1) and len(world.states()) == 2


def test_another_scene_file_of_that_name_is_told(story, pw, tmp_path) -> None:
    store = ("--store", tmp_path / "store", "--out", tmp_path / "out")
    assert pw("run", story.scene, "--rounds", 1, *store)[0] == 0
    other = tmp_path / "ball.yaml"
    other.write_text(story.scene.read_text().replace("pitch_deg: 15", "pitch_deg: 16"))
    status, said = pw("run", other, *store)
    assert status == 1 and "another configuration" in said
    status, said = pw("run", story.scene, "--targets", tmp_path, *store)
    assert status == 1 and "round-1" in said


def test_truth_of_other_particles_is_matched_at_the_start(tmp_path) -> None:
    rng = np.random.default_rng(0)
    real = rng.uniform(0, 0.1, (2000, 3)).astype(np.float32)
    ours = rng.uniform(0.01, 0.09, (300, 3)).astype(np.float32)
    moved = np.stack([real, real + np.float32([0.02, 0, 0])])
    np.savez(tmp_path / "round-1.npz", times=[0.0, 0.5], positions=moved)
    truth = Truth(tmp_path, start=ours)
    assert truth.error(1, ours + np.float32([0.02, 0, 0]), time_s=0.5).particle_m < 1e-6
    assert truth.error(1, ours, time_s=0.5).particle_m == pytest.approx(0.02, rel=1e-3)
    assert truth.error(2, ours, time_s=0.5) is None
    with pytest.raises(PWError, match=r"round-1\.npz"):
        Truth(tmp_path / "none", start=ours)


def test_the_curve_is_within_its_frame() -> None:
    path, low, high = polyline([3.0, 2.0, 1.0])
    assert (low, high) == (1.0, 3.0) and path == "M40.0 10.0L295.0 90.0L550.0 170.0"
    assert polyline([1.0])[0] == "M40.0 170.0"
