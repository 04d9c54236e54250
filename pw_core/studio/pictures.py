"""Pictures for each browser's camera: few and quick while it moves, as good as they can be when it rests."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.errors import PWError
from pw_core.gaussians import F64, Camera, quats_to_rotations
from pw_core.studio.kept import KeptPictures
from pw_core.studio.painting import Painter, Picture
from pw_core.studio.shown import Shown, Sight

if TYPE_CHECKING:
    import viser


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How large and how often."""

    still_pixels: int = 1280 * 720
    """Of a picture from a camera that rests, at most: 80 ms of a core."""
    moving_pixels: int = 432 * 270
    """Of one from a camera that moves, at most: 35 ms of a core."""
    finest: float = 1.0
    """Of the focal length of the scene's first camera [px]: Gaussians that were made for its pixels let what is behind
    through in a picture of more."""
    settle_s: float = 0.25
    """After which a camera counts as resting."""
    settle_gaps: float = 2.5
    """Times the usual gap between two of its moves, where that is longer: a slow browser tells of few."""
    most_settle_s: float = 1.0
    """But no longer [s]."""
    most_per_second: float = 25.0
    """Pictures for one browser."""
    jpeg_quality: int = 88
    """Of 100: 60 kB for a picture of 960 x 540."""
    ahead_s: float = 1.0
    """After which the frames of a trajectory are drawn ahead for a camera that rests: not in every pause of a hand."""
    look_s: float = 0.5
    """Between two looks at whether the store still has the scene."""


@dataclass
class _Seen:
    """What a browser has got: camera, version of the sight, whether quickly drawn; when its camera last moved, and how
    long after the move before [s]."""

    camera: Camera | None = None
    version: int = -1
    quick: bool = False
    moved_at: float = 0.0
    gap_s: float = 0.0
    sent_at: float = 0.0

    def move(self, now: float, o: PictureOptions) -> None:
        """The camera has moved."""
        gap = now - self.moved_at
        self.gap_s = (self.gap_s + gap) / 2 if gap < o.most_settle_s else 0.0
        self.moved_at = now

    def settle_s(self, o: PictureOptions) -> float:
        """After which it counts as resting."""
        return min(max(o.settle_s, o.settle_gaps * self.gap_s), o.most_settle_s)


class Pictures:
    """Draws on a thread of its own until `close`.

    Args:
        between: called every `look_s`, from that thread.
        idle: whether nothing else wants this machine: what may be played next is drawn ahead then.
    """

    def __init__(
        self, server: viser.ViserServer, shown: Shown, painter: Painter, *, between: Callable[[], None],
        idle: Callable[[], bool], tell: Callable[[str, str], None], options: PictureOptions = PictureOptions(),
    ) -> None:  # fmt: skip
        self.server, self.shown, self.painter, self.options = server, shown, painter, options
        self._between, self._idle, self._tell = between, idle, tell
        self._seen: dict[int, _Seen] = {}
        self._kept = KeptPictures()
        self._said = ""
        self._closed = False
        self.sent = 0
        """Pictures so far, to all browsers."""
        self._thread = threading.Thread(target=self._run, name="studio pictures", daemon=True)
        self._thread.start()

    @property
    def current(self) -> bool:
        """Whether every browser has been sent what is shown, from its camera at rest."""
        seen = list(self._seen.values())
        return bool(seen) and all(s.version == self.shown.version and not s.quick for s in seen)

    def close(self) -> None:
        """End it."""
        self._closed = True
        with self.shown.changed:
            self.shown.changed.notify_all()
        self._thread.join(timeout=5.0)

    def camera_moved(self) -> None:
        """Look at once rather than at the next turn."""
        with self.shown.changed:
            self.shown.changed.notify_all()

    def _run(self) -> None:
        looked = 0.0
        while not self._closed:
            if time.monotonic() - looked > self.options.look_s:
                self._safely(self._between)
                looked = time.monotonic()
            clients = self.server.get_clients()
            self._seen = {i: self._seen.get(i, _Seen()) for i in clients}
            busy = [self._safely(partial(self._serve, c, self._seen[i])) for i, c in clients.items()]
            if not any(busy) and not self._safely(self._draw_ahead):
                with self.shown.changed:
                    if not self._closed:
                        self.shown.changed.wait(1 / self.options.most_per_second)

    def _safely(self, do: Callable[[], bool | None]) -> bool:
        """What it returns; one browser that leaves, or one bug, must not end the pictures of all: False then, and said
        once."""
        try:
            return bool(do())
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if said != self._said and not self._closed:
                self._said = said
                traceback.print_exc()
                self._tell("Error", f"a picture: {said}")
            return False

    def _serve(self, client: viser.ClientHandle, seen: _Seen) -> bool:
        """Draw for one browser what it lacks; whether there was anything."""
        now, o = time.monotonic(), self.options
        with self.shown.changed:  # both of one change
            sight, version = self.shown.sight, self.shown.version
        if not sight.drawn_here:
            if seen.version != -1:
                client.scene.set_background_image(None)
                seen.version, seen.camera = -1, None
            return False
        if now - seen.sent_at < 1 / o.most_per_second:
            return False
        camera = browser_camera(client)
        if camera is None:
            return False
        moved = seen.camera is not None and not same_view(camera, seen.camera)
        if moved:
            seen.move(now, o)
        quick = now - seen.moved_at < seen.settle_s(o)
        if not moved and seen.camera is not None and seen.version == version and (quick or not seen.quick):
            return False
        seen.camera, seen.version, seen.quick, seen.sent_at = camera, version, quick, now
        try:
            picture = self._picture(sight, self._drawn(camera, quick), quick)
        except PWError as error:
            self._tell(f"Error {int(error.code)}", str(error))
            return True
        client.scene.set_background_image(picture, format="jpeg", jpeg_quality=o.jpeg_quality)
        client.flush()
        self.sent += 1
        return True

    def _picture(self, sight: Sight, camera: Camera, quick: bool) -> Picture:
        """Of a camera that rests kept, and not drawn twice."""
        if quick:
            return self.painter.picture(sight, camera, quick=True)
        found = self._kept.get(sight.key(), camera)
        if found is None:
            found = self.painter.picture(sight, camera)
            self._kept.put(sight.key(), camera, found)
        return found

    def _draw_ahead(self) -> bool:
        """One frame of what may be played next, for a camera that rests; whether there was one to draw."""
        with self.shown.changed:
            sight, film = self.shown.sight, self.shown.film
        if film is None or not sight.drawn_here or not sight.key() or not self._idle():
            return False
        rest_since = time.monotonic() - self.options.ahead_s
        resting = [s.camera for s in self._seen.values() if s.camera is not None and s.moved_at < rest_since]
        cameras = [self._drawn(camera, False) for camera in resting]
        for camera in cameras:
            if not self._kept.room_for(len(cameras) * len(film.names), camera):
                continue
            for index, name in enumerate(film.names):
                if not self._kept.has(sight.key(name), camera):
                    self._picture(replace(sight, moment=film.moment(index)), camera, False)
                    return True
        return False

    def _drawn(self, camera: Camera, quick: bool) -> Camera:
        """The browser's camera with as many pixels as are drawn."""
        o, first = self.options, self.painter.scene.cameras[0]
        most = o.moving_pixels if quick else o.still_pixels
        scale = min(1.0, (most / (camera.width * camera.height)) ** 0.5, o.finest * first.K[1, 1] / camera.K[1, 1])
        return camera.resized(max(2, round(camera.width * scale)), max(2, round(camera.height * scale)))


def same_view(one: Camera, other: Camera) -> bool:
    """Whether two cameras of browsers see the same."""
    return (
        (one.width, one.height) == (other.width, other.height)
        and np.allclose(one.viewmat, other.viewmat, atol=1e-5)
        and np.allclose(one.K, other.K)
    )


def browser_camera(client: viser.ClientHandle) -> Camera | None:
    """A browser's camera in its canvas's pixels; None before it has told one."""
    try:
        lens: Any = client.camera
        width, height, fov = int(lens.image_width), int(lens.image_height), float(lens.fov)
        turn = quats_to_rotations(np.asarray(lens.wxyz, np.float64))
        position: F64 = np.asarray(lens.position, np.float64)
    except (AssertionError, AttributeError):
        return None
    if width < 2 or height < 2:
        return None
    focal = height / 2 / np.tan(fov / 2)
    viewmat = np.eye(4)
    viewmat[:3, :3] = turn.T
    viewmat[:3, 3] = -turn.T @ position
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera("browser", K, viewmat, width, height)
