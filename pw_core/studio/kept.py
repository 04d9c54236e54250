"""Pictures that may be asked for again: a trajectory played twice from one camera is the same pictures."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from pw_core.gaussians import Camera
from pw_core.studio.painting import Picture

Key = tuple[tuple[str, ...], bytes, bytes, int, int]


@dataclass(frozen=True, kw_only=True)
class KeptOptions:
    """How much is kept."""

    most_bytes: int = 192 << 20
    """Of pictures: 70 of 1280 x 720."""


class KeptPictures:
    """What was drawn of sights that have a key; what was asked for longest ago leaves first. Not for two threads."""

    def __init__(self, *, options: KeptOptions = KeptOptions()) -> None:
        self.options = options
        self._pictures: OrderedDict[Key, Picture] = OrderedDict()
        self.bytes = 0
        """Of the pictures that are kept."""

    def __len__(self) -> int:
        return len(self._pictures)

    def has(self, key: tuple[str, ...], camera: Camera) -> bool:
        """Whether the picture of a sight with this key is kept."""
        return _whole(key, camera) in self._pictures

    def get(self, key: tuple[str, ...], camera: Camera) -> Picture | None:
        """That picture, if it is kept."""
        whole = _whole(key, camera)
        found = self._pictures.get(whole)
        if found is not None:
            self._pictures.move_to_end(whole)
        return found

    def put(self, key: tuple[str, ...], camera: Camera, picture: Picture) -> None:
        """Keep it, where it can be asked for again and is not too large."""
        if not key or picture.nbytes > self.options.most_bytes:
            return
        whole = _whole(key, camera)
        old = self._pictures.pop(whole, None)
        self.bytes += picture.nbytes - (0 if old is None else old.nbytes)
        self._pictures[whole] = picture
        while self.bytes > self.options.most_bytes:
            self.bytes -= self._pictures.popitem(last=False)[1].nbytes

    def room_for(self, count: int, camera: Camera) -> bool:
        """Whether so many pictures of a camera can be kept at once."""
        return count * camera.width * camera.height * 3 <= self.options.most_bytes


def _whole(key: tuple[str, ...], camera: Camera) -> Key:
    return key, camera.K.tobytes(), camera.viewmat.tobytes(), camera.width, camera.height
