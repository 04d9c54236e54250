"""10: folders as nerfstudio, instant-ngp, COLMAP, TUM, ScanNet, Replica, Blender, Polycam and Record3D leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from pw_core.media.listing import left_out
from pw_core.reconstruct.inputs import Inputs, check
from support.cases.photos import photo
from support.cases.verdict import Verdict, judged

WIDTH, HEIGHT, FOCAL = 160, 96, 150.0
OPENGL = np.diag([1.0, -1, -1, 1])


def viewmat(k: int) -> np.ndarray:
    """World to camera, optical axes: four places, each turned a little."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("xyz", [0.1 * k, -0.2 + 0.05 * k, 0.03 * k]).as_matrix()
    out[:3, 3] = 0.1 * k, 0.2, 1.0 - 0.05 * k
    return out


def poses(k: int) -> np.ndarray:
    """Camera to world, optical axes."""
    return np.linalg.inv(viewmat(k))


@dataclass(frozen=True)
class Sample:
    """A folder, how many of its files are to be left out, and what else must hold."""

    folder: Path
    unused: int = 0
    focal: float = FOCAL
    deep: float = 0.0
    turned: np.ndarray | None = None
    metric: bool = True
    more: Callable[[Inputs], bool] = lambda found: True


def pictures(folder: Path, name: str = "{:04d}.jpg", *, alpha: bool = False, count: int = 4) -> None:
    """That differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        pixels = photo(3 * k, width=WIDTH, height=HEIGHT)
        if alpha:
            y, x = np.mgrid[:HEIGHT, :WIDTH]
            pixels = np.dstack([pixels, np.where(np.hypot(x - 80, y - 48) < 40, 255, 0).astype(np.uint8)])
        Image.fromarray(pixels).save(folder / name.format(k))


def depths(folder: Path, name: str, level: int, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """Whole numbers of one level."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(4):
        Image.fromarray(np.full(size[::-1], level, np.uint16)).save(folder / name.format(k))


LENS = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT}


def _frames(path: str, **more: Any) -> list[dict[str, Any]]:
    return [{"file_path": path.format(k), "transform_matrix": (poses(k) @ OPENGL).tolist(),
             **{n: v.format(k) if isinstance(v, str) else v for n, v in more.items()}} for k in range(4)]  # fmt: skip


def nerfstudio(d: Path) -> Sample:
    """With depth, masks, intrinsics of their own in each frame, and a lens."""
    pictures(d / "images", "frame_{:05d}.jpg", count=5)
    depths(d / "depth", "frame_{:05d}.png", 1500)
    (d / "masks").mkdir()
    for k in range(4):
        Image.fromarray(np.where(np.arange(WIDTH) < 20, 0, 255).astype(np.uint8)[None].repeat(HEIGHT, 0)).save(
            d / "masks" / f"frame_{k:05d}.png")  # fmt: skip
    own = {"depth_file_path": "depth/frame_{:05d}.png", "mask_path": "masks/frame_{:05d}.png"}
    frames = [f | LENS for f in _frames("images/frame_{:05d}.jpg", **own)]
    (d / "transforms.json").write_text(json.dumps({"camera_model": "OPENCV", "k1": 0.1, "frames": frames}))

    def unseen(found: Inputs) -> bool:
        return all(v.valid is not None and not v.valid[:, :15].any() for v in found.views)

    return Sample(d, unused=1, deep=1.5, more=unseen)


def instant_ngp(d: Path) -> Sample:
    """Pictures beside the file, paths with ./, one lens for all."""
    pictures(d)
    (d / "transforms.json").write_text(json.dumps({**LENS, "aabb_scale": 4, "frames": _frames("./{:04d}.jpg")}))
    return Sample(d, metric=False)


def blender(d: Path) -> Sample:
    """Names without endings, a field of view, alpha; the test split is left out."""
    pictures(d / "train", "r_{}.png", alpha=True)
    pictures(d / "test", "r_{}.png", alpha=True)
    angle = 2 * float(np.arctan(WIDTH / 2 / FOCAL))
    for split in ("train", "test"):
        (d / f"transforms_{split}.json").write_text(
            json.dumps({"camera_angle_x": angle, "frames": _frames(f"./{split}/r_{{}}")})
        )
    return Sample(d, unused=5, metric=False, more=lambda found: all(v.valid is not None for v in found.views))


def _colmap_text(place: Path) -> None:
    place.mkdir(parents=True)
    lines = []
    for k in range(4):
        m = viewmat(k)
        x, y, z, w = Rotation.from_matrix(m[:3, :3]).as_quat()
        lines += [f"{k + 1} {w} {x} {y} {z} {m[0, 3]} {m[1, 3]} {m[2, 3]} 1 {k:04d}.jpg", ""]
    (place / "images.txt").write_text("\n".join(lines) + "\n")
    (place / "cameras.txt").write_text(f"1 PINHOLE {WIDTH} {HEIGHT} {FOCAL} {FOCAL} {WIDTH / 2} {HEIGHT / 2}\n")
    (place / "points3D.txt").write_text("")


def colmap_text(d: Path) -> Sample:
    """images/ and sparse/0, one picture not registered."""
    pictures(d / "images", count=5)
    _colmap_text(d / "sparse" / "0")
    return Sample(d, unused=1, metric=False)


def colmap_binary(d: Path) -> Sample:
    """As COLMAP itself writes it, with rigs and frames."""
    import pycolmap

    pictures(d / "images")
    _colmap_text(d / "text")
    (d / "sparse").mkdir()
    pycolmap.Reconstruction(d / "text").write_binary(d / "sparse")
    for file in (d / "text").iterdir():
        file.unlink()
    return Sample(d, metric=False)


def tum(d: Path) -> Sample:
    """rgb, depth, groundtruth; stamps that differ by some milliseconds; a depth picture with no picture near."""
    pictures(d / "rgb", "13050312{:02d}.175304.png")
    depths(d / "depth", "13050312{:02d}.160407.png", 7500)
    Image.fromarray(np.full((HEIGHT, WIDTH), 5000, np.uint16)).save(d / "depth" / "1305031290.500000.png")
    for name, part, more in (("rgb", "175304", []), ("depth", "160407", ["1305031290.500000"])):
        stamps = [f"13050312{k:02d}.{part}" for k in range(4)] + more
        (d / f"{name}.txt").write_text("# images\n" + "".join(f"{s} {name}/{s}.png\n" for s in stamps))
    rows = []
    for k in range(4):
        q = Rotation.from_matrix(poses(k)[:3, :3]).as_quat()
        rows.append(f"13050312{k:02d}.1751 " + " ".join(repr(float(v)) for v in (*poses(k)[:3, 3], *q)))
    (d / "groundtruth.txt").write_text("# timestamp tx ty tz qx qy qz qw\n" + "\n".join(rows) + "\n")
    (d / "calibration.txt").write_text(f"{FOCAL} {FOCAL} {WIDTH / 2 - 0.5} {HEIGHT / 2 - 0.5}\n")
    return Sample(d, unused=1, deep=1.5)


def scannet(d: Path) -> Sample:
    """Depth of half the size, a frame whose tracking was lost."""
    pictures(d / "color", "{}.jpg", count=5)
    depths(d / "depth", "{}.png", 1500, size=(WIDTH // 2, HEIGHT // 2))
    (d / "pose").mkdir()
    (d / "intrinsic").mkdir()
    for k in range(4):
        np.savetxt(d / "pose" / f"{k}.txt", poses(k), fmt="%.12f")
    np.savetxt(d / "pose" / "4.txt", np.full((4, 4), -np.inf))
    for name, scale in (("color", 1), ("depth", 0.5)):
        K = np.diag([FOCAL * scale, FOCAL * scale, 1, 1])
        K[:2, 2] = WIDTH / 2 * scale, HEIGHT / 2 * scale
        np.savetxt(d / "intrinsic" / f"intrinsic_{name}.txt", K)
    return Sample(d, unused=2, deep=1.5)


def replica(d: Path) -> Sample:
    """traj.txt and cam_params.json."""
    pictures(d / "results", "frame{:06d}.jpg")
    depths(d / "results", "depth{:06d}.png", 9830)
    np.savetxt(d / "traj.txt", np.stack([poses(k).ravel() for k in range(4)]), fmt="%.12f")
    camera = {"w": WIDTH, "h": HEIGHT, "fx": FOCAL, "fy": FOCAL, "cx": WIDTH / 2 - 0.5, "cy": HEIGHT / 2 - 0.5}
    (d / "cam_params.json").write_text(json.dumps({"camera": {**camera, "scale": 6553.5}}))
    return Sample(d, deep=9830 / 6553.5)


Z_UP = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])


def polycam(d: Path) -> Sample:
    """keyframes/ with small depth and confidence."""
    place = d / "keyframes"
    pictures(place / "images", "{}00.jpg")
    depths(place / "depth", "{}00.png", 1500, size=(WIDTH // 4, HEIGHT // 4))
    depths(place / "confidence", "{}00.png", 255, size=(WIDTH // 4, HEIGHT // 4))
    (place / "cameras").mkdir()
    for k in range(4):
        c2w = poses(k) @ OPENGL
        camera = {f"t_{i}{j}": c2w[i, j] for i in range(3) for j in range(4)}
        camera |= {"fx": FOCAL, "fy": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2, "width": WIDTH, "height": HEIGHT}
        (place / "cameras" / f"{k}00.json").write_text(json.dumps(camera))
    return Sample(d, unused=4, deep=1.5, turned=Z_UP)


def record3d(d: Path) -> Sample:
    """rgb/, depth/*.exr, metadata.json."""
    import OpenEXR

    pictures(d / "rgb", "{}.jpg")
    (d / "depth").mkdir()
    for k in range(4):
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        channels = {"R": np.full((HEIGHT // 4, WIDTH // 4), 1.5, np.float32)}
        OpenEXR.File(header, channels).write(str(d / "depth" / f"{k}.exr"))
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    rows = []
    for k in range(4):
        c2w = poses(k) @ OPENGL
        rows.append([*Rotation.from_matrix(c2w[:3, :3]).as_quat().tolist(), *c2w[:3, 3].tolist()])
    (d / "metadata.json").write_text(json.dumps({"w": WIDTH, "h": HEIGHT, "K": K.T.ravel().tolist(), "poses": rows}))
    return Sample(d, deep=1.5, turned=Z_UP)


def own(d: Path) -> Sample:
    """cameras.json, depth as floats in TIFF."""
    pictures(d)
    (d / "depth").mkdir()
    for k in range(4):
        cv2.imwrite(str(d / "depth" / f"{k:04d}.tiff"), np.full((HEIGHT, WIDTH), 1.5, np.float32))
    cameras = [{"name": f"{k:04d}.jpg", "K": [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2], "viewmat": viewmat(k).tolist()}
               for k in range(4)]  # fmt: skip
    (d / "cameras.json").write_text(json.dumps(cameras))
    return Sample(d, deep=1.5)


def recording(d: Path, *, mcap: bool = True, posed: str = "tf", still: bool = False) -> Sample:
    """A robot's recording: compressed colour, registered depth, camera_info, an IMU, and where the camera is.

    posed: `tf`, whose root moves under the camera; `odometry` in its place; `pose`: PoseStamped of the camera; `none`.
    still: the camera stays where it first is.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    info, header = types["sensor_msgs/msg/CameraInfo"], types["std_msgs/msg/Header"]
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    K = np.array([FOCAL, 0, WIDTH / 2 - 0.5, 0, FOCAL, HEIGHT / 2 - 0.5, 0, 0, 1])
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xyz", [-90, 0, -90], degrees=True).as_matrix()

    def at(k: float, frame: str) -> Any:
        whole = round((100 + k) * 1e9)
        return header(types["builtin_interfaces/msg/Time"](whole // 10**9, whole % 10**9), frame)

    def placed(k: float, parent: str, child: str, pose: np.ndarray) -> Any:
        q = types["geometry_msgs/msg/Quaternion"](*map(float, Rotation.from_matrix(pose[:3, :3]).as_quat()))
        t = types["geometry_msgs/msg/Transform"](types["geometry_msgs/msg/Vector3"](*map(float, pose[:3, 3])), q)
        return types["geometry_msgs/msg/TransformStamped"](at(k, parent), child, t)

    def vector(x: float, y: float, z: float) -> Any:
        return types["geometry_msgs/msg/Vector3"](float(x), float(y), float(z))

    def at_pose(pose: np.ndarray) -> Any:
        q = types["geometry_msgs/msg/Quaternion"](*map(float, Rotation.from_matrix(pose[:3, :3]).as_quat()))
        return types["geometry_msgs/msg/Pose"](types["geometry_msgs/msg/Point"](*map(float, pose[:3, 3])), q)

    with Writer(d / "bag", version=9, storage_plugin=StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3) as writer:
        def send(topic: str, kind: str, k: float, message: Any) -> None:
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(known[topic], round((100 + k) * 1e9) + 1, store.serialize_cdr(message, kind))

        known: dict[str, Any] = {}
        array = types["tf2_msgs/msg/TFMessage"]
        send("/tf_static", "tf2_msgs/msg/TFMessage", 0, array([placed(0, "camera_link", "camera_optical", tilt)]))
        for k in range(4):
            seen = poses(0 if still else k)
            pose = seen @ np.linalg.inv(tilt)
            if posed == "tf":
                send("/tf", "tf2_msgs/msg/TFMessage", k, array([placed(k, "map", "camera_link", pose)]))
            elif posed == "odometry":
                twist = types["geometry_msgs/msg/TwistWithCovariance"](
                    types["geometry_msgs/msg/Twist"](vector(0, 0, 0), vector(0, 0, 0)), np.zeros(36))
                held = types["geometry_msgs/msg/PoseWithCovariance"](at_pose(pose), np.zeros(36))
                send("/odom", "nav_msgs/msg/Odometry", k,
                     types["nav_msgs/msg/Odometry"](at(k, "map"), "camera_link", held, twist))
            elif posed == "pose":
                send("/cam/pose", "geometry_msgs/msg/PoseStamped", k,
                     types["geometry_msgs/msg/PoseStamped"](at(k, "map"), at_pose(seen)))
            felt = tilt[:3, :3] @ viewmat(0 if still else k)[:3, :3] @ [0, 0, 9.81]
            send("/imu", "sensor_msgs/msg/Imu", k, types["sensor_msgs/msg/Imu"](
                at(k, "camera_link"), types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0), np.zeros(9),
                vector(0, 0, 0), np.zeros(9), vector(*felt), np.zeros(9)))
            lens = info(at(k, "camera_optical"), HEIGHT, WIDTH, "plumb_bob", np.zeros(5), K, np.eye(3).ravel(),
                        np.zeros(12), 0, 0, roi)  # fmt: skip
            jpeg = cv2.imencode(".jpg", photo(3 * k, width=WIDTH, height=HEIGHT)[..., ::-1])[1].ravel()
            depth = np.full((HEIGHT, WIDTH), 1500, "<u2")
            send("/cam/color/camera_info", "sensor_msgs/msg/CameraInfo", k, lens)
            send("/cam/aligned_depth/camera_info", "sensor_msgs/msg/CameraInfo", k, lens)
            send("/cam/color/image_raw/compressed", "sensor_msgs/msg/CompressedImage", k,
                 types["sensor_msgs/msg/CompressedImage"](at(k, "camera_optical"), "jpeg", jpeg))
            send("/cam/aligned_depth/image_raw", "sensor_msgs/msg/Image", k,
                 types["sensor_msgs/msg/Image"](at(k, "camera_optical"), HEIGHT, WIDTH, "16UC1", 0, 2 * WIDTH,
                                                depth.view(np.uint8).ravel()))
    return Sample(d / "bag", deep=1.5)


SAMPLES: dict[str, Callable[[Path], Sample]] = {
    "nerfstudio": nerfstudio, "instant-ngp": instant_ngp, "Blender": blender, "COLMAP, text": colmap_text,
    "COLMAP, binary": colmap_binary, "TUM RGB-D": tum, "ScanNet": scannet, "Replica": replica, "Polycam": polycam,
    "Record3D": record3d, "rosbag2, MCAP": recording, "rosbag2, SQLite": lambda d: recording(d, mcap=False),
    "rosbag2, odometry": lambda d: recording(d, posed="odometry"),
    "rosbag2, PoseStamped": lambda d: recording(d, posed="pose"),
    "this project's": own,
}  # fmt: skip


def pose_error(found: Inputs, sample: Sample) -> float:
    """The largest difference of an entry of a pose (m, or a rotation's) or, over the focal length, of K."""
    turn = np.eye(4) if sample.turned is None else np.linalg.inv(sample.turned)
    K = np.array([[sample.focal, 0, WIDTH / 2], [0, sample.focal, HEIGHT / 2], [0, 0, 1]])
    worst = 0.0
    for k, v in enumerate(found.views):
        assert v.viewmat is not None and v.K is not None
        off = np.abs(v.viewmat - viewmat(k) @ turn).max(), np.abs(v.K - K).max() / sample.focal
        worst = max(worst, *map(float, off))
    return worst


def read(folder: Path) -> Inputs:
    """As the product reads it, checks included."""
    found = Inputs.load(folder)
    check(found)
    return found


def complaint(found: Inputs, sample: Sample) -> str:
    """What is not as it should be."""
    everything = {p.relative_to(sample.folder).as_posix() for p in sample.folder.rglob("*") if p.is_file()}
    if {f.name for f in found.files} != everything or not all(f.use or f.reason for f in found.files):
        return f"files unaccounted for: {sorted(everything ^ {f.name for f in found.files})}"
    if len(left_out(found.files)) and sum(not f.use for f in found.files) != sample.unused:
        return f"left out: {left_out(found.files)}"
    if len(found.views) != 4 or found.metric != sample.metric:
        return f"{len(found.views)} pictures, metric {found.metric}"
    if pose_error(found, sample) > 1e-6:
        return f"poses are {pose_error(found, sample):.2g} off"
    levels = [0.0 if v.depth is None else float(np.median(v.depth[v.depth > 0])) for v in found.views]
    if not np.allclose(levels, sample.deep, atol=1e-4):
        return f"depth of {levels} m"
    return "" if sample.more(found) else "what it says of masks is lost"


def foreign(folder: Path) -> Iterator[Verdict]:
    """Each layout, and depth that belongs to no picture."""
    for name, make in SAMPLES.items():
        place = folder / name.replace(" ", "_").replace("'", "")
        place.mkdir()
        sample = make(place)
        yield judged(name, lambda s=sample: complaint(read(s.folder), s), lambda text: text == "")
    numbered = folder / "numbered"
    pictures(numbered, "frame{:04d}.jpg")
    depths(numbered / "depth", "depth{:04d}.png", 700)
    yield judged("depth with other stems and the same numbers", lambda: Inputs.load(numbered).views,
                 lambda views: all(v.depth is not None for v in views))  # fmt: skip
    odd = folder / "odd"
    pictures(odd, "frame{:04d}.jpg")
    depths(odd / "depth", "{}_a.png", 700)
    (odd / "depth" / "0_a.png").rename(odd / "depth" / "nobody.png")
    yield judged("depth of no picture", lambda: Inputs.load(odd), lambda found: False, may_refuse=True)
    bare = folder / "bare"
    pictures(bare / "color", "{}.jpg")
    (bare / "pose").mkdir()
    for k in range(4):
        np.savetxt(bare / "pose" / f"{k}.txt", np.eye(4))
    yield judged("ScanNet without intrinsics", lambda: Inputs.load(bare), lambda found: False, may_refuse=True)


CASES = {"10 layouts": foreign}
