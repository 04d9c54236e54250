"""Synthetic truth: the three example scenes, path-traced from 24 known views with depth, reconstructed, and compared.

    python test/benchmark/parts/synthetic.py shoot [jam dumpling play_doh]   # path-trace the views (needs Mitsuba)
    python test/benchmark/parts/synthetic.py [jam dumpling play_doh]         # reconstruct and measure

Views lie in out/truth/views/<scene>/ and are used again: view_NN.png, depth/view_NN.npy [m], cameras.json,
masks/<entity>/view_NN.png, <entity>.ply. They are as large as the example photos, with as much grain as a camera leaves
(one grey level; a real photo of clay has 1.5) and no denoising, which would take the tables' own grain along. Of each
stage the entities and the table are kept, seen from all round; walls, curtains, china and furniture, which stand where
the cameras walk, are left out, and so is the lens's blur.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import trimesh
import yaml
from scipy.spatial import cKDTree

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from parts.records import ROOT, record, write
from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ReconstructError
from pw_core.gaussians import F64
from pw_core.reconstruct import Inputs, reconstruct
from pw_core.scene import Scene

SCENES = ("jam", "dumpling", "play_doh")
KINDS = ("RGB-D", "RGB-D without poses", "RGB with poses", "RGB")
POSES_FOUND = ("RGB-D without poses", "RGB")
VIEWS, WIDTH, HEIGHT, HFOV_DEG = 24, 1280, 704, 50.0
SPP = 32
TRUTH = ROOT / "out" / "truth" / "views"
OUT = Path("out/bench/reconstruct")
KEEP = "table"
"""Beginning of the names of props that stay."""
FILLS = 0.36
"""Share of the picture's width that the entities span."""
SAMPLES = 40_000


def shoot(name: str, *, spp: int = SPP) -> Path:
    """The views of one scene, path-traced unless they are there; their folder."""
    folder = TRUTH / name
    if (folder / "cameras.json").is_file():
        return folder
    sys.path.insert(0, str(ROOT / "examples" / "photos"))
    import mitsuba

    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    import studio as studios
    from make_photos import write_png

    stage = importlib.import_module(f"scene_{name}").build()
    stage.aperture, stage.hfov_deg = 0.0, HFOV_DEG
    stage.props = {k: v for k, v in stage.props.items() if k.startswith(KEEP)}
    for part in ("depth", *(f"masks/{e}" for e in stage.entities)):
        (folder / part).mkdir(parents=True, exist_ok=True)
    verts = np.concatenate([mesh.verts for mesh, _ in stage.entities.values()])
    low, high = verts.min(0), verts.max(0)
    middle, wide = (low + high) / 2, float(np.linalg.norm((high - low)[:2]))
    distance = wide / FILLS / (2 * np.tan(np.radians(HFOV_DEG) / 2))
    cameras = []
    with tempfile.TemporaryDirectory() as scratch:
        room = studios.Studio(stage, Path(scratch))
        for entity, (mesh, _) in stage.entities.items():
            mesh.write_ply(folder / f"{entity}.ply")
        for k in range(VIEWS):
            began, stem = time.monotonic(), f"view_{k:02d}"
            # Walking once round, the hand going up and down three times.
            turn = np.pi + 2 * np.pi * k / VIEWS
            rise = np.radians(34 + 17 * np.sin(3 * turn + 0.4))
            to_eye = np.array([np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise)])
            eye = studios.Eye(middle + distance * to_eye, -to_eye, HFOV_DEG)
            view = eye.viewmat().tolist()
            cameras.append({"name": f"{stem}.png", "K": eye.intrinsics(WIDTH, HEIGHT).tolist(), "viewmat": view})
            if not (folder / "depth" / f"{stem}.npy").is_file():
                depth, masks = room.geometry(eye, WIDTH, HEIGHT)
                for entity, mask in masks.items():
                    write_png(folder / "masks" / entity / f"{stem}.png", mask.astype(np.uint8) * 255)
                np.save(folder / "depth" / f"{stem}.npy", depth)
            if (folder / f"{stem}.png").is_file():
                continue
            light = room.radiance(eye, WIDTH, HEIGHT, spp=spp, seed=k)
            picture = studios.develop(light, exposure=stage.exposure, warmth=stage.warmth)
            write_png(folder / f"{stem}.png", picture)
            print(f"  {name} {stem}: {time.monotonic() - began:.0f} s", flush=True)
    (folder / "cameras.json").write_text(json.dumps(cameras, indent=1))
    return folder


def config(name: str, folder: Path) -> SceneConfig:
    """The example scene's entities, each with a box as a user draws it round the entity in the first view."""
    given = yaml.safe_load((ROOT / "config" / "scenes" / f"{name}.yaml").read_text())
    entities = []
    for entity in given["entities"]:
        mask = cv2.imread(str(folder / "masks" / entity["name"] / "view_00.png"), cv2.IMREAD_GRAYSCALE) > 127
        y, x = np.nonzero(mask)
        box = [int(x.min()) - 3, int(y.min()) - 3, int(x.max()) + 4, int(y.max()) + 4]
        entities.append({k: entity[k] for k in ("name", "kind", "material") if k in entity} | {"prompt": {"box": box}})
    return SceneConfig.parse({"name": name, "entities": entities, "table": {"edge_m": 2.0},
                              "camera": {"height_m": 0.3, "pitch_deg": 17.0, "hfov_deg": HFOV_DEG}})  # fmt: skip


def similarity(moving: F64, fixed: F64) -> F64:
    """(4, 4) that takes points `moving` (n, 3) to `fixed` with the least squares (Umeyama 1991)."""
    a, b = moving - moving.mean(0), fixed - fixed.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = u @ flip @ vt
    scale = float((s * np.diag(flip)).sum() / (a**2).sum())
    T = np.eye(4)
    T[:3, :3] = scale * turn
    T[:3, 3] = fixed.mean(0) - scale * turn @ moving.mean(0)
    return T


def surface(mesh: trimesh.Trimesh) -> F64:
    return np.asarray(trimesh.sample.sample_surface(mesh, SAMPLES, seed=0)[0])


def chamfer(a: trimesh.Trimesh, b: trimesh.Trimesh) -> float:
    """Mean distance of points on each surface from the nearest on the other, mean of both ways [m]."""
    p, q = surface(a), surface(b)
    return float((cKDTree(q).query(p)[0].mean() + cKDTree(p).query(q)[0].mean()) / 2)


def solid(path: Path) -> trimesh.Trimesh:
    """A true mesh; vertices at seams joined, so that it has a volume."""
    mesh = trimesh.load(path)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=True, merge_norm=True, merge_tex=True)


def compare(what: str, scene: Scene, folder: Path, *, limit: float, found_poses: bool) -> None:
    """Records of one reconstruction against the truth in `folder`."""
    truth = {c["name"].split(".")[0]: np.array(c["viewmat"]) for c in json.loads((folder / "cameras.json").read_text())}
    T = np.eye(4)
    meshes = {e.name: solid(folder / f"{e.name}.ply") for e in scene.entities}
    if found_poses:
        names = [c.name for c in scene.cameras]
        mine = np.array([c.centre for c in scene.cameras])
        true = np.array([-truth[n][:3, :3].T @ truth[n][:3, 3] for n in names])
        T = similarity(mine, true)
        turn = T[:3, :3] / np.cbrt(np.linalg.det(T[:3, :3]))
        apart = [c.viewmat[:3, :3] @ turn.T @ truth[c.name][:3, :3].T for c in scene.cameras]
        angles = np.degrees(np.arccos(np.clip([(np.trace(r) - 1) / 2 for r in apart], -1, 1)))
        off = np.linalg.norm(mine @ T[:3, :3].T + T[:3, 3] - true, axis=1)
        middle = np.mean([m.bounds.mean(0) for m in meshes.values()], axis=0)
        off = off / np.linalg.norm(true - middle, axis=1)
        record(f"{what}: views placed", len(names), "", f"{len(truth)}", len(names) == len(truth))
        note = f"worst of {len(names)}; mean"
        record(f"{what}: camera turned by", float(angles.max()), "deg", "<= 0.5", angles.max() <= 0.5,
               f"{note} {angles.mean():.3f}")  # fmt: skip
        record(f"{what}: camera off by", float(100 * off.max()), "% of distance", "<= 1", off.max() <= 0.01,
               f"{note} {100 * off.mean():.3f}")  # fmt: skip
    for e in scene.entities:
        true_mesh = meshes[e.name]
        mesh = trimesh.Trimesh(e.mesh.vertices @ T[:3, :3].T + T[:3, 3], e.mesh.faces)
        error = chamfer(mesh, true_mesh) / float(true_mesh.extents.max())
        record(f"{what}: {e.name}'s Chamfer distance", 100 * error, "% of size", f"<= {100 * limit:g}", error <= limit)
        volume = mesh.volume / true_mesh.volume - 1
        record(f"{what}: {e.name}'s volume", 100 * volume, "% too large", "within 5", abs(volume) <= 0.05)


def run(names: Sequence[str] = SCENES, *, kinds: Sequence[str] = KINDS, steps: int = 2000) -> None:
    """Reconstruct each scene from RGB-D and from RGB, with the true poses and without."""
    for name in names:
        folder = TRUTH / name
        if not (folder / "cameras.json").is_file():
            try:
                import mitsuba  # noqa: F401  the renderer of the truth
            except ImportError:
                record(f"{name}: synthetic truth", None, "", "", None, "no views in out/truth/views, no Mitsuba")
                continue
            shoot(name)
        for kind in kinds:
            what = f"{name} from {kind}"
            inputs, settings = job(name, kind, steps=steps)
            scene = first_that_goes(what, config(name, folder), inputs, settings, place_of(name, kind))
            if scene is None:
                continue
            record(f"{what}: seconds", scene.provenance["seconds"], "s", "", None)
            compare(what, scene, folder, limit=0.01 if "D" in kind else 0.02, found_poses=kind in POSES_FOUND)


def first_that_goes(
    what: str, asked: SceneConfig, inputs: Inputs, settings: ViewsSettings, folder: Path
) -> Scene | None:
    """The scene; where that fails, which is recorded, what its first entity alone gives."""
    for entities in [asked.entities, asked.entities[:1]][: len(asked.entities)]:
        part = asked.model_copy(update={"entities": entities})
        names = " and ".join(e.name for e in entities)
        try:
            scene = reconstruct(part, inputs, settings=settings, folder=folder, progress=told(what))
        except ReconstructError as error:
            record(f"{what}: {names} reconstructed", 0.0, "", "1", False, str(error))
        else:
            return scene
    return None


def job(name: str, kind: str, *, steps: int) -> tuple[Inputs, ViewsSettings]:
    """What is given: pictures and the camera's intrinsics, with depth and poses or without. With depth, few steps do:
    they are for the colours."""
    inputs = Inputs.load(TRUTH / name)
    if kind in POSES_FOUND:
        inputs = Inputs(tuple(replace(v, viewmat=None) for v in inputs.views))
    if "D" in kind:
        return inputs, ViewsSettings(device="cpu", steps=min(steps, 200))
    return Inputs(tuple(replace(v, depth=None) for v in inputs.views)), ViewsSettings(device="cpu", steps=steps)


def place_of(name: str, kind: str) -> Path:
    return OUT / f"{name}_{kind.lower().replace('-', '').replace(' ', '_')}"


def told(what: str, *, every_s: float = 15.0) -> Callable[[str, float], None]:
    """Prints where a reconstruction is, not more often than that."""
    last = [0.0]

    def tell(stage: str, fraction: float) -> None:
        if time.monotonic() - last[0] > every_s:
            last[0] = time.monotonic()
            print(f"  {what} {fraction:.2f} {stage}", flush=True)

    return tell


if __name__ == "__main__":
    if sys.argv[1:2] == ["shoot"]:
        for each in sys.argv[2:] or SCENES:
            shoot(each)
    else:
        run(sys.argv[1:] or SCENES)
        write("synthetic")
