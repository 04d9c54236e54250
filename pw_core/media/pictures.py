"""The one decoder of pictures: photos, frames in folders, and compressed messages all come through here.

What a file says beside its pixels counts: EXIF's turn, an ICC profile (to sRGB), alpha (which pixels show something),
16 bits, CMYK, palettes. A plain sRGB file comes out bit by bit as it is.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pw_core.limits import LIMITS, Limits
from pw_core.media.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jp2", ".gif", ".ppm", ".pgm",
    ".heic", ".heif", ".hif",
)  # fmt: skip
"""Of files that are pictures."""
RAW_ENDINGS = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")
"""Of a camera's raw files, which no library here develops."""
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "AVIF", "JPEG2000", "GIF", "PPM")
_EXIF_IFD, _FOCAL_35MM, _ORIENTATION = 0x8769, 0xA405, 0x0112
_HEIF_HELP = "HEIC is read with pillow-heif: pip install 'perpetual-wonder[inputs]', or export the photos as JPEG"


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """What is made of what a picture file says."""

    seen_alpha: int = 128
    """Level of alpha, 0 to 255, from which a pixel shows something: half covered."""
    unseen_level: int = 128
    """Grey that stands where nothing is shown: what a program left under alpha 0 is nobody's colour."""
    frame_width_mm: float = 36.0
    """Of the film that EXIF's equivalent focal length refers to ..."""
    frame_height_mm: float = 24.0
    """... and its height."""


@dataclass(frozen=True, eq=False)
class Picture:
    """rgb, uint8 (H, W, 3), sRGB, the right way up. valid (H, W): False where alpha says that nothing is shown; None:
    all is. focal_px: from EXIF, 0 where it says nothing. notes: what was done that the pixels do not tell.
    turned: the pixels as stored lie another way."""

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None = None
    focal_px: float = 0.0
    notes: tuple[str, ...] = ()
    turned: bool = False


def read_picture(path: Path | str, *, options: PictureOptions = PictureOptions(), limits: Limits = LIMITS) -> Picture:
    """A picture file; see `decode_picture`.

    Raises:
        MediaError: it is not there, or `decode_picture`'s.
    """
    path = Path(path)
    return decode_picture(read_bytes(path, limits=limits), what=str(path), options=options, limits=limits)


def read_bytes(path: Path, *, limits: Limits = LIMITS) -> bytes:
    """All of a file.

    Raises:
        MediaError: it is not there, cannot be read, is empty, or larger than a request may be.
    """
    try:
        if not path.is_file():
            raise MediaError(f"{path} does not exist" if not path.exists() else f"{path} is no file")
        size = path.stat().st_size
        if size > limits.request_bytes:
            raise MediaError(f"{path} has {size} bytes, at most {limits.request_bytes} are read")
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error}") from None
    if not data:
        raise MediaError(f"{path} is empty")
    return data


def decode_picture(
    data: bytes, *, what: str, options: PictureOptions = PictureOptions(), limits: Limits = LIMITS
) -> Picture:
    """The picture in the bytes of a file, whose kind the bytes decide; of several frames the first.

    Raises:
        MediaError: no picture, cut off, damaged, of more than `limits.picture_pixels`, or HEIC where nothing reads it.
    """
    if _is_heif(data) and not _heif():
        raise MediaError(f"{what}: {_HEIF_HELP}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF, of sizes: the size is checked below
            return _decoded(data, what, options, limits)
    except MediaError:
        raise
    except Exception as error:  # decoders of broken files raise whatever they come across
        said = f"{type(error).__name__}: {error}"
        text = f"{what} ({len(data)} bytes) is cut off or damaged, not a whole PNG, JPEG or other picture: {said}"
        raise MediaError(text) from None


def _decoded(data: bytes, what: str, options: PictureOptions, limits: Limits) -> Picture:
    from PIL import Image, ImageFile, UnidentifiedImageError

    check_whole(data, what=what)
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # others set it, and what is missing would be black or grey
    try:
        opened = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise MediaError(f"{what}: {error}; at most {limits.picture_pixels} pixels are taken") from None
    except UnidentifiedImageError:
        return _by_opencv(data, what, options, limits)
    with opened:
        check_pixels(*opened.size, what=what, limits=limits)
        notes = []
        frames = int(getattr(opened, "n_frames", 1))
        if frames > 1 and opened.format != "MPO":
            notes.append(f"the first of its {frames} frames")
        focal = _focal_px(opened, options)
        opened.load()
        upright, turned, said = _upright(opened)
        notes += said
        if upright.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
            return replace(_deep_grey(np.asarray(upright), what, focal, notes, options), turned=turned)
        rgb, profile = _srgb(upright)
        notes += profile
        return replace(_shown(np.asarray(rgb), _alpha(upright), focal, notes, options), turned=turned)


def check_whole(data: bytes, *, what: str) -> None:
    """Raises MediaError for a PNG that ends before its end: some versions of OpenCV give what there is of it."""
    if data.startswith(_PNG) and _PNG_END not in data:
        raise MediaError(f"{what} is cut off: a PNG of {len(data)} bytes without its end")


def _by_opencv(data: bytes, what: str, options: PictureOptions, limits: Limits) -> Picture:
    """What Pillow has no mode for, such as TIFF of 16 bits in three channels."""
    import cv2

    if data[:4] not in (b"II*\0", b"MM\0*"):
        raise MediaError(f"{what} ({len(data)} bytes) is no picture that is known: it begins with {data[:8].hex(' ')}")
    check_pixels(*_tiff_size(data, what), what=what, limits=limits)
    found: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise MediaError(f"{what} ({len(data)} bytes) is a TIFF that neither Pillow nor OpenCV reads")
    if found.ndim == 2:
        return _deep_grey(found, what, 0.0, [], options)
    eight = (found >> 8).astype(np.uint8) if found.dtype == np.uint16 else found
    if eight.dtype != np.uint8:
        raise MediaError(f"{what}: a photo has 8 or 16 bits a channel, found {found.dtype}")
    alpha = eight[..., 3] if eight.shape[2] == 4 else None
    return _shown(eight[..., 2::-1], alpha, 0.0, [], options)


def _tiff_size(data: bytes, what: str) -> tuple[int, int]:
    """Width and height [px] of a TIFF's first picture, before anything is unpacked."""
    order: Any = "little" if data[:2] == b"II" else "big"
    at = int.from_bytes(data[4:8], order)
    size = {}
    for k in range(int.from_bytes(data[at : at + 2], order)):
        entry = data[at + 2 + 12 * k : at + 14 + 12 * k]
        wide = int.from_bytes(entry[2:4], order) == 4
        size[int.from_bytes(entry[:2], order)] = int.from_bytes(entry[8:12] if wide else entry[8:10], order)
    if not (size.get(256) and size.get(257)):
        raise MediaError(f"{what} ({len(data)} bytes) is a TIFF without a size")
    return size[256], size[257]


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height [px] as the file's head has them, not turned.

    Raises:
        MediaError: no picture.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_formats()) as opened:
                return opened.size
    except Exception as error:  # decoders of broken files raise whatever they come across
        raise MediaError(f"{path} is not a picture that can be read: {type(error).__name__}: {error}") from None


def check_pixels(width: int, height: int, *, what: str, limits: Limits = LIMITS) -> None:
    """Raises MediaError for a picture of no pixels, or more than `limits.picture_pixels`."""
    if not 0 < width * height <= limits.picture_pixels:
        raise MediaError(f"{what} is {width} x {height} px: at most {limits.picture_pixels} pixels in all")


def _upright(opened: Image.Image) -> tuple[Image.Image, bool, list[str]]:
    """Turned and mirrored as EXIF says, whether that changed anything, and what there is to say of it."""
    from PIL import Image, ImageOps

    try:
        other = opened.getexif().get(_ORIENTATION, 1) not in (0, 1)
        turned = ImageOps.exif_transpose(opened)
    except Exception as error:  # EXIF is written by anything
        return opened, False, [f"its EXIF cannot be read, so that it may lie on its side: {type(error).__name__}"]
    return (turned, other, []) if isinstance(turned, Image.Image) else (opened, False, [])


def _srgb(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """In mode RGB, colours moved from the picture's own profile to sRGB."""
    from PIL import ImageCms

    icc = picture.info.get("icc_profile")
    flat = picture
    if picture.mode in ("P", "PA", "LA", "1", "La", "RGBa", "YCbCr", "LAB", "HSV"):
        grey = picture.mode in ("LA", "1")
        flat = picture.convert("L" if grey else "RGBA" if "transparency" in picture.info else "RGB")
    if icc and flat.mode in ("RGB", "RGBA", "RGBX", "CMYK", "L"):
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if "srgb" in ImageCms.getProfileDescription(profile).lower():
                return _rgb(flat), []
            space = profile.profile.xcolor_space.strip()
            source = flat.convert("RGB") if flat.mode in ("RGBA", "RGBX") else flat
            if {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}.get(space) == source.mode:
                moved = ImageCms.profileToProfile(source, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
                if moved is not None:
                    return moved, [f"colours moved from '{ImageCms.getProfileDescription(profile).strip()}' to sRGB"]
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
        return _rgb(flat), ["its colour profile cannot be used: taken as sRGB"]
    return _rgb(flat), []


def _rgb(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _alpha(picture: Image.Image) -> NDArray[np.uint8] | None:
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return np.asarray(picture.getchannel("A"))
    if "transparency" in picture.info:
        return np.asarray(picture.convert("RGBA").getchannel("A"))
    return None


def _deep_grey(pixels: NDArray[Any], what: str, focal: float, notes: list[str], options: PictureOptions) -> Picture:
    """Grey of 16 bits, or of what a 16 bit PNG is to some versions of Pillow."""
    if pixels.dtype.kind == "f" or pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        raise MediaError(f"{what}: a photo has 8 or 16 bits a channel, found {pixels.dtype}: is it a depth picture?")
    grey = pixels if pixels.dtype == np.uint8 else (pixels.astype(np.uint32) >> 8).astype(np.uint8)
    return _shown(np.repeat(grey[..., None], 3, axis=2), None, focal, notes, options)


def _shown(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, focal: float, notes: list[str], options: PictureOptions
) -> Picture:
    """With what alpha hides in plain grey."""
    valid = None if alpha is None else alpha >= options.seen_alpha
    if valid is None or valid.all():
        return Picture(np.array(rgb, np.uint8), None, focal, tuple(notes))
    pixels = np.array(rgb, np.uint8)
    pixels[~valid] = options.unseen_level
    share = 100 * float((~valid).mean())
    return Picture(pixels, valid, focal, (*notes, f"alpha hides {share:.1f} % of it, which counts as unseen"))


def _focal_px(opened: Image.Image, options: PictureOptions) -> float:
    """From EXIF's 35 mm equivalent, by the picture's diagonal; 0 where there is none that can be."""
    try:
        equivalent = float(opened.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM, 0) or 0)
    except Exception:  # EXIF is written by anything
        return 0.0
    film_mm = float(np.hypot(options.frame_width_mm, options.frame_height_mm))
    focal = equivalent * float(np.hypot(*opened.size)) / film_mm
    return focal if np.isfinite(focal) and focal > 0 else 0.0


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:64]


@cache
def _formats() -> tuple[str, ...]:
    """Those of the kinds above that this Pillow was built with; no other kind is tried, PostScript least of all."""
    from PIL import Image

    _heif()
    Image.init()
    return tuple(name for name in (*_FORMATS, "HEIF") if name in Image.OPEN)


@cache
def _heif() -> bool:
    """Whether Pillow reads HEIC here; it does once pillow-heif has told it how."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return True
