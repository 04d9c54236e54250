"""Mutated files for the readers: cut off, bits flipped, huge numbers in heads, parts doubled; what they answer."""

from __future__ import annotations

import io
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pw_core.config import SceneConfig
from pw_core.errors import PWError
from pw_core.limits import Limits
from pw_core.loop.films import read_cameras
from pw_core.media.depth import read_depth
from pw_core.media.errors import MediaError
from pw_core.media.films import film_frames
from pw_core.media.pictures import decode_picture
from pw_core.reconstruct.inputs import Inputs
from pw_core.refine.targets.footage import read_stamps
from support.cases.layouts import LENS, _frames, pictures, viewmat
from support.cases.photos import photo

SMALL = Limits(picture_pixels=2_000_000)
"""A hostile head may ask for no more than this."""


@dataclass(frozen=True)
class Reader:
    """What is read: files that are whole, and who reads them from a path."""

    ending: str
    whole: Callable[[Path], bytes]
    read: Callable[[Path], Any]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One of the ways in which files break."""
    out = bytearray(data)
    kind = rng.integers(6)
    at = int(rng.integers(max(len(out), 1)))
    if kind == 0:
        return bytes(out[:at])
    if kind == 1:
        for k in rng.integers(0, len(out), rng.integers(1, 9)):
            out[k] ^= 1 << int(rng.integers(8))
    elif kind == 2:  # sizes are in the first bytes
        for k in rng.integers(0, min(len(out), 64), 4):
            out[k] = int(rng.choice([0, 0x7F, 0xFF]))
    elif kind == 3:
        out[at:at] = bytes(rng.integers(0, 256, rng.integers(1, 200), dtype=np.uint8))
    elif kind == 4:
        out[at : at + int(rng.integers(1, 400))] = b""
    else:
        end = min(len(out), at + 64)
        out[at:end] = b"\xff" * (end - at)
    return bytes(out)


def _picture(kind: str, **options: Any) -> Callable[[Path], bytes]:
    def made(_: Path) -> bytes:
        out = io.BytesIO()
        tag = Image.Exif()
        tag[0x112] = 6
        pixels = photo(width=64, height=48)
        image = Image.fromarray(np.dstack([pixels, np.full((48, 64), 200, np.uint8)]) if kind == "PNG" else pixels)
        image.save(out, kind, exif=tag, **options)
        return out.getvalue()

    return made


def _depth(ending: str) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        values = np.full((48, 64), 0.7, np.float32)
        if ending == ".npy":
            out = io.BytesIO()
            np.save(out, values)
            return out.getvalue()
        if ending == ".exr":
            import OpenEXR

            header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
            OpenEXR.File(header, {"R": values}).write(str(folder / "whole.exr"))
            return (folder / "whole.exr").read_bytes()
        whole = values if ending == ".tiff" else (1000 * values).astype(np.uint16)
        return bytes(cv2.imencode(ending, whole)[1])

    return made


def _film(folder: Path) -> bytes:
    import imageio.v3 as iio

    frames = np.stack([np.roll(photo(width=64, height=48), k, 1) for k in range(6)])
    iio.imwrite(folder / "whole.mp4", frames, fps=10, plugin="FFMPEG", macro_block_size=2)
    return (folder / "whole.mp4").read_bytes()


def _folder(name: str, text: Callable[[], str]) -> Reader:
    """A folder of four pictures whose cameras' file is mutated."""

    def whole(folder: Path) -> bytes:
        pictures(folder, "{:04d}.jpg")
        return text().encode()

    return Reader(name, whole, lambda path: Inputs.load(path.parent))


def _cameras() -> str:
    return json.dumps([{"name": f"{k:04d}.jpg", "K": [150, 150, 80, 48], "viewmat": viewmat(k).tolist(), "width": 160,
                        "height": 96} for k in range(4)])  # fmt: skip


READERS: dict[str, Reader] = {
    **{kind.lower(): Reader(f".{kind.lower()}", _picture(kind), lambda p: decode_picture(p.read_bytes(), what="it",
                                                                                          limits=SMALL))
       for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000")},
    **{f"depth{e}": Reader(e, _depth(e), lambda p: read_depth(p, limits=SMALL))
       for e in (".png", ".tiff", ".npy", ".exr")},
    "film": Reader(".mp4", _film, lambda p: [f.index for f in film_frames(p, limits=SMALL)]),
    "stamps.csv": Reader(".csv", lambda _: b"file;stamp\n" + b"".join(b"%d.png;0,%d\n" % (k, k) for k in range(9)),
                         read_stamps),
    "stamps.json": Reader(".json", lambda _: b'{"stamps": [0, 0.04, 0.08, 1e3]}', read_stamps),
    "cameras.json": _folder("cameras.json", _cameras),
    "transforms.json": _folder("transforms.json", lambda: json.dumps({**LENS, "frames": _frames("{:04d}.jpg")})),
    "cameras of films": Reader("cameras.json", lambda _: _cameras().encode(), lambda p: read_cameras(p.parent)),
    "scene.yaml": Reader(".yaml", lambda _: SCENE, SceneConfig.load),
}  # fmt: skip
SCENE = (Path(__file__).parents[2] / "config" / "scenes" / "jam.yaml").read_bytes()


@dataclass(frozen=True)
class Answer:
    """What a reader made of a file; trouble: a traceback, or too much time."""

    reader: str
    read: bool
    trouble: str = ""


def answers(name: str, count: int, folder: Path, *, seed: int = 0) -> Iterator[Answer]:
    """What a reader says of `count` mutations of its file."""
    rng = np.random.default_rng([seed, *name.encode()])
    reader = READERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    whole = reader.whole(folder)
    path = folder / (reader.ending if not reader.ending.startswith(".") else f"mutated{reader.ending}")
    for k in range(count):
        path.write_bytes(mutated(whole, rng) if k else whole)
        began = time.monotonic()
        try:
            reader.read(path)
            read, trouble = True, ""
        except (MediaError, PWError) as error:
            read, trouble = False, "" if k else f"the whole file is refused: {error}"
        except Exception as error:
            read, trouble = False, f"mutation {k}: {type(error).__name__}: {error}"
        if time.monotonic() - began > 20:
            trouble = f"mutation {k} took {time.monotonic() - began:.0f} s"
        yield Answer(name, read, trouble)


def most_memory_mb() -> float:
    """[MB] that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
