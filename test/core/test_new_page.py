"""The page of `pw new`: what it answers, and a person's clicks in a real browser that end in a scene that rolls out."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from pw_core.cli.own.server import Page, PageOptions
from pw_core.cli.own.session import Session
from pw_core.config import SceneConfig
from support.ball_photo import HEIGHT, RADIUS, WIDTH, ball_config, ball_mask, ball_photo
from support.browser import Visit, visitor, visitors

BOX = ball_config().entities[0].prompt.box


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    Image.fromarray(ball_photo()).save(tmp_path / "ball.png")
    made = Page(Session(tmp_path / "ball.png", store=tmp_path / "store"))
    yield made
    made.close()


def ask(page: Page, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
    """Status and answer."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    address = page.address.split("/?")[0] + path
    request = urllib.request.Request(address, data, {"X-Token": page.token if token is None else token})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def make_fields(page: Page, **changes: Any) -> dict[str, Any]:
    thing = {"name": "ball", "material": "fruit", "box": list(BOX)}
    return {"photo": page.session.first, "name": "ball", "things": [thing], "size_m": 0.1, "hfov_deg": 40,
            "pitch_deg": 15, "particles": 1000} | changes  # fmt: skip


def test_only_who_has_the_token_is_answered(page: Page) -> None:
    for path in ("/begin", "/job", "/photo", "/"):
        code, said = ask(page, path, token="guess")
        assert code == 403 and "token" in said["error"]
    assert ask(page, "/../../etc/passwd")[0] == 404 and ask(page, "/begin")[0] == 200
    assert urlsplit(page.address).hostname == "127.0.0.1"


@pytest.mark.parametrize("data", [b"no picture", b"\x89PNG\r\n\x1a\n cut off", b""])
def test_a_bad_upload_is_refused_by_name(page: Page, data: bytes) -> None:
    code, said = ask(page, "/upload?name=..%2f..%2fholiday.png", data)
    assert code == 400 and "holiday.png" in said["error"] and said["code"] == 101
    assert ask(page, "/begin")[1]["photo"]["file"] == "ball.png"


def test_an_upload_never_takes_the_place_of_another_photo(page: Page, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(ball_photo()[:, ::-1]).save(tmp_path / "mirror.png")
    mirrored, same = (tmp_path / "mirror.png").read_bytes(), (tmp_path / "ball.png").read_bytes()
    other = ask(page, "/upload?name=ball.png", mirrored)[1]
    assert other["file"].startswith("ball_") and other["file"].endswith(".png") and other["photo"] != page.session.first
    again = ask(page, "/upload?name=ball.png", same)[1]
    assert again["file"] == "ball.png" and again["photo"] == page.session.first
    assert (tmp_path / "ball.png").read_bytes() == same


def test_what_is_too_large_or_no_json_is_refused(tmp_path: Path) -> None:
    page = Page(Session(store=tmp_path), options=PageOptions(photo_bytes=2 << 20))
    try:
        assert ask(page, "/upload?name=a.png", bytes(3 << 20))[0] == 413
        assert ask(page, "/masks", b"{")[0] == 400
        code, said = ask(page, "/masks", {"photo": "x", "things": [], "boxes": 3})
        assert code == 400 and "boxes" in said["error"]
        assert ask(page, "/begin")[1]["photo"] is None
    except (ConnectionError, urllib.error.URLError):  # it hangs up on what it does not read
        assert ask(page, "/begin")[0] == 200
    finally:
        page.close()


def test_masks_and_what_is_wrong_with_a_box(page: Page) -> None:
    things = [{"name": "ball", "box": list(BOX)}, {"name": "thin", "box": [5, 5, 7, 60]}]
    code, (ball, thin) = ask(page, "/masks", {"photo": page.session.first, "things": things})
    assert code == 200 and not thin["outlines"] and "at least 4 px" in thin["text"]
    import cv2

    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(drawn, [np.rint(np.array(o)).astype(np.int32) for o in ball["outlines"]], 1)
    both, true = drawn.astype(bool), ball_mask()
    assert (both & true).sum() / (both | true).sum() > 0.93


def test_a_second_browser_waits_and_a_stop_ends_the_job(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def slowly(session: Session, target: Path, replace: bool) -> None:
        begun.set()
        while True:
            session._stop.wait(0.02)
            session._told("lifting", 0.4)

    monkeypatch.setattr(Session, "_made", slowly)
    assert ask(page, "/make", make_fields(page))[1]["state"] == "running" and begun.wait(10)
    code, said = ask(page, "/make", make_fields(page, name="other"))
    assert code == 409 and "is being made" in said["error"] and ask(page, "/job")[1]["name"] == "ball"
    assert ask(page, "/stop", {})[0] == 200
    page.session.close()
    assert ask(page, "/job")[1]["state"] == "stopped"
    code, said = ask(page, "/make", make_fields(page))
    assert code == 409 and "is there already" in said["error"]
    code, said = ask(page, "/make", make_fields(page, name="../up"))
    assert code == 400 and "name" in said["error"]


def test_a_closed_tab_leaves_the_page_as_it_was(page: Page) -> None:
    at = urlsplit(page.address)
    assert at.hostname and at.port
    for words in (b"POST /masks HTTP/1.1\r\nContent-Length: 900\r\n\r\n{", b"GET /photo?token=", b"\0\xff\r\n\r\n"):
        with socket.create_connection((at.hostname, at.port)) as half:
            half.sendall(words)
    assert ask(page, "/job")[1]["state"] == "none"


def at(visit: Visit, x: float, y: float) -> tuple[float, float]:
    """Where on the page a pixel of the ball's photo is."""
    stage = visit.page.locator("#canvas").bounding_box()
    assert stage is not None
    scale = min(stage["width"] / WIDTH, stage["height"] / HEIGHT)
    left, top = stage["x"] + (stage["width"] - scale * WIDTH) / 2, stage["y"] + (stage["height"] - scale * HEIGHT) / 2
    return left + scale * x, top + scale * y


def drag(visit: Visit, start: tuple[float, float], end: tuple[float, float]) -> None:
    mouse = visit.page.mouse
    mouse.move(*at(visit, *start))
    mouse.down()
    mouse.move(*at(visit, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    mouse.move(*at(visit, *end))
    mouse.up()


@pytest.mark.slow
def test_a_persons_clicks_end_in_a_scene_that_rolls_out(page: Page, tmp_path: Path) -> None:
    with visitor(wait_s=120) as visit:
        seen = visit.page
        seen.goto(page.address)
        seen.wait_for_selector("body[data-estimate=there]")
        drag(visit, (BOX[0], BOX[1]), (BOX[2], BOX[3]))
        seen.wait_for_selector("body[data-masks=there]")
        seen.click("[data-tool=points]")
        seen.mouse.click(*at(visit, (BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2))
        seen.click("[data-tool=negative_points]")
        seen.mouse.click(*at(visit, BOX[0] + 3, BOX[1] + 3))
        seen.locator(".thing .material").select_option("foam")
        for name, value in (("#hfov", "40"), ("#size", str(200 * RADIUS)), ("#pitch", "12")):
            seen.fill(name, value)
            seen.press(name, "Enter")
        seen.click("[data-tool=table]")
        drag(visit, (300, 165), (300, 165 - 23.5))  # the horizon goes up with it: 12 to 15 degrees
        assert 14 < float(seen.input_value("#pitch")) < 16
        assert 18 < float(seen.input_value("#height")) < 22
        seen.select_option("#particles", "1000")
        seen.click("#make")
        seen.wait_for_selector("body[data-job=done], body[data-job=failed]")
        seen.wait_for_selector("#commands code")
        assert seen.locator("#wrong").is_hidden() and not visit.elsewhere and not visit.errors
        commands = seen.locator("#commands code").all_inner_texts()
    config = SceneConfig.load(tmp_path / "ball.yaml")
    assert config.entities[0].material.density_kg_m3 == 40 and len(config.entities[0].prompt.points) == 1
    assert config.camera.height_m == pytest.approx(0.2, rel=0.1)
    assert "laid by hand" in (tmp_path / "ball.yaml").read_text()
    assert commands[0].startswith("pw rollout ball --film") and str(tmp_path / "store") in commands[0]
    assert page.session.job()["pictures"] > 5
    from pw_core.world import World

    world = World(tmp_path / "store")
    world.select("ball")
    assert world.scene is not None and world.scene.entities[0].name == "thing" and len(world.states()) >= 1


@pytest.mark.slow
def test_two_browsers_draw_each_their_own(page: Page) -> None:
    with visitors(count=2, wait_s=60) as (one, other):
        for visit in (one, other):
            visit.page.goto(page.address)
            visit.page.wait_for_selector("body[data-estimate=there]")
        drag(one, (BOX[0], BOX[1]), (BOX[2], BOX[3]))
        one.page.wait_for_selector("body[data-masks=there]")
        assert "mask found" in one.page.inner_text("#things") and "no box yet" in other.page.inner_text("#things")
        other.page.click("#make")
        other.page.wait_for_selector("#wrong", state="visible")
        assert "Draw a box" in other.page.inner_text("#wrong")
        other.page.close()
        one.page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
        one.page.wait_for_selector("#wrong", state="visible")
        assert "x.png" in one.page.inner_text("#wrong") and one.page.inner_text("#title") == "ball.png"
