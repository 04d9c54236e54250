"""08, 09: tables and cameras as spreadsheets and other tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pw_core.config import SceneConfig
from pw_core.reconstruct.inputs import Inputs, check
from pw_core.refine.targets.footage import read_film
from support.cases.photos import photo
from support.cases.verdict import Verdict, judged

ROOT = Path(__file__).parents[3]


def stamps(folder: Path) -> Iterator[Verdict]:
    """08: stamps.csv saved by a spreadsheet; JSON and YAML with a byte order mark."""
    rows = [f"{k / 25}" for k in range(4)]
    cases: dict[str, tuple[str, str, bool]] = {
        "BOM and CRLF": ("stamp\r\n" + "\r\n".join(rows) + "\r\n", "utf-8-sig", False),
        "UTF-16": ("stamp\r\n" + "\r\n".join(rows), "utf-16", False),
        "semicolons": ("file;stamp\n" + "\n".join(f"{k}.png;{r}" for k, r in enumerate(rows)), "utf-8", False),
        "decimal commas": ("file;stamp\n" + "\n".join(f"{k}.png;{r.replace('.', ',')}" for k, r in enumerate(rows)),
                           "utf-8", False),
        "blanks": ("file, stamp\n" + "\n".join(f"{k}.png, {r}" for k, r in enumerate(rows)), "utf-8", False),
        "an empty line": ("stamp\n" + "\n".join(rows) + "\n\n", "utf-8", False),
        "no header": ("\n".join(rows) + "\n", "utf-8", False),
        "Latin-1": ("stamp,note\n" + "\n".join(f"{r},Küche" for r in rows), "latin-1", True),
        "names of other case": ("file,stamp\n" + "\n".join(f"{k}.PNG,{r}" for k, r in enumerate(rows)), "utf-8", False),
        "nanoseconds": ("stamp\n" + "\n".join(str(10**9 * 1_700_000_000 + 40_000_000 * k) for k in range(4)), "utf-8",
                        False),
    }  # fmt: skip
    for name, (text, encoding, may_refuse) in cases.items():
        place = folder / name.replace(" ", "_")
        place.mkdir()
        for k in range(4):
            Image.fromarray(np.full((64, 96, 3), 20 * k + 30, np.uint8)).save(place / f"{k}.png")
        (place / "stamps.csv").write_bytes(text.encode(encoding))
        yield judged(f"stamps with {name}", lambda p=place: read_film(p, camera="photo").stamps,
                     lambda s: np.allclose(s - s[0], np.arange(4) / 25, atol=1e-6), may_refuse=may_refuse)  # fmt: skip
    place = pictures(folder / "cameras", 2)
    (place / "cameras.json").write_bytes(json.dumps([entry(k) for k in range(2)]).encode("utf-8-sig"))
    yield judged("cameras.json with BOM", lambda: Inputs.load(place).route, lambda r: r == "posed")
    scene = (ROOT / "config" / "scenes" / "jam.yaml").read_bytes()
    for name, data in (("BOM", b"\xef\xbb\xbf" + scene), ("CRLF", scene.replace(b"\n", b"\r\n"))):
        (folder / "scene.yaml").write_bytes(data)
        yield judged(f"a scene file with {name}", lambda: SceneConfig.load(folder / "scene.yaml").name,
                     lambda n: n == "jam")  # fmt: skip


K = [[600.0, 0, 80], [0, 600, 48], [0, 0, 1]]


def pictures(folder: Path, count: int = 4) -> Path:
    """A folder of JPEGs that differ."""
    folder.mkdir(parents=True)
    for k in range(count):
        Image.fromarray(photo(3 * k)).save(folder / f"IMG_{k}.jpg", quality=95)
    return folder


def pose(k: int) -> np.ndarray:
    """Side by side."""
    out = np.eye(4)
    out[0, 3] = 0.05 * k
    return out


def entry(k: int, **other: Any) -> dict[str, Any]:
    """Of cameras.json."""
    return {"name": f"IMG_{k}.jpg", "K": K, "viewmat": pose(k).tolist(), **other}


def cameras(folder: Path) -> Iterator[Verdict]:
    """09: numbers as other tools write them."""
    nan = np.where(np.eye(4) == 1, np.nan, 0).tolist()
    big = [[1200.0, 0, 160], [0, 1200, 96], [0, 0, 1]]
    cases: dict[str, tuple[Callable[[int], dict[str, Any]], bool]] = {
        "3 x 4 poses": (lambda k: entry(k, viewmat=pose(k)[:3].tolist()), False),
        "flat poses": (lambda k: entry(k, viewmat=pose(k).ravel().tolist()), False),
        "flat K": (lambda k: entry(k, K=np.ravel(K).tolist()), False),
        "fx, fy, cx, cy": (lambda k: entry(k, K=[600, 600, 80, 48]), False),
        "4 x 4 K": (lambda k: entry(k, K=[[600, 0, 80, 0], [0, 600, 48, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), False),
        "names with folders": (lambda k: entry(k, name=f"images/IMG_{k}.jpg"), False),
        "names of other case": (lambda k: entry(k, name=f"img_{k}.JPG"), False),
        "numbers as text": (lambda k: entry(k, K=[[str(x) for x in r] for r in K]), False),
        "a camera of no picture": (lambda k: entry(k, name=f"IMG_{k}.jpg" if k else "other.jpg"), True),
        "scaled poses": (lambda k: entry(k, viewmat=(np.diag([2.0, 2, 2, 1]) @ pose(k)).tolist()), True),
        "NaN": (lambda k: entry(k, viewmat=nan) if k == 1 else entry(k), True),
        "null": (lambda k: entry(k, viewmat=None) if k == 1 else entry(k), True),
        "K of the full size": (lambda k: entry(k, K=big), True),
        "ragged": (lambda k: entry(k, K=[[600, 0, 80], [0, 600, 48], [0, 0]]), True),
    }  # fmt: skip

    def taken(place: Path) -> Inputs:
        found = Inputs.load(place)
        check(found)
        return found

    def right(found: Inputs) -> bool:
        return found.route == "posed" and len(found.views) == 4 and all(
            v.K is not None and v.viewmat is not None and np.allclose(v.K, K) and np.allclose(v.viewmat, pose(k))
            for k, v in enumerate(found.views))  # fmt: skip

    for name, (make, must_refuse) in cases.items():
        place = pictures(folder / name.replace(" ", "_").replace(",", ""))
        (place / "cameras.json").write_text(json.dumps([make(k) for k in range(4)]))
        wanted = (lambda found: False) if must_refuse else right
        yield judged(f"cameras.json: {name}", lambda p=place: taken(p), wanted, may_refuse=must_refuse)


CASES = {"08 tables": stamps, "09 cameras": cameras}
