#!/usr/bin/env python3
"""Path-trace the truths that `make bench BENCH=photo` measures against: the example photos' stages and more.

    python examples/photos/make_truths.py                     # all, half a minute each
    python examples/photos/make_truths.py --scene cup --spp 64

Writes out/truths/<scene>/: for the front, views turned about the thing (`turned_+20`), and the front after the first
entity slid 5 cm to the left (`slid`), turned 30 degrees where it stands (`spun`) or was pressed flat by 15 % at its
volume (`pressed`), each with its own light: picture, masks, depth [m] (float16 .npz) and camera; and stage.json.
Needs Mitsuba 3 (`pip install mitsuba`) and OpenCV.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from make_photos import SCENES, clean, describe_camera, say, write_png
from shapes import F64, Mesh
from studio import Eye, Stage, Studio, develop
from truth_stages import STAGES as DEVELOP
from truth_stages_end import STAGES as END

ANGLES_DEG = (-40, -20, -10, 10, 20, 40)
SLID_M = (0.0, 0.05, 0.0)
SPUN_DEG = 30.0
PRESSED = 0.85
"""Height that is left of what is pressed."""
STAGES = {**DEVELOP, **END}


def stage_of(name: str) -> Stage:
    """The stage of that name."""
    return STAGES[name]() if name in STAGES else importlib.import_module(f"scene_{name}").build()


def moved(stage: Stage, linear: F64, offset: F64) -> Stage:
    """The same with the first entity taken about its foot through `linear` (3, 3), then by `offset` (3,) [m]."""
    first = next(iter(stage.entities))
    mesh, look = stage.entities[first]
    foot = foot_of(mesh)
    there = replace(mesh, verts=(mesh.verts - foot) @ linear.T + foot + offset)
    return replace(stage, entities={**stage.entities, first: (there, look)})


def foot_of(mesh: Mesh) -> F64:
    """The middle of its bounding box, on the table: what it is turned and pressed about, shape (3,)."""
    low, high = mesh.verts.min(0), mesh.verts.max(0)
    return np.array([*(low + high)[:2] / 2, 0.0])


def motions() -> dict[str, tuple[F64, F64]]:
    """Linear part (3, 3) and offset (3,) [m] of each moved state."""
    a, wide = np.radians(SPUN_DEG), PRESSED**-0.5
    spun = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return {
        "slid": (np.eye(3), np.asarray(SLID_M)), "spun": (spun, np.zeros(3)),
        "pressed": (np.diag([wide, wide, PRESSED]), np.zeros(3)),
    }  # fmt: skip


def write_view(studio: Studio, eye: Eye, view: str, folder: Path, *, width: int, spp: int) -> None:
    """Picture, masks, depth and camera of one view."""
    stage, height = studio.stage, round(width * 704 / 1280)
    depth, masks = studio.geometry(eye, width, height)
    np.savez_compressed(folder / f"{view}_depth.npz", depth=depth.astype(np.float16))
    for name, mask in masks.items():
        write_png(folder / f"{view}_mask_{name}.png", mask.astype(np.uint8) * 255)
    (folder / f"{view}_camera.json").write_text(json.dumps(describe_camera(eye, width, height, stage), indent=1))
    light = studio.radiance(eye, width, height, spp=spp, seed=len(view))
    write_png(folder / f"{view}.png", clean(develop(light, exposure=stage.exposure, warmth=stage.warmth), 2.0))


def volume(mesh: Mesh) -> float | None:
    """[m³] of closed parts, whose overlaps count twice; None where one is open."""
    import trimesh

    solid = trimesh.Trimesh(mesh.verts, mesh.faces, process=False)
    solid.merge_vertices(digits_vertex=6, merge_tex=True, merge_norm=True)  # seams and poles of what was turned
    solid.update_faces(solid.nondegenerate_faces())
    parts = solid.split(only_watertight=False)
    return sum(abs(float(p.volume)) for p in parts) if all(p.is_watertight for p in parts) else None


def truth(name: str, folder: Path, *, width: int, spp: int, front_only: bool, missing: bool) -> None:
    """All views of one stage, or its front view alone; of those only the `missing` ones."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = stage_of(name)
    volumes = {}
    for entity, (mesh, _) in stage.entities.items():
        volumes[entity] = volume(mesh)
    front = stage.eye()
    views: dict[str, tuple[Stage, Eye]] = {"front": (stage, front)}
    if not front_only:
        views |= {f"turned_{a:+d}": (stage, front.orbited(a, np.asarray(stage.pivot))) for a in ANGLES_DEG}
        views |= {state: (moved(stage, *motion), front) for state, motion in motions().items()}
    with tempfile.TemporaryDirectory() as scratch:
        for view, (shown, eye) in views.items():
            if not (missing and (folder / f"{view}.png").is_file()):
                write_view(Studio(shown, Path(scratch)), eye, view, folder, width=width, spp=spp)
    facts = {
        "camera": {"height_m": stage.height, "pitch_deg": stage.pitch_deg, "hfov_deg": stage.hfov_deg},
        "table_edge_m": stage.table_edge, "pivot_m": list(stage.pivot), "slid_m": list(SLID_M),
        "foot_m": foot_of(next(iter(stage.entities.values()))[0]).tolist(), "spun_deg": SPUN_DEG, "pressed": PRESSED,
        "wall_m": float(stage.props["wall"][0].verts[:, 0].max()) if "wall" in stage.props else None,
        "volumes_m3": volumes,
    }  # fmt: skip
    (folder / "stage.json").write_text(json.dumps(facts, indent=1))


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = (*SCENES, *STAGES)
    parser.add_argument("--scene", choices=names, action="append", help="only this scene (may be repeated)")
    parser.add_argument("--spp", type=int, default=32, help="samples per pixel")
    parser.add_argument("--width", type=int, default=640, help="picture width in px; 20:11")
    parser.add_argument("--front", action="store_true", help="only the front view: enough for masks and cameras")
    parser.add_argument("--missing", action="store_true", help="only views that are not there yet")
    parser.add_argument("--out", type=Path, default=Path("out/truths"), help="folder to write to")
    args = parser.parse_args(argv)
    try:
        import mitsuba
    except ImportError:
        parser.exit(1, "Mitsuba 3 is needed to make the truths: pip install mitsuba\n")
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    for name in args.scene or names:
        start = time.monotonic()
        truth(name, args.out / name, width=args.width, spp=args.spp, front_only=args.front, missing=args.missing)
        say(f"{name}: {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
