"""USD: Gaussians as particle field splats, particles as points with velocities, meshes, cameras.

Z is up, a unit is a metre. The stage's time codes are frames: `timeCodesPerSecond` is what makes seconds of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.errors import ErrorCode, SceneError
from pw_core.export.content import Content, Frame, attributes, opacities_of
from pw_core.gaussians import F32, Camera, Gaussians
from pw_core.scene import Entity

Write = Callable[[Frame, Any], None]
"""Writes what a frame holds at a time code."""


def write_usd(content: Content, path: Path) -> None:
    """A stage `/World` with `things` and `background` (splats), `particles/<entity>`, `meshes/<entity>` and
    `cameras/<name>`.

    Raises:
        SceneError (STORE_FAILED): a usd-core older than 26.3, which has no splats.
    """
    from pxr import Usd, UsdGeom, UsdVol

    if not hasattr(UsdVol, "ParticleField3DGaussianSplat"):
        version = ".".join(str(n) for n in Usd.GetVersion()[1:])
        raise SceneError(
            f"usd-core {version} has no Gaussian splats; expected 26.3 or newer", code=ErrorCode.STORE_FAILED
        )
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    moving = len(content) > 1
    rate = frames_per_second(content)
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    if moving:
        stage.SetStartTimeCode(float(content.times[0] * rate))
        stage.SetEndTimeCode(float(content.times[-1] * rate))
    world = UsdGeom.Xform.Define(stage, "/World").GetPrim()
    stage.SetDefaultPrim(world)
    world.SetCustomDataByKey("perpetualWonder", {k: str(v) for k, v in attributes(content).items()})
    writers = [_splats(stage, "things", lambda f: f.things), _splats(stage, "background", lambda f: f.background)]
    writers += [_points(stage, content, e) for e in content.scene.entities]
    writers += [_mesh(stage, content, e) for e in content.scene.entities]
    for camera in content.scene.cameras:
        _camera(stage, camera)
    for frame in content.frames():
        code = Usd.TimeCode(frame.time_s * rate) if moving else Usd.TimeCode.Default()
        for write in writers:
            write(frame, code)
    stage.GetRootLayer().Save()


def frames_per_second(content: Content) -> float:
    """Of the trajectory [1/s], a whole number where it is one but for rounding; 24 for an instant."""
    if len(content) < 2:
        return 24.0
    rate = 1 / float(np.median(np.diff(content.times)))
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate else rate


def _splats(stage: Any, name: str, part: Callable[[Frame], Gaussians]) -> Write:
    from pxr import UsdVol, Vt

    prim = UsdVol.ParticleField3DGaussianSplat.Define(stage, f"/World/{name}")
    written: list[Gaussians] = []

    def write(frame: Frame, code: Any) -> None:
        g = part(frame)
        last = written[-1] if written else None
        if last is g:
            return
        written[:] = [g]
        if last is None:
            prim.CreateRadianceSphericalHarmonicsDegreeAttr(g.sh_degree)
            prim.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(opacities_of(g)))
        if last is None or last.means is not g.means:
            quats = g.quats / np.linalg.norm(g.quats, axis=1, keepdims=True)
            reach = 3 * np.exp(g.log_scales.max(1, keepdims=True))
            prim.CreatePositionsAttr().Set(_vectors(g.means), code)
            prim.CreateOrientationsAttr().Set(_quaternions(quats), code)
            prim.CreateScalesAttr().Set(_vectors(np.exp(g.log_scales)), code)
            if len(g):
                box = np.stack([(g.means - reach).min(0), (g.means + reach).max(0)])
                prim.CreateExtentAttr().Set(_vectors(box), code)
        if last is None or last.sh is not g.sh:
            sh = _vectors(g.sh.reshape(-1, 3))
            prim.CreateRadianceSphericalHarmonicsCoefficientsAttr().Set(sh, code)

    return write


def _points(stage: Any, content: Content, entity: Entity) -> Write:
    from pxr import UsdGeom, Vt

    points = UsdGeom.Points.Define(stage, f"/World/particles/{_name(entity.name)}")
    mine = entity.particles
    count = mine.stop - mine.start
    points.CreateWidthsAttr(Vt.FloatArray.FromNumpy(np.full(count, entity.particle_size_m, np.float32)))
    points.CreatePurposeAttr(UsdGeom.Tokens.guide)  # there for who asks; the splats are the looks
    color = (content.particle_colors[mine] / 255).astype(np.float32)
    points.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex).Set(_vectors(color))

    def write(frame: Frame, code: Any) -> None:
        points.CreatePointsAttr().Set(_vectors(frame.positions[mine]), code)
        points.CreateVelocitiesAttr().Set(_vectors(frame.physics.particles.velocities[mine]), code)

    return write


def _mesh(stage: Any, content: Content, entity: Entity) -> Write:
    from pxr import UsdGeom, Vt

    mesh = UsdGeom.Mesh.Define(stage, f"/World/meshes/{_name(entity.name)}")
    faces = np.ascontiguousarray(entity.mesh.faces, np.int32)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreatePurposeAttr(UsdGeom.Tokens.guide)

    def write(frame: Frame, code: Any) -> None:
        mesh.CreatePointsAttr().Set(_vectors(frame.meshes[entity.name]), code)

    return write


def _camera(stage: Any, camera: Camera) -> None:
    """USD cameras look along -z with y up; lengths of the lens are in tenths of a unit, of which only ratios count."""
    from pxr import Gf, UsdGeom

    prim = UsdGeom.Camera.Define(stage, f"/World/cameras/{_name(camera.name)}")
    pose = np.linalg.inv(camera.viewmat) @ np.diag([1.0, -1.0, -1.0, 1.0])
    prim.AddTransformOp().Set(Gf.Matrix4d(*pose.T.ravel().tolist()))
    focal = 24.0
    unit = focal / float(camera.K[0, 0])  # of a pixel
    prim.CreateFocalLengthAttr(focal)
    prim.CreateHorizontalApertureAttr(camera.width * unit)
    prim.CreateVerticalApertureAttr(camera.height * unit * float(camera.K[0, 0] / camera.K[1, 1]))
    prim.CreateHorizontalApertureOffsetAttr((camera.width / 2 - float(camera.K[0, 2])) * unit)
    prim.CreateVerticalApertureOffsetAttr((float(camera.K[1, 2]) - camera.height / 2) * unit)
    prim.CreateClippingRangeAttr(Gf.Vec2f(0.01, 1000.0))


def _vectors(array: F32) -> Any:
    """(N, 3) as USD holds it."""
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(array, np.float32))


def _quaternions(wxyz: F32) -> Any:
    """(N, 4) as USD holds it, whose memory has the real part last."""
    from pxr import Vt

    return Vt.QuatfArray.FromNumpy(np.ascontiguousarray(wxyz[:, [1, 2, 3, 0]], np.float32))


def _name(text: str) -> str:
    """What USD allows as a name."""
    from pxr import Tf

    return str(Tf.MakeValidIdentifier(text))
