"""`pw refine`: a corrected state from films on disk, Ctrl-C, and bad targets, each with its reason, nothing changed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.cli.common import parse_settings
from pw_core.config import RefineConfig
from pw_core.errors import ErrorCode, PWError
from pw_core.loop.films import read_films
from pw_core.loop.providers import changed, make_provider

GREY = np.full((6, 96, 144, 3), 128, np.uint8)
STAMPS = np.arange(6) * 0.05


@pytest.fixture
def store(story, pw, tmp_path):
    """A store in which the first round was rolled out."""
    folder = tmp_path / "store"
    status, said = pw("run", story.scene, "--rounds", 1, "--store", folder, "--out", tmp_path / "out")
    assert status == 0, said
    return folder


def contents(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_films_on_disk_correct_the_last_rollout(story, pw, store) -> None:
    status, said = pw("refine", "ball", "--films", story.targets / "round-1", "--store", store)
    assert status == 0 and "PSNR" in said and "IoU" in said, said
    world = story.World.open(store, scene="ball")
    (corrected,) = [s for s in world.states() if s.label == "refined"]
    assert corrected.parent == world.head and world.trajectory(corrected.trajectory_id).end == corrected.id
    assert corrected.figures["psnr_after"] > corrected.figures["psnr_before"] + 3
    assert corrected.figures["mask_iou_after"] > max(corrected.figures["mask_iou_before"] + 0.1, 0.85)
    assert corrected.figures["psnr_image_after"] > corrected.figures["psnr_image_before"]
    status, said = pw("refine", "ball", "--films", story.targets / "round-1", "--store", store, "--camera", "photo",
                      "--estimate", "wind", "--iterations", 1, "--commit")  # fmt: skip
    assert status == 0 and "wind_y: 0 →" in said, said
    world = story.World.open(store, scene="ball")
    assert world.state().parameters and world.state().figures["psnr_after"] > world.state().figures["psnr_before"]


@pytest.mark.slow
def test_a_ros_recording_corrects_it_as_the_same_films_do(story, pw, store, tmp_path) -> None:
    pytest.importorskip("rosbags", reason="needs rosbags")
    from support.recorded import film_recording

    films, _ = read_films(story.targets / "round-1")
    figures = []
    for given in (story.targets / "round-1", film_recording(tmp_path / "bag", films, late_s=0.3)):
        status, said = pw("refine", "ball", "--films", given, "--store", store, "--iterations", 5)
        assert status == 0, said
        figures.append(story.World.open(store, scene="ball").states()[-1].figures)
    assert "topic /photo/image_raw/compressed" in said and "topic /side/image_raw/compressed, placed by" in said
    assert figures[1]["psnr_before"] == pytest.approx(figures[0]["psnr_before"], abs=1e-3)
    assert figures[1]["psnr_after"] == pytest.approx(figures[0]["psnr_after"], abs=0.02)
    assert figures[1]["psnr_after"] > figures[1]["psnr_before"] + 1


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_ctrl_c_leaves_nothing_or_the_best_so_far(story, pw_process, store, keep: bool) -> None:
    before = contents(store)
    process = pw_process(
        "refine", "ball", "--films", story.targets / "round-1", "--store", store, "--iterations", 9000,
        *(["--keep-best"] if keep else []),
    )  # fmt: skip
    assert process.stdout is not None
    deadline = time.monotonic() + 120
    said = ""
    while "ball: all views" not in said:  # it optimises
        said += process.stdout.readline()
        assert process.poll() is None and time.monotonic() < deadline, said
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    after = contents(store)
    changed_files = {k for k in before if after.get(k) != before[k]}
    assert changed_files <= {"ball/tree.json"} and story.World.open(store, scene="ball").head in str(before.keys())
    if keep:
        assert process.returncode == 0, rest
        assert [s.label for s in story.World.open(store, scene="ball").states()].count("refined") == 1
    else:
        assert process.returncode == 130 and "nothing is changed" in rest and after == before


def film(folder: Path, name: str = "photo", **arrays) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{name}.npz", **{"stamps": STAMPS, "frames": GREY, **arrays})
    return folder


def bad_targets(folder: Path, story):
    """Options of `pw refine`, the code and a word of the reason."""
    black, nan = GREY * 0, GREY.astype(np.float32) / 255
    nan[2, 5, 7] = np.nan
    yield ["--films", film(folder / "size", frames=GREY[:, :40])], 301, "144 x 40 px"
    yield ["--films", film(folder / "count", frames=GREY[:4])], 301, "found 4 frames and 6 stamps"
    yield ["--films", film(folder / "black", frames=black)], 301, "all black"
    yield ["--films", film(folder / "nan", frames=nan)], 301, "frame 2 holds NaN at pixel (7, 5)"
    yield ["--films", film(folder / "order", stamps=STAMPS[::-1])], 305, "out of order"
    yield ["--films", film(folder / "far", stamps=STAMPS + 50)], 305, "no frame within"
    yield ["--films", film(folder / "nan-stamps", stamps=STAMPS * np.nan)], 305, "nan"
    yield ["--films", film(folder / "camera", name="wrist")], 306, "the scene does not know that camera"
    yield ["--films", film(folder / "good"), "--camera", "wrist"], 306, "no film of camera 'wrist'"
    yield ["--films", folder / "nowhere"], 301, "no such folder"
    yield ["--films", story.scene.parent / "truth"], 301, "has no 'frames'"
    yield [], 301, "found no film"
    yield ["--films", folder / "good", "--provider", "video_diffusion"], 301, "takes no frames"
    yield ["--provider", "video_diffusion"], 304, "refine.settings.model"
    yield ["--provider", "video_diffusion", "--setting", f"model={folder / 'weights'}"], 304, str(folder / "weights")
    yield ["--provider", "nobody"], 303, "observed, video_diffusion"
    yield ["--films", folder / "good", "--strength", 1.5], 302, "found 1.5"
    yield ["--films", folder / "good", "--strength", "nan"], 302, "strength"
    yield ["--films", folder / "good", "--estimate", "mood"], 104, "mood"
    yield ["--films", folder / "good", "--trajectory", "t-none"], 503, "t-none"


def test_bad_targets_are_told_and_change_nothing(story, pw, store, tmp_path) -> None:
    before = contents(store)
    (tmp_path / "films").mkdir()
    seen = set()
    for options, code, reason in bad_targets(tmp_path / "films", story):
        status, said = pw("refine", "ball", "--store", store, *options)
        assert status == 1 and f"error {code}:" in said, (options, said)
        assert reason.replace(" ", "") in said.replace(" ", ""), (options, said)  # a terminal breaks lines in names
        seen.add(code)
    assert seen == {104, 301, 302, 303, 304, 305, 306, 503} and contents(store) == before


def test_a_folder_of_films_of_every_kind(tmp_path) -> None:
    film(tmp_path, "arrays", masks=np.zeros(GREY.shape[:3]), valid=np.ones(GREY.shape[:3]))
    (tmp_path / "pictures").mkdir()
    for k in range(6):
        cv2.imwrite(str(tmp_path / "pictures" / f"{k}.png"), GREY[k])
    (tmp_path / "pictures" / "stamps.json").write_text(json.dumps(STAMPS.tolist()))
    (tmp_path / "film.json").write_text('{"time_origin": 2.5}')
    (tmp_path / "cameras.json").write_text(json.dumps([
        {"name": "pictures", "K": np.eye(3).tolist(), "viewmat": np.eye(4).tolist(), "width": 144, "height": 96}
    ]))  # fmt: skip
    films, origin = read_films(tmp_path)
    assert origin == 2.5 and [f.name for f in films] == ["arrays", "pictures"]
    assert films[0].masks is not None and films[0].valid is not None and films[0].valid.all()
    assert films[1].camera.width == 144 and np.array_equal(films[1].frames, GREY)
    assert [f.name for f in read_films(tmp_path, cameras=["pictures"])[0]] == ["pictures"]
    for name, text, code in (
        ("film.json", "[]", ErrorCode.INVALID_STAMPS), ("film.json", '{"time_origin": NaN}', ErrorCode.INVALID_STAMPS),
        ("cameras.json", '[{"name": "pictures"}]', ErrorCode.INVALID_TARGET),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(PWError, match=name) as caught:
            read_films(tmp_path)
        assert caught.value.code == code
        (tmp_path / name).unlink()
    film(tmp_path, "pictures")
    with pytest.raises(PWError, match="both films of camera 'pictures'"):
        read_films(tmp_path)


def test_settings_go_with_their_provider() -> None:
    base = RefineConfig(provider="video_diffusion", settings={"model": "/weights"})
    assert changed(base, {"iterations": 3}).settings == {"model": "/weights"}
    assert changed(base, {"provider": "observed"}).settings == {}
    assert parse_settings(["steps=30", "model=/a=b", "tiling=false"]) == {"steps": 30, "model": "/a=b", "tiling": False}
    with pytest.raises(PWError, match="key=value"):
        parse_settings(["steps"])
    with pytest.raises(PWError) as caught:
        make_provider(changed(base, {"provider": "observed", "settings": {"colour": 1}}), films=[])
    assert caught.value.code == ErrorCode.PROVIDER_FAILED
