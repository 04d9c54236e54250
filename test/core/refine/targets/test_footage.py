"""Films from files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pw_core.errors import RefineError
from pw_core.export.film import write_film
from pw_core.refine.targets.footage import read_film
from support.target_request import H, W


def pictures(levels: list[int], *, height: int = H, width: int = W) -> np.ndarray:
    return np.stack([np.full((height, width, 3), v, np.uint8) for v in levels])


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for i, level in enumerate([50, 100, 150]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((H, W, 3), (0, 0, level), np.uint8))  # BGR: red
    (tmp_path / "stamps.csv").write_text("stamp,file\n0.1,2.png\n0.3,0.png\n")
    film = read_film(tmp_path, camera="cam0")
    assert film.stamps.tolist() == [0.1, 0.3] and film.frames[:, 0, 0].tolist() == [[150, 0, 0], [50, 0, 0]]
    (tmp_path / "stamps.csv").unlink()
    (tmp_path / "stamps.json").write_text(json.dumps({"stamps": [0, 1, 2]}))
    assert read_film(tmp_path, camera="cam0").frames[:, 0, 0, 0].tolist() == [50, 100, 150]
    for text, words in (
        ("[0, 1]", "found 3 pictures and 2 stamps"), ("[0, 2, 1]", "out of order"), ("[0, null, 1]", "expected a CSV"),
        ('{"times": [0]}', "expected a CSV"), ("[", "expected a CSV"),
    ):  # fmt: skip
        (tmp_path / "stamps.json").write_text(text)
        with pytest.raises(RefineError, match=words):
            read_film(tmp_path, camera="cam0")
    (tmp_path / "stamps.json").unlink()
    with pytest.raises(RefineError, match=r"no stamps; expected .*stamps.csv or"):
        read_film(tmp_path, camera="cam0")
    (tmp_path / "s.csv").write_text("stamp,file\n0.1,../2.png\n")
    with pytest.raises(RefineError, match="expected the name of a file in that folder"):
        read_film(tmp_path, camera="cam0", stamps=tmp_path / "s.csv")
    (tmp_path / "s.csv").write_text("stamp,file\n0.1,9.png\n")
    with pytest.raises(RefineError, match=r"9.png: is not there"):
        read_film(tmp_path, camera="cam0", stamps=tmp_path / "s.csv")
    (tmp_path / "9.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(RefineError, match=r"9.png: is not a picture"):
        read_film(tmp_path, camera="cam0", stamps=tmp_path / "s.csv")


def test_a_video(tmp_path: Path) -> None:
    levels = [40, 100, 160, 220]
    path = write_film(tmp_path / "film.mp4", list(pictures(levels)))
    (tmp_path / "film.csv").write_text("stamp\n" + "".join(f"{0.04 * i}\n" for i in range(4)))
    film = read_film(path, camera="cam0")
    assert film.frames.shape == (4, H, W, 3)
    assert np.abs(film.frames.mean((1, 2, 3)) - levels).max() < 4
    with pytest.raises(RefineError, match="expected a folder of pictures or a video"):
        read_film(tmp_path / "nothing.mp4", camera="cam0")
    (tmp_path / "film.mp4").write_bytes(b"not a film")
    with pytest.raises(RefineError, match="is not a video that can be read"):
        read_film(path, camera="cam0")
