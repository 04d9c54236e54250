"""What the recorder keeps of stamps and pictures as drivers send them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")

import cv2
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from pw_core.errors import ErrorCode, PWError
from pw_msgs.msg import RecordSource
from pw_msgs.srv import Record
from pw_ros.convert.images import bytes_to_array, numpy_to_image
from pw_ros.interfaces.services.record import Recorder
from support.cases.messages import info
from support.cases.photos import photo


class Node(SimpleNamespace):
    """What the recorder asks of the node; its clock stands at 1000 s."""

    def __init__(self) -> None:
        super().__init__(group=None, said=[], worker=SimpleNamespace(snapshot=SimpleNamespace(cameras=())))
        self.now = 1000.0

    def get_clock(self) -> Any:
        self.now += 0.05
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=int(self.now * 1e9)))

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=self.said.append)

    def get_parameter(self, name: str) -> Any:
        return SimpleNamespace(value={"record_memory_mb": 100, "record_duration": 60.0}[name])

    def create_subscription(self, *args: Any, **options: Any) -> None:
        return None

    def destroy_subscription(self, subscription: Any) -> None:
        return None


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    def bare(self: Any, node: Any, services: Any) -> None:
        self.node = node

    monkeypatch.setattr("pw_ros.interfaces.services.answering.ServiceGroup.__init__", bare)
    made = Recorder(Node())
    answer(made, "start", sources=[RecordSource(camera="photo", image_topic="/a")])
    monkeypatch.setattr(Recorder, "_camera", lambda self, track, *rest: track.source.camera)
    return made


def answer(recorder: Recorder, command: str, **fields: Any) -> Any:
    response = Record.Response()
    recorder.record(Record.Request(command=command, **fields), response)
    return response


def stamped(t: float, pixels: np.ndarray | None = None) -> Image:
    whole = round(t * 1e9)
    stamp = Time(sec=whole // 10**9, nanosec=whole % 10**9)
    return numpy_to_image(photo() if pixels is None else pixels, stamp=stamp)


def test_pictures_without_stamps_have_the_time_of_their_arrival(recorder: Recorder) -> None:
    for _ in range(12):
        recorder._picture("photo", stamped(0.0))
    (film,) = recorder.films("", Time())
    assert len(film.stamps) == 12 and np.allclose(np.diff(film.stamps), 0.05)
    assert sum("without stamps" in text for text in recorder.node.said) == 1


def test_neighbours_that_come_out_of_order_are_sorted(recorder: Recorder) -> None:
    order = (0, 1, 3, 2, 4, 5, 7, 6, 8, 9, 11, 10)
    for k in order:
        recorder._picture("photo", stamped(100 + 0.05 * k, np.full((96, 160, 3), 40 + 10 * k, np.uint8)))
    (film,) = recorder.films("", Time())
    assert np.allclose(film.stamps, 0.05 * np.arange(12)) and film.frames[:, 0, 0, 0].tolist() == [*range(40, 160, 10)]


def test_a_clock_that_is_set_back_ends_the_recording_with_an_error(recorder: Recorder) -> None:
    for t in (100.0, 100.1, 100.2, 50.0, 50.1):
        recorder._picture("photo", stamped(t))
    with pytest.raises(PWError, match=r"went back by 50.200 s after 3 pictures") as caught:
        answer(recorder, "stop")
    assert caught.value.code == ErrorCode.INVALID_STAMPS and len(recorder.films("", Time())[0].stamps) == 3


def test_what_nobody_can_decode_or_straighten_is_told_at_once(recorder: Recorder) -> None:
    recorder._picture("photo", CompressedImage(format="jpeg", data=bytes_to_array(b"\xff\xd8\xff" + b"\0" * 50)))
    with pytest.raises(PWError, match="pictures of camera 'photo'"):
        answer(recorder, "")
    answer(recorder, "start")
    recorder._info("photo", info("ftheta", (0.1,)))
    with pytest.raises(PWError, match="ftheta") as caught:
        answer(recorder, "")
    assert caught.value.code == ErrorCode.INVALID_CAMERA


def test_padded_jpeg_dark_frames_and_lenses_make_films_of_what_was_seen(recorder: Recorder) -> None:
    jpeg = cv2.imencode(".jpg", photo()[..., ::-1])[1].tobytes() + b"\0" * 4096
    recorder._info("photo", info(d=(0.4, 0, 0, 0, 0)))
    for t in (100.0, 100.1):
        message = CompressedImage(format="jpeg", data=bytes_to_array(jpeg))
        message.header.stamp = stamped(t).header.stamp
        recorder._picture("photo", message)
    recorder._picture("photo", stamped(100.2, np.zeros((96, 160, 3), np.uint8)))
    (film,) = recorder.films("", Time())
    assert film.valid is not None and 0.5 < film.valid[0].mean() < 1 and not film.valid[2].any()


def test_a_single_picture_is_no_film(recorder: Recorder) -> None:
    recorder._picture("photo", stamped(100.0))
    recorder._picture("photo", stamped(100.0))
    with pytest.raises(PWError, match="has 1 picture, 1 more were dropped"):
        recorder.films("", Time())
