"""`pw inspect`: each file of a folder by its use, or the reason why it has none."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from pw_core.cli import app
from support.cases.layouts import nerfstudio, pictures
from support.cases.photos import photo


def told(path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["inspect", str(path)])
    return done.exit_code, " ".join((done.output + (done.stderr or "")).split())


def test_each_file_of_a_folder_is_told(tmp_path: Path) -> None:
    pictures(tmp_path, "{}.jpg")
    (tmp_path / "IMG_7.DNG").write_bytes(b"II*\0")
    (tmp_path / "notes.txt").write_text("mine")
    code, text = told(tmp_path)
    assert code == 0 and "a folder of pictures: 4 pictures, taken as: photos" in text
    assert "inspect: done" in text and "100 % " in text and "ETA" in text
    assert "IMG_7.DNG" in text and "a raw file: develop it" in text and "notes.txt" in text and "160 x 96" in text


def test_layouts_are_named_and_depth_and_masks_are_told(tmp_path: Path) -> None:
    code, text = told(nerfstudio(tmp_path).folder)
    assert code == 0 and "transforms.json: 4 pictures, taken as: posed rgbd" in text
    assert "depth of frame_00003.jpg" in text and "1.500 to 1.500" in text and "posed" in text


def test_what_cannot_be_used_is_an_error_of_one_line(tmp_path: Path) -> None:
    for k in range(2):
        Image.fromarray(photo()).save(tmp_path / f"{k}.png")
    code, text = told(tmp_path)
    assert code == 1 and "0.png and 1.png are the same picture" in text
