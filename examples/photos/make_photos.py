#!/usr/bin/env python3
"""Path-trace the three example photos, and the ground truth that the benchmark measures against.

    python examples/photos/make_photos.py                    # all three photos, full size, some minutes each
    python examples/photos/make_photos.py --scene jam --spp 24 --width 480
    python examples/photos/make_photos.py --truth --width 640

Photos and cameras.yaml are written beside this script. `--truth` writes to out/truth/<scene>/ instead: the photo's view
and views turned about the object (PNG and camera JSON), masks, depth (metres along the camera's z) and entity meshes.
Needs Mitsuba 3 (`pip install mitsuba`) and OpenCV.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from studio import Eye, Stage, Studio, develop  # noqa: E402

SCENES = ("jam", "dumpling", "play_doh")
ORBITS_DEG = (-20, -10, 10, 20)


def say(text: str) -> None:
    """One progress line, at once."""
    print(text, flush=True)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """8-bit grey or RGB picture."""
    import cv2

    data = image if image.ndim == 2 else image[..., ::-1]
    if not cv2.imwrite(str(path), data, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f"could not write {path}")


def clean(image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """Takes the last path-tracing grain out; `strength` 0 leaves the picture as it is."""
    if strength <= 0:
        return image
    import cv2

    return np.asarray(cv2.fastNlMeansDenoisingColored(image, None, strength, strength * 1.5, 5, 15), dtype=np.uint8)


def describe_camera(eye: Eye, width: int, height: int, stage: Stage) -> dict[str, Any]:
    """The camera as the ground truth's JSON holds it."""
    return {
        "width": width,
        "height": height,
        "K": eye.intrinsics(width, height).tolist(),
        "viewmat": eye.viewmat().tolist(),
        "convention": "world to camera, OpenCV axes, pixel centres at integer + 0.5",
        "table_edge_m": stage.table_edge,
        "pivot_m": list(stage.pivot),
    }


def boxes(masks: dict[str, NDArray[np.bool_]], scale: float) -> dict[str, list[int]]:
    """[left, top, right, bottom] round each mask, in pixels of the photo `scale` times as wide."""
    out = {}
    for name, mask in masks.items():
        ys, xs = np.nonzero(mask)
        edges = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) * scale
        out[name] = [int(v) for v in np.rint(edges)]
    return out


def note_camera(stage: Stage, masks: dict[str, NDArray[np.bool_]], width: int, height: int) -> None:
    """Put this scene's true camera and boxes into cameras.yaml, leaving the other scenes' as they are."""
    import yaml

    path = HERE / "cameras.yaml"
    known = yaml.safe_load(path.read_text()) if path.exists() else {}
    known[stage.name] = {
        "width": width,
        "height": height,
        "camera_height_m": stage.height,
        "pitch_deg_down": stage.pitch_deg,
        "hfov_deg": stage.hfov_deg,
        "table_edge_m": stage.table_edge,
        "pivot_m": list(stage.pivot),
        "boxes_px": boxes(masks, 1.0),
    }
    head = "# True cameras of the example photos, from make_photos.py. Boxes: [left, top, right, bottom] px.\n"
    path.write_text(head + yaml.safe_dump(dict(sorted(known.items())), sort_keys=False, default_flow_style=None))


def photo(studio: Studio, *, width: int, spp: int, out: Path, official: bool, denoise: float) -> None:
    """Render and write one photo, and its camera if it is the full-size one."""
    stage, eye, height = studio.stage, studio.stage.eye(), round(width * 704 / 1280)
    light = studio.radiance(eye, width, height, spp=spp, bands=max(1, height // 88), report=say)
    write_png(out, clean(develop(light, exposure=stage.exposure, warmth=stage.warmth), denoise))
    say(f"  wrote {out}")
    if official:
        _, masks = studio.geometry(eye, width, height)
        note_camera(stage, masks, width, height)


def truth(studio: Studio, *, width: int, spp: int, folder: Path, denoise: float) -> None:
    """Write the views, cameras, masks, depths and meshes of one scene under `folder`."""
    stage, height = studio.stage, round(width * 704 / 1280)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (mesh, _) in stage.entities.items():
        mesh.write_ply(folder / f"{name}.ply")
    pivot = np.asarray(stage.pivot)
    for angle in (0, *ORBITS_DEG):
        eye = stage.eye().orbited(angle, pivot)
        view = "front" if angle == 0 else f"orbit_{angle:+d}"
        depth, masks = studio.geometry(eye, width, height)
        np.save(folder / f"{view}_depth.npy", depth)
        for name, mask in masks.items():
            write_png(folder / f"{view}_mask_{name}.png", mask.astype(np.uint8) * 255)
        (folder / f"{view}_camera.json").write_text(json.dumps(describe_camera(eye, width, height, stage), indent=1))
        start = time.monotonic()
        light = studio.radiance(eye, width, height, spp=spp, seed=angle + 90)
        write_png(folder / f"{view}.png", clean(develop(light, exposure=stage.exposure, warmth=stage.warmth), denoise))
        say(f"  {view}: {time.monotonic() - start:.0f} s")
    say(f"  wrote {folder}")


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", choices=SCENES, action="append", help="only this scene (may be repeated)")
    parser.add_argument("--spp", type=int, help="samples per pixel (photos: 168, truth: 48)")
    parser.add_argument("--width", type=int, help="picture width in px (photos: 1280, truth: 640); 20:11")
    parser.add_argument("--truth", action="store_true", help="write ground truth instead of the photos")
    parser.add_argument("--out", type=Path, help="folder to write to (photos: beside this script, truth: out/truth)")
    parser.add_argument("--denoise", type=float, default=1.5, help="strength of the final grain removal, 0 for none")
    parser.add_argument("--threads", type=int, default=0, help="threads to render with, 0 for all")
    args = parser.parse_args(argv)
    try:
        import drjit
        import mitsuba
    except ImportError:
        parser.exit(1, "Mitsuba 3 is needed to make the photos: pip install mitsuba\n")
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    if args.threads > 0:
        drjit.set_thread_count(args.threads)
    width, spp = args.width or (640 if args.truth else 1280), args.spp or (48 if args.truth else 168)
    for name in args.scene or SCENES:
        start = time.monotonic()
        say(f"{name}: building meshes and textures")
        stage: Stage = importlib.import_module(f"scene_{name}").build()
        with tempfile.TemporaryDirectory() as scratch:
            studio = Studio(stage, Path(scratch))
            say(f"{name}: rendering {width} px wide, {spp} samples a pixel")
            if args.truth:
                folder = (args.out or HERE.parents[1] / "out" / "truth") / name
                truth(studio, width=width, spp=spp, folder=folder, denoise=args.denoise)
            else:
                official = args.out is None and width == 1280
                photo(
                    studio,
                    width=width,
                    spp=spp,
                    out=(args.out or HERE) / f"{name}.png",
                    official=official,
                    denoise=args.denoise,
                )
        say(f"{name}: done in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
