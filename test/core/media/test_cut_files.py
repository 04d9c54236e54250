"""A file that ends in the middle is refused by its name and by how much there was of it, never half filled."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, features

from pw_core.media.depth import read_depth
from pw_core.media.errors import MediaError
from pw_core.media.pictures import read_picture

RNG = np.random.default_rng(0)
RGB = RNG.integers(1, 255, (96, 128, 3), dtype=np.uint8)
METRES = RNG.uniform(0.5, 2, (96, 128)).astype(np.float32)
SHARES = (0.3, 0.6, 0.9, 0.97, 0.995)
PICTURES = {
    "png": {}, "jpeg": {}, "progressive.jpeg": {"progressive": True}, "webp": {}, "lossless.webp": {"lossless": True},
    "tiff": {}, "lzw.tiff": {"compression": "tiff_lzw"}, "bmp": {}, "ppm": {}, "gif": {}, "jp2": {}, "avif": {},
}  # fmt: skip
DEPTHS = ("png", "tiff", "npy", "zip.exr", "plain.exr", "piz.exr")


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    out = path.with_name(f"cut_{path.name}")
    out.write_bytes(data[: int(share * len(data))])
    return out


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as other packages of a process may set it
    if name == "avif" and not features.check("avif"):
        return
    kept = io.BytesIO()
    Image.fromarray(RGB).save(kept, "JPEG2000" if name == "jp2" else name.split(".")[-1].upper(), **PICTURES[name])
    path = tmp_path / f"a.{name}"
    path.write_bytes(kept.getvalue())
    assert read_picture(path).rgb.shape == RGB.shape
    for share in SHARES:
        part = cut(path, share)
        with pytest.raises(MediaError, match=rf"{part.name}.*{part.stat().st_size} bytes"):
            read_picture(part)


def written(path: Path, name: str) -> None:
    if name == "npy":
        np.save(path, METRES)
    elif name.endswith("exr"):
        import OpenEXR

        kinds = {"zip": OpenEXR.ZIP_COMPRESSION, "plain": OpenEXR.NO_COMPRESSION, "piz": OpenEXR.PIZ_COMPRESSION}
        header = {"compression": kinds[name.split(".")[0]], "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"Z": METRES}).write(str(path))
    else:
        cv2.imwrite(str(path), (1000 * METRES).astype(np.uint16))


@pytest.mark.parametrize("name", DEPTHS)
def test_depth(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"d.{name}"
    written(path, name)
    np.testing.assert_allclose(read_depth(path), METRES, atol=1e-3)
    for share in SHARES:
        part = cut(path, share)
        with pytest.raises(MediaError, match=rf"{part.name}.*{part.stat().st_size} bytes"):
            read_depth(part)
