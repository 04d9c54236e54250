"""05, 06, 27: films by their frames, and film folders as they come."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
from PIL import Image

from pw_core.loop.films import read_films
from pw_core.reconstruct.inputs import Inputs
from pw_core.refine.targets.footage import read_film
from support.cases.photos import near, photo
from support.cases.verdict import Verdict, judged


def _ffmpeg(*words: str | Path) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, words)], check=True)


def containers(folder: Path) -> Iterator[Verdict]:
    """05: films that do not say how many frames they have."""
    frames = np.stack([np.roll(photo(width=160, height=96), 3 * k, 1) for k in range(40)])
    iio.imwrite(folder / "a.mp4", frames, fps=20, plugin="FFMPEG", codec="libx264", macro_block_size=2)
    kinds: dict[str, Sequence[str]] = {
        "live.webm": ("-c:v", "libvpx", "-b:v", "1M", "-f", "webm", "-live", "1"),
        "frag.mp4": ("-c", "copy", "-movflags", "frag_keyframe+empty_moov"),
        "motion.avi": ("-c:v", "mjpeg", "-q:v", "3"), "raw.h264": ("-c", "copy"),
    }  # fmt: skip
    for name, words in kinds.items():
        _ffmpeg("-i", folder / "a.mp4", *words, folder / name)
    with (folder / "pipe.mkv").open("wb") as out:
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder / "a.mp4"), "-c", "copy", "-f",
                        "matroska", "-"], stdout=out, check=True)  # fmt: skip
    for name in ("a.mp4", "pipe.mkv", *kinds):
        yield judged(f"20 of 40 frames of {name}",
                     lambda n=name: [v.name for v in Inputs.load(folder / n, max_frames=20).views],
                     lambda names: len(names) == 20 and int(names[-1][6:12]) >= 38)  # fmt: skip


def rates(folder: Path) -> Iterator[Verdict]:
    """06: a film of variable frame rate."""
    grey = np.repeat(8 * np.arange(30, dtype=np.uint8), 120 * 160 * 3).reshape(30, 120, 160, 3)
    iio.imwrite(folder / "c.mp4", grey, fps=30, plugin="FFMPEG", codec="libx264", macro_block_size=2,
                output_params=["-crf", "8"])  # fmt: skip
    _ffmpeg("-i", folder / "c.mp4", "-vf", "select='not(between(n,10,19))'", "-fps_mode", "vfr", "-c:v", "libx264",
            "-crf", "8", folder / "v.mp4")  # fmt: skip
    kept = [k for k in range(30) if not 10 <= k < 20]

    def right(film: Any) -> bool:
        levels = [int(f.mean()) for f in film.frames]
        stamps = film.stamps - film.stamps[0]
        return len(levels) == 20 and np.allclose(levels, [8 * k for k in kept], atol=3) and np.allclose(
            stamps, np.array(kept) / 30, atol=2e-3)  # fmt: skip

    yield judged("variable rate, its own stamps", lambda: read_film(folder / "v.mp4", camera="photo"), right)
    (folder / "v.csv").write_text("stamp\n" + "\n".join(f"{k / 30:.6f}" for k in kept) + "\n")
    yield judged("variable rate, a stamp for each frame", lambda: read_film(folder / "v.mp4", camera="photo"), right)


def film_folders(folder: Path) -> Iterator[Verdict]:
    """27: litter, 16 bits, alpha, EXIF, a dark frame, stamps."""
    picture = photo(width=160, height=88)

    def made(name: str, save: Callable[[int, Path], Any] | None = None, *, times: Sequence[Any] = ()) -> Path:
        place = folder / name / "photo"
        place.mkdir(parents=True)
        for i in range(4):
            (save or (lambda i, p: Image.fromarray(picture).save(p / f"{i:02d}.png")))(i, place)
        rows = times or [0.04 * i for i in range(4)]
        (place / "stamps.csv").write_text("stamp\n" + "\n".join(str(t) for t in rows) + "\n")
        return folder / name

    def whole(films: Any) -> bool:
        return len(films[0]) == 1 and len(films[0][0].frames) == 4 and near(films[0][0].frames[0], picture)

    litter = made("litter")
    (litter / "__MACOSX" / "photo").mkdir(parents=True)
    (litter / "__MACOSX" / "photo" / "._00.png").write_bytes(b"\0\5\x16\7")
    (litter / ".DS_Store").write_bytes(b"x")
    (litter / "photo" / "._00.png").write_bytes(b"\0\5\x16\7\0" * 10)
    yield judged("what macOS leaves in an archive", lambda: read_films(litter), whole)
    deep = made("deep", lambda i, p: cv2.imwrite(str(p / f"{i:02d}.png"), picture[..., ::-1].astype(np.uint16) * 257))
    yield judged("frames of 16 bits", lambda: read_films(deep), whole)
    cut = np.where(np.arange(160)[None] < 40, 0, 255).repeat(88, 0).astype(np.uint8)
    arm = made("arm", lambda i, p: Image.fromarray(np.dstack([picture, cut])).save(p / f"{i:02d}.png"))
    yield judged("an arm cut out by alpha", lambda: read_films(arm)[0][0].valid,
                 lambda v: v is not None and (v == (cut > 0)).all())  # fmt: skip
    tag = Image.Exif()
    tag[0x112] = 3
    down = Image.fromarray(picture[::-1, ::-1])
    turned = made("turned", lambda i, p: down.save(p / f"{i:02d}.jpg", exif=tag, quality=95))
    yield judged("frames turned by EXIF", lambda: read_films(turned), whole)
    dark = made("dark", lambda i, p: Image.fromarray(picture // 40 if i == 0 else picture).save(p / f"{i:02d}.png"))
    yield judged("a dark first frame", lambda: read_films(dark)[0][0].valid,
                 lambda v: v is not None and not v[0].any() and v[1:].all())  # fmt: skip
    grey = made("grey", lambda i, p: Image.fromarray(picture).convert("L").save(p / f"{i:02d}.png"))
    yield judged("grey frames", lambda: read_films(grey)[0][0].frames.shape, lambda s: s == (4, 88, 160, 3))
    twin = made("twin", times=[0, 0.04, 0.04, 0.08])
    yield judged("two frames of one stamp", lambda: read_films(twin), lambda f: False, may_refuse=True)
    mixed = made("mixed", times=[0, 0.08, 0.04, 0.12])
    yield judged("stamps out of order", lambda: read_films(mixed), lambda f: False, may_refuse=True)

    def upper(i: int, p: Path) -> None:
        Image.fromarray(picture).save(p / "t.png")
        (p / "t.png").rename(p / f"{i:02d}.PNG")

    yield judged("frames called .PNG", lambda p=made("upper", upper): read_films(p), whole)


CASES = {"05 containers": containers, "06 variable rates": rates, "27 film folders": film_folders}
