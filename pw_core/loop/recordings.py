"""A ROS recording as films: each colour topic is one, matched to a camera of the scene, with the messages' stamps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.errors import ErrorCode, RefineError
from pw_core.gaussians import F64, Camera
from pw_core.media.errors import MediaError
from pw_core.reconstruct.layouts import bags
from pw_core.reconstruct.layouts.bag_poses import Transforms, stamp_of
from pw_core.refine.targets.footage import Shot, film_of
from pw_core.refine.targets.observed import CameraFilm


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """When a topic is a film of a camera that stays where it is."""

    most_motion: float = 2e-3
    """By which a camera's pose may change during the film (m, or a rotation's entry)."""


def recorded_films(
    path: Path, *, cameras: Sequence[str] = (), known: Sequence[Camera] = (),
    options: RecordingOptions = RecordingOptions(),
) -> tuple[list[CameraFilm], float]:  # fmt: skip
    """Films of a recording's colour topics, lenses straightened, and the first stamp [s] of all, which stands for the
    trajectory's start where nothing else is told.

    A topic is of the camera of the scene, one of `known`, that has its name: the topic's namespace (`/front/image_raw`:
    front) or the messages' frame, with or without `_optical_frame` and a prefix that ends in /; or of the only one, if
    there is one topic alone.
    Else it is a camera of its own where camera_info and poses tell lens and place, the poses' root being the scene's
    world. Stamps are the headers'; where those are 0, the times of receipt.

    Args:
        cameras: names of those that are wanted; empty: all that can be.

    Raises:
        RefineError: INVALID_TARGET for a recording that cannot be read or a camera that moves; TARGET_CAMERA_UNKNOWN
            for a topic that is of no camera; INVALID_STAMPS.
    """
    films: list[CameraFilm] = []
    passed: list[str] = []
    try:
        with bags.open_recording(path) as reader:
            topics = bags.color_topics(reader)
            if not topics:
                raise RefineError(f"{path}: holds no colour pictures", code=ErrorCode.INVALID_TARGET)
            transforms = bags.transforms_of(reader)
            for topic in topics:
                raw, kind = _first(reader, topic)
                first = reader.deserialize(raw, kind)
                frame = str(first.header.frame_id)
                if transforms.viewmat(frame, stamp_of(first), static=True) is None:
                    bags.posed_by_topic(reader, transforms, topic, raw, kind)
                named = _name(topic, frame, known, alone=len(topics) == 1)
                if cameras and (named or _own_name(topic)) not in cameras:
                    continue
                film = _film(reader, topic, named, transforms, path, options)
                if film is None:
                    passed.append(topic)
                else:
                    films.append(film)
    except MediaError as error:
        raise RefineError(str(error), code=ErrorCode.INVALID_TARGET) from None
    if not films:
        raise RefineError(
            f"{path}: none of its topics ({', '.join(passed or topics)}) is of a camera of the scene "
            f"({', '.join(cameras or [c.name for c in known]) or 'which has none'}), and no camera_info and poses say "
            "where else they were taken from: name the camera as the topic's namespace",
            code=ErrorCode.TARGET_CAMERA_UNKNOWN,
        )
    return films, min(float(f.stamps[0]) for f in films)


def _own_name(topic: str) -> str:
    """A camera's name from its topic: `/front/color/image_raw/compressed` is front_color."""
    base = re.sub(r"/(image[a-z_]*|compressed)", "", bags.base_topic(topic).rstrip("/")).strip("/")
    return re.sub(r"[^A-Za-z0-9_]", "_", base) or "camera"


def _name(topic: str, frame: str, known: Sequence[Camera], *, alone: bool) -> str:
    """The name of the scene's camera that a topic is of; empty: none."""
    own = _own_name(topic)
    bare = re.sub(r"_(optical_frame|optical|frame|link)$", "", frame.strip("/"))
    for wanted in (own, *own.split("_"), frame.strip("/"), bare, bare.rpartition("/")[2]):
        for camera in known:
            if wanted and camera.name.lower() == wanted.lower():
                return camera.name
    return known[0].name if alone and len(known) == 1 else ""


def _first(reader: Any, topic: str) -> tuple[bytes, str]:
    """The first message of a topic that has some, and its type."""
    own = [c for c in reader.connections if c.topic == topic]
    connection, _, raw = next(iter(reader.messages(connections=own)))
    return raw, connection.msgtype


def _film(
    reader: Any, topic: str, named: str, transforms: Transforms, path: Path, options: RecordingOptions
) -> CameraFilm | None:
    """None: it is of no camera that anything is known of."""
    K, lens = bags.lens_of(reader, topic, f"{path}, camera_info of {topic}")
    stamps: list[float] = []
    received: list[float] = []
    poses: list[Any] = []

    def shots() -> Iterator[Shot]:
        for connection, t, raw in reader.messages(connections=[c for c in reader.connections if c.topic == topic]):
            message = reader.deserialize(raw, connection.msgtype)
            read = bags.read_message(message, K, lens)
            stamps.append(stamp_of(message))
            received.append(t * 1e-9)
            poses.append(transforms.viewmat(message.header.frame_id, stamps[-1], static=True))
            yield Shot(read.rgb, read.valid)

    taken = list(shots())
    camera: Camera | str = named
    if not named:
        placed = [p for p in poses if p is not None]
        if K is None or len(placed) < len(poses):
            return None
        if max(float(np.abs(p - placed[0]).max()) for p in placed) > options.most_motion:
            raise RefineError(
                f"{path}: the camera of {topic} moves during the film: films of cameras that stay are taken",
                code=ErrorCode.INVALID_TARGET,
            )
        height, width = taken[0].rgb.shape[:2]
        camera = Camera(_own_name(topic), K, placed[0], width, height)
    times, notes = _times(stamps, received)
    order = np.argsort(times, kind="stable")
    keep = order[np.concatenate([[True], np.diff(times[order]) > 0])]
    if len(keep) < len(times):
        notes = (*notes, f"{len(times) - len(keep)} frames with the stamp of another are left out")
    film = film_of([taken[k] for k in keep], times[keep], camera, path)
    told = f"topic {topic}" + ("" if named else ", placed by the recording's poses in the scene's world")
    return CameraFilm(film.camera, film.stamps, film.frames, film.valid, notes=(told, *notes, *film.notes))


def _times(stamps: Sequence[float], received: Sequence[float]) -> tuple[F64, tuple[str, ...]]:
    """The headers' stamps [s], or the times of receipt where a header has none."""
    times = np.array(stamps)
    if (times == 0).any():
        return np.array(received), ("the headers have no stamps: the times of receipt are taken",)
    return times, ()
