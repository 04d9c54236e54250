"""NumPy pictures to and from image messages: every encoding, odd memory layouts, and bad input."""


import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS message modules")

from sensor_msgs.msg import CompressedImage, Image

from pw_ros.convert import images

RNG = np.random.default_rng(7)
SHAPE = (5, 7)


def picture(encoding: str) -> np.ndarray:
    spec = images.ENCODINGS[encoding]
    shape = SHAPE if spec.channels == 1 else (*SHAPE, spec.channels)
    if spec.dtype[0] == "f":
        return RNG.uniform(0.1, 9, shape).astype(spec.dtype)
    return RNG.integers(0, np.iinfo(spec.dtype).max, shape, endpoint=True, dtype=np.dtype(spec.dtype))


@pytest.mark.parametrize("encoding", list(images.ENCODINGS))
def test_there_and_back(encoding: str) -> None:
    pixels = picture(encoding)
    message = images.numpy_to_image(pixels, encoding=encoding, frame_id="cam_optical")
    assert (message.height, message.width, message.encoding) == (*SHAPE, encoding)
    assert message.header.frame_id == "cam_optical"
    assert len(message.data) == message.step * message.height
    back = images.image_to_numpy(message)
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)


def test_bgr_really_swaps_the_bytes() -> None:
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 200
    assert list(images.numpy_to_image(red, encoding="bgr8").data) == [0, 0, 200]
    assert list(images.numpy_to_image(red, encoding="rgb8").data) == [200, 0, 0]
    message = Image(height=1, width=1, encoding="bgra8", step=4, data=[1, 2, 3, 4])
    assert images.image_to_numpy(message).tolist() == [[[3, 2, 1, 4]]]


@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "16UC1", "32FC1"])
@pytest.mark.parametrize("last_row_padded", [True, False])
def test_padded_rows(encoding: str, last_row_padded: bool) -> None:
    pixels = picture(encoding)
    message = images.numpy_to_image(pixels, encoding=encoding)
    row, pad = message.step, 6
    rows = np.frombuffer(message.data, np.uint8).reshape(SHAPE[0], row)
    data = np.concatenate([rows, np.full((SHAPE[0], pad), 255, np.uint8)], axis=1).tobytes()
    message.step = row + pad
    message.data = images.bytes_to_array(data if last_row_padded else data[:-pad])
    np.testing.assert_array_equal(images.image_to_numpy(message), pixels)


@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "32FC1"])
def test_big_endian(encoding: str) -> None:
    pixels = picture(encoding)
    message = images.numpy_to_image(pixels, encoding=encoding)
    message.is_bigendian = 1
    message.data = images.bytes_to_array(pixels.astype(pixels.dtype.newbyteorder(">")))
    back = images.image_to_numpy(message)
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, pixels)


def test_big_endian_input_array_is_written_little_endian() -> None:
    depth = picture("32FC1")
    message = images.numpy_to_image(depth.astype(">f4"), encoding="32FC1")
    np.testing.assert_array_equal(images.image_to_numpy(message), depth)


def test_non_contiguous_picture() -> None:
    pixels = picture("rgb8")
    np.testing.assert_array_equal(images.image_to_numpy(images.numpy_to_image(pixels[::2, ::-1])), pixels[::2, ::-1])


def test_result_can_be_written_without_touching_the_message() -> None:
    message = images.numpy_to_image(picture("mono8"))
    before = bytes(message.data)
    images.image_to_numpy(message)[:] = 0
    assert bytes(message.data) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoding": "yuv422"}, "yuv422"),
        ({"encoding": ""}, "not known.*cv_bridge"),
        ({"step": 20}, "21 bytes"),
        ({"height": 0}, "no pixels"),
        ({"height": 6}, "too short: 105 bytes"),
        ({"height": 2**31, "width": 2**31}, "too large"),
    ],
)
def test_bad_messages_are_refused(change: dict[str, object], says: str) -> None:
    message = images.numpy_to_image(picture("rgb8"))
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(images.ImageError, match=says):
        images.image_to_numpy(message)


@pytest.mark.parametrize(
    ("pixels", "encoding"),
    [
        (np.zeros((2, 2), np.float64), None),
        (np.zeros((2, 2, 2), np.uint8), None),
        (np.zeros((0, 2, 3), np.uint8), None),
        (np.zeros((2, 2), np.uint8), "rgb8"),
        (np.zeros((2, 2), np.uint8), "32FC1"),
        (np.zeros((2, 2), np.uint8), "nonsense"),
    ],
)
def test_bad_pictures_are_refused(pixels: np.ndarray, encoding: str | None) -> None:
    with pytest.raises(images.ImageError):
        images.numpy_to_image(pixels, encoding=encoding)


def smooth_rgb() -> np.ndarray:
    y, x = np.mgrid[0:32, 0:48]
    return np.stack([x * 5, y * 7, 255 - x * 5], axis=2).astype(np.uint8)


@pytest.mark.parametrize("shape", ["rgb", "grey", "rgba", "16 bit"])
def test_png_is_exact(shape: str) -> None:
    rgb = smooth_rgb()
    pixels = {
        "rgb": rgb,
        "grey": rgb[..., 0],
        "rgba": np.concatenate([rgb, rgb[..., :1]], axis=2),
        "16 bit": rgb[..., 0].astype(np.uint16) * 257,
    }[shape]
    back = images.compressed_to_numpy(images.numpy_to_compressed(pixels, format="png"))
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)


def test_jpeg_keeps_colours_in_their_channels() -> None:
    rgb = smooth_rgb()
    message = images.numpy_to_compressed(rgb, format="jpeg", quality=95, frame_id="cam")
    assert message.format == "rgb8; jpeg compressed bgr8"
    assert message.header.frame_id == "cam"
    back = images.compressed_to_numpy(message)
    assert np.abs(back.astype(int) - rgb).mean() < 4
    assert np.abs(back.astype(int) - rgb[..., ::-1]).mean() > 40


def test_compressed_depth_16_bit() -> None:
    depth = np.array([[0.0, 0.5], [1.2345, np.nan]], np.float32)
    message = images.numpy_to_compressed(images.metres_to_millimetres(depth), format="png")
    back = images.depth_to_metres(images.compressed_to_numpy(message))
    np.testing.assert_allclose(back, [[np.nan, 0.5], [1.234, np.nan]], atol=6e-4)
    transported = CompressedImage(format="16UC1; compressedDepth png")
    transported.data = images.bytes_to_array(bytes(12) + bytes(message.data))
    np.testing.assert_array_equal(images.compressed_to_numpy(transported), images.metres_to_millimetres(depth))


@pytest.mark.parametrize("format", ["jpeg", "png"])
@pytest.mark.parametrize("keep", [0, 6, 40, 0.5, 0.97])
def test_truncated_pictures_are_refused(format: str, keep: float) -> None:
    message = images.numpy_to_compressed(RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8), format=format)
    data = bytes(message.data)
    message.data = images.bytes_to_array(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(images.ImageError):
        images.compressed_to_numpy(message)


def test_a_huge_png_is_refused_by_its_header() -> None:
    message = images.numpy_to_compressed(smooth_rgb(), format="png")
    data = bytearray(message.data)
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    message.data = images.bytes_to_array(data)
    with pytest.raises(images.ImageError, match="20000 x 20000"):
        images.compressed_to_numpy(message)


def test_other_formats_are_refused() -> None:
    with pytest.raises(images.ImageError, match="neither jpeg nor png"):
        images.compressed_to_numpy(CompressedImage(format="jpeg", data=list(b"GIF89a....")))
    with pytest.raises(images.ImageError, match="webp"):
        images.numpy_to_compressed(smooth_rgb(), format="webp")
    with pytest.raises(images.ImageError, match="png"):
        images.numpy_to_compressed(smooth_rgb().astype(np.uint16)[..., 0], format="jpeg")


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_size_from_the_head(format: str) -> None:
    message = images.numpy_to_compressed(smooth_rgb(), format=format)
    assert images.compressed_size(bytes(message.data)) == (48, 32)


def test_to_rgb8() -> None:
    rgb = smooth_rgb()
    np.testing.assert_array_equal(images.to_rgb8(np.dstack([rgb, rgb[..., 0]])), rgb)
    np.testing.assert_array_equal(images.to_rgb8(rgb.astype(np.uint16) * 257), rgb)
    np.testing.assert_array_equal(images.to_rgb8(rgb[..., 1])[..., 2], rgb[..., 1])
    with pytest.raises(images.ImageError, match="float32"):
        images.to_rgb8(rgb.astype(np.float32))


def test_depth_units() -> None:
    millimetres = np.array([[0, 1500]], np.uint16)
    np.testing.assert_allclose(images.depth_to_metres(millimetres), [[np.nan, 1.5]], rtol=1e-6)
    metres = np.array([[np.inf, -1.0, 0.25]], np.float32)
    np.testing.assert_array_equal(images.depth_to_metres(metres), np.array([[np.nan, np.nan, 0.25]], np.float32))
    assert images.metres_to_millimetres(np.array([[70.0, 65.535]], np.float32)).tolist() == [[0, 65535]]
    with pytest.raises(images.ImageError):
        images.depth_to_metres(np.zeros((2, 2), np.uint8))
