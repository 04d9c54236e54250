"""Pictures for each browser's camera: few and quick while it moves, as good as they can be when it rests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.errors import PWError
from pw_core.gaussians import F64, Camera, quats_to_rotations
from pw_core.studio.painting import Painter
from pw_core.studio.shown import Shown

if TYPE_CHECKING:
    import viser


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How large and how often."""

    still_pixels: int = 1280 * 720
    """Of a picture from a camera that rests, at most: 80 ms of a core."""
    moving_pixels: int = 640 * 360
    """Of one from a camera that moves, at most."""
    finest: float = 1.0
    """Of the focal length of the scene's first camera [px]: Gaussians that were made for its pixels let what is behind
    through in a picture of more."""
    settle_s: float = 0.25
    """After which a camera counts as resting."""
    most_per_second: float = 25.0
    """Pictures for one browser."""
    jpeg_quality: int = 88
    """Of 100: 60 kB for a picture of 960 x 540."""
    look_s: float = 0.5
    """Between two looks at whether the store still has the scene."""


@dataclass
class _Seen:
    """What a browser has got: camera, version of the sight, whether quickly drawn; and when its camera last moved."""

    camera: Camera | None = None
    version: int = -1
    quick: bool = False
    moved_at: float = 0.0
    sent_at: float = 0.0
    count: int = 0


class Pictures:
    """Draws on a thread of its own until `close`.

    Args:
        between: called every `look_s`, from that thread.
    """

    def __init__(
        self, server: viser.ViserServer, shown: Shown, painter: Painter, *, between: Callable[[], None],
        tell: Callable[[str, str], None], options: PictureOptions = PictureOptions(),
    ) -> None:  # fmt: skip
        self.server, self.shown, self.painter, self.options = server, shown, painter, options
        self._between, self._tell = between, tell
        self._seen: dict[int, _Seen] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="studio pictures", daemon=True)
        self._thread.start()

    @property
    def sent(self) -> int:
        """Pictures so far, to all browsers."""
        return sum(s.count for s in self._seen.values())

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
                self._between()
                looked = time.monotonic()
            clients = self.server.get_clients()
            self._seen = {i: self._seen.get(i, _Seen()) for i in clients}
            busy = [self._serve(client, self._seen[i]) for i, client in clients.items()]
            if not any(busy):
                with self.shown.changed:
                    if not self._closed:
                        self.shown.changed.wait(1 / self.options.most_per_second)

    def _serve(self, client: viser.ClientHandle, seen: _Seen) -> bool:
        """Draw for one browser what it lacks; whether there was anything."""
        now, o = time.monotonic(), self.options
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
        if seen.camera is None or not np.allclose(camera.viewmat, seen.camera.viewmat, atol=1e-5) or (
            (camera.width, camera.height) != (seen.camera.width, seen.camera.height)
            or not np.allclose(camera.K, seen.camera.K)
        ):  # fmt: skip
            seen.moved_at = now if seen.camera is not None else 0.0
        elif seen.version == version and not (seen.quick and now - seen.moved_at >= o.settle_s):
            return False
        quick = now - seen.moved_at < o.settle_s
        try:
            picture = self.painter.picture(sight, self._drawn(camera, quick), quick=quick)
        except PWError as error:
            self._tell(f"Error {int(error.code)}", str(error))
            picture = None
        if picture is not None:
            client.scene.set_background_image(picture, format="jpeg", jpeg_quality=o.jpeg_quality)
            client.flush()
            seen.count += 1
        seen.camera, seen.version, seen.quick, seen.sent_at = camera, version, quick, now
        return True

    def _drawn(self, camera: Camera, quick: bool) -> Camera:
        """The browser's camera with as many pixels as are drawn."""
        o, first = self.options, self.painter.scene.cameras[0]
        most = o.moving_pixels if quick else o.still_pixels
        scale = min(1.0, (most / (camera.width * camera.height)) ** 0.5, o.finest * first.K[1, 1] / camera.K[1, 1])
        return camera.resized(max(2, round(camera.width * scale)), max(2, round(camera.height * scale)))


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

