"""01, 02, 13, 28: what files say beside their pixels, and which files of a folder are taken."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageCms, ImageOps

from pw_core.media.listing import left_out
from pw_core.reconstruct.image import load_photo
from pw_core.reconstruct.inputs import Inputs
from pw_core.reconstruct.poses.sfm.colmap_io import write_colmap
from support.cases.verdict import Verdict, judged

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200


def photo(seed: int = 0, *, width: int = 160, height: int = 96) -> np.ndarray:
    """Smooth colours that JPEG keeps, no two corners alike."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x * (1 + k) + 7 * seed) / 23) + np.cos(y * (2 + k) / 31 + seed) for k in range(3)]
    return np.clip(128 + 50 * np.stack(waves, -1) + (x / width * 20)[..., None], 0, 255).astype(np.uint8)


def near(found: np.ndarray, wanted: np.ndarray, *, by: float = 3.0) -> bool:
    """The same picture, but for what JPEG loses."""
    return found.shape == wanted.shape and float(np.abs(found.astype(int) - wanted).mean()) < by


def exif(folder: Path) -> Iterator[Verdict]:
    """01: EXIF turns in every kind of file."""
    transpose = Image.Transpose
    stored = {3: transpose.ROTATE_180, 5: transpose.TRANSPOSE, 6: transpose.ROTATE_90, 8: transpose.ROTATE_270}
    for turn, way in stored.items():
        for ending in ("jpg", "png", "webp", "tif"):
            file = folder / f"o{turn}.{ending}"
            tag = Image.Exif()
            tag[0x0112] = turn
            quality = {} if ending in ("png", "tif") else {"quality": 95}
            Image.fromarray(photo()).transpose(way).save(file, exif=tag, **quality)
            wanted = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
            yield judged(f"EXIF {turn} of {ending}", lambda f=file: load_photo(f),
                         lambda p, w=wanted: near(p, w) and p.shape == photo().shape)  # fmt: skip


def alpha(folder: Path) -> Iterator[Verdict]:
    """02: what stands under alpha 0 is nobody's colour; profiles and CMYK."""
    y, x = np.mgrid[:96, :160]
    shown = ((x - 80) / 30.0) ** 2 + ((y - 60) / 25.0) ** 2 < 1
    seen = []
    for name, under in (("black", np.zeros(3)), ("noise", np.random.default_rng(0).integers(0, 255, (96, 160, 3)))):
        pixels = np.where(shown[..., None], photo(), under).astype(np.uint8)
        Image.fromarray(np.dstack([pixels, shown * np.uint8(255)])).save(folder / f"{name}.png")
        seen.append(folder / f"{name}.png")
        yield judged(f"alpha over {name}", lambda f=seen[-1]: Inputs.load(f).views[0],
                     lambda v: (v.valid == shown).all() and near(v.image[shown], photo()[shown]))  # fmt: skip
    yield judged("the hidden colour changes nothing", lambda: [load_photo(f) for f in seen],
                 lambda p: (p[0] == p[1]).all())  # fmt: skip
    Image.fromarray(photo()[..., [0, 2, 1]]).save(folder / "wide.png", icc_profile=_swapped_profile())
    yield judged("a profile with green and blue exchanged", lambda: load_photo(folder / "wide.png"),
                 lambda p: near(p, photo(), by=6))  # fmt: skip
    Image.fromarray(photo()).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    yield judged("CMYK", lambda: load_photo(folder / "cmyk.jpg"), lambda p: near(p, photo(), by=6))
    deep = io.BytesIO()
    Image.fromarray(photo()[..., 0].astype(np.uint16) * 257).save(deep, "PNG")
    (folder / "deep.png").write_bytes(deep.getvalue())
    yield judged("16 bit grey", lambda: load_photo(folder / "deep.png"), lambda p: (p == photo()[..., :1]).all())


def _swapped_profile() -> bytes:
    """sRGB with the primaries of green and blue exchanged: what an ICC profile says must be heard."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12)
    at = {bytes(data[k : k + 4]): k for k in tags}
    green, blue = at[b"gXYZ"], at[b"bXYZ"]
    data[green : green + 4], data[blue : blue + 4] = b"bXYZ", b"gXYZ"
    described = at[b"desc"]
    start = int.from_bytes(data[described + 4 : described + 8], "big")
    length = int.from_bytes(data[described + 8 : described + 12], "big")
    for encoding in ("utf-16-be", "ascii"):
        text = data[start : start + length].replace("sRGB".encode(encoding), "mine".encode(encoding))
        data[start : start + length] = text
    return bytes(data)


def folders(folder: Path) -> Iterator[Verdict]:
    """13: HEIC among JPEGs, raw files, macOS's files, AVIF, MPO."""

    def fresh(name: str, *, jpegs: int = 3) -> Path:
        (folder / name).mkdir()
        for k in range(jpegs):
            Image.fromarray(photo(k)).save(folder / name / f"IMG_{k}.JPG", quality=95)
        return folder / name

    mixed = fresh("mixed")
    for k in range(3, 9):
        (mixed / f"IMG_{k}.HEIC").write_bytes(HEIC)
    (mixed / "IMG_9.DNG").write_bytes(b"II*\0")

    def named(inputs: Inputs) -> bool:
        return len(inputs.views) == 3 and "IMG_3.HEIC" in " ".join(left_out(inputs.files))

    yield judged("3 JPEG and 6 HEIC that nothing reads", lambda: Inputs.load(mixed), named, may_refuse=True)
    alone = fresh("heic", jpegs=0)
    (alone / "IMG_0.HEIC").write_bytes(HEIC)
    yield judged("HEIC only", lambda: Inputs.load(alone), lambda i: False, may_refuse=True)
    yield judged("one HEIC", lambda: Inputs.load(alone / "IMG_0.HEIC"), lambda i: False, may_refuse=True)
    if importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
        Image.fromarray(photo()).save(alone / "right.heic", format="HEIF", quality=95)
        yield judged("a HEIC photo", lambda: load_photo(alone / "right.heic"), lambda p: near(p, photo()))
    mac = fresh("mac")
    for k in range(3):
        (mac / f"._IMG_{k}.JPG").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + b"\0" * 100)
    (mac / ".DS_Store").write_bytes(b"x")
    (mac / "Thumbs.db").write_bytes(b"x")
    yield judged("macOS's and Windows's files", lambda: Inputs.load(mac),
                 lambda i: len(i.views) == 3 and len([f for f in i.files if not f.use]) == 5)  # fmt: skip
    avif = fresh("avif")
    Image.fromarray(photo(3)).save(avif / "IMG_3.avif", quality=95)
    yield judged("3 JPEG and an AVIF", lambda: Inputs.load(avif).views,
                 lambda v: len(v) == 4 and near(v[3].image, photo(3)))  # fmt: skip
    mpo = fresh("mpo", jpegs=0)
    first = Image.fromarray(photo())
    first.save(mpo / "a.jpg", format="MPO", save_all=True, append_images=[first.resize((80, 48))], quality=95)
    yield judged("MPO named .jpg", lambda: Inputs.load(mpo).views, lambda v: near(v[0].image, photo()))
    numbered = fresh("numbered", jpegs=11)
    yield judged("numbered names in the order of numbers", lambda: [v.name for v in Inputs.load(numbered).views],
                 lambda names: names == [f"IMG_{k}.JPG" for k in range(11)])  # fmt: skip


def twins(folder: Path) -> Iterator[Verdict]:
    """28: two pictures of one stem, and names with blanks, in what is written for COLMAP."""
    import pycolmap

    def view(name: str, level: int) -> SimpleNamespace:
        camera = SimpleNamespace(K=np.diag([100.0, 100, 1]), viewmat=np.eye(4), width=32, height=32)
        return SimpleNamespace(name=name, camera=camera, image=np.full((32, 32, 3), level, np.uint8))

    views = [view("IMG_1.jpg", 50), view("IMG_1.png", 200), view("ä b.jpg", 90)]
    posed = SimpleNamespace(views=views, points=np.zeros((1, 3)), colors=np.zeros((1, 3)))

    def written() -> tuple[list[str], list[int]]:
        write_colmap(folder, posed)
        names = [i.name for i in pycolmap.Reconstruction(folder / "poses").images.values()]
        return names, [int(np.asarray(Image.open(folder / "inputs" / n)).mean()) for n in names]

    yield judged("two pictures of one stem, a name with a blank", written,
                 lambda w: len(set(w[0])) == 3 and sorted(w[1]) == [50, 90, 200])  # fmt: skip


CASES = {"01 EXIF": exif, "02 alpha, profiles, CMYK": alpha, "13 folders": folders, "28 names": twins}
