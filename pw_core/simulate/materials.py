"""Constitutive laws of the deformables. Their parameters lie in device memory, so that they change without a rebuild.

Genesis has the same laws with the parameters compiled in. All give the Kirchhoff stress [Pa] from the deformation
F_tmp that a substep begins with, and the F that it leaves:

- elastic: corotated (Stomakhin et al. 2012), `2 mu (F - R) F^T + lambda J (J - 1) I`.
- plastic: the same stress, after a von Mises return of the Hencky strain (Gao et al. 2017).
- snow: the same stress, singular values clamped, stiffness growing as it is packed (Stomakhin et al. 2013).
- liquid: `lambda J (J - 1) I + 2 eta dev(D)`, where F keeps only its volume. Genesis multiplies eta by the whole of
  F - R, which makes a viscous liquid stiffer the shorter the substep is; ours resists shear alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pw_core.config import Material, MaterialModel
from pw_core.gaussians import F64
from pw_core.scene import Entity

SNOW_COMPRESSION = 0.025  # Stomakhin et al. 2013, table 2
SNOW_STRETCH = 0.0075
SNOW_HARDENING = 10.0
SNOW_STIFFEST = 8.0  # hardening stops at this factor, so that a stable substep is known before
COLUMNS = 4  # lambda [Pa], mu [Pa], yield threshold [Pa], viscosity over substep [Pa]


def lame(material: Material) -> tuple[float, float]:
    """Lamé's lambda and mu [Pa]; a liquid has no mu."""
    e, nu = material.youngs_modulus_pa, material.poisson_ratio
    mu = 0.0 if material.model == "liquid" else e / (2 * (1 + nu))
    return e * nu / ((1 + nu) * (1 - 2 * nu)), mu


def parameters(entity: Entity, *, particle_size_m: float, substep_s: float) -> F64:
    """The row (COLUMNS,) of an entity's material.

    Genesis has one particle volume for all, `particle_size_m` cubed: stresses are scaled so that forces are right.
    """
    m = entity.material
    lam, mu = lame(m)
    # The law's threshold is on the norm of the deviatoric stress, sqrt(2/3) of the von Mises stress.
    row = np.array([lam, mu, (2 / 3) ** 0.5 * m.yield_stress_pa, m.viscosity_pa_s / substep_s])
    return row * volume_share(entity, particle_size_m)


def volume_share(entity: Entity, particle_size_m: float) -> float:
    """An entity's volume per particle over the one that Genesis assumes."""
    count = entity.particles.stop - entity.particles.start
    return entity.volume_m3 / max(1, count) / particle_size_m**3


class MaterialTable:
    """Rows of material parameters, one a deformable entity, and Genesis materials that read them."""

    def __init__(self, count: int) -> None:
        import genesis as gs
        import quadrants as qd

        self._rows = qd.field(gs.qd_float, shape=(max(1, count), COLUMNS))

    def write(self, rows: F64) -> None:
        """Put parameters (count, COLUMNS) in force from the next substep on."""
        if len(rows):
            self._rows.from_numpy(np.asarray(rows, np.float32))

    def material(self, row: int, model: MaterialModel, *, density: float) -> Any:
        """A Genesis material of that density [kg/m³ of Genesis's particle volume] with our law, reading `row`."""
        import genesis as gs

        made = gs.materials.MPM.Elastic(rho=density, sampler="regular")
        law = {"elastic": _elastic, "plastic": _plastic, "snow": _snow, "liquid": _liquid}[model]
        made.update_F_S_Jp, made.update_stress = law(self._rows, row)
        made.needs_svd = model != "liquid"
        return made


def _elastic(rows: Any, row: int) -> tuple[Any, Any]:
    import genesis as gs
    import quadrants as qd

    @qd.func
    def update(J, F_tmp, U, S, V, Jp):  # type: ignore[no-untyped-def]
        return F_tmp, S, Jp

    @qd.func
    def stress(U, S, V, F_tmp, F_new, J, Jp, actu, m_dir):  # type: ignore[no-untyped-def]
        pressure = qd.Matrix.identity(gs.qd_float, 3) * (rows[row, 0] * J * (J - 1.0))
        return 2.0 * rows[row, 1] * (F_new - U @ V.transpose()) @ F_new.transpose() + pressure

    return update, stress


def _plastic(rows: Any, row: int) -> tuple[Any, Any]:
    import genesis as gs
    import quadrants as qd

    @qd.func
    def update(J, F_tmp, U, S, V, Jp):  # type: ignore[no-untyped-def]
        S_new = S
        F_new = F_tmp
        strain = qd.Vector([qd.log(qd.max(S[d, d], 0.05)) for d in range(3)])
        shear = strain - strain.sum() / 3.0
        size = shear.norm(gs.EPS)
        excess = size - rows[row, 2] / (2.0 * rows[row, 1])
        if excess > 0.0:
            strain -= (excess / size) * shear
            S_new = qd.Matrix.zero(gs.qd_float, 3, 3)
            for d in qd.static(range(3)):
                S_new[d, d] = qd.exp(strain[d])
            F_new = U @ S_new @ V.transpose()
        return F_new, S_new, Jp

    return update, _elastic(rows, row)[1]


def _snow(rows: Any, row: int) -> tuple[Any, Any]:
    import genesis as gs
    import quadrants as qd

    @qd.func
    def update(J, F_tmp, U, S, V, Jp):  # type: ignore[no-untyped-def]
        S_new = qd.Matrix.zero(gs.qd_float, 3, 3)
        packed = Jp
        for d in qd.static(range(3)):
            S_new[d, d] = qd.min(qd.max(S[d, d], 1.0 - SNOW_COMPRESSION), 1.0 + SNOW_STRETCH)
            packed *= S[d, d] / S_new[d, d]
        return U @ S_new @ V.transpose(), S_new, qd.min(qd.max(packed, 0.05), 20.0)

    @qd.func
    def stress(U, S, V, F_tmp, F_new, J, Jp, actu, m_dir):  # type: ignore[no-untyped-def]
        harder = qd.min(qd.exp(SNOW_HARDENING * (1.0 - Jp)), SNOW_STIFFEST)
        kept = S.determinant()
        pressure = qd.Matrix.identity(gs.qd_float, 3) * (rows[row, 0] * kept * (kept - 1.0))
        return harder * (2.0 * rows[row, 1] * (F_new - U @ V.transpose()) @ F_new.transpose() + pressure)

    return update, stress


def _liquid(rows: Any, row: int) -> tuple[Any, Any]:
    import genesis as gs
    import quadrants as qd

    @qd.func
    def update(J, F_tmp, U, S, V, Jp):  # type: ignore[no-untyped-def]
        return qd.Matrix.identity(gs.qd_float, 3) * qd.pow(J, 1.0 / 3.0), S, Jp

    @qd.func
    def stress(U, S, V, F_tmp, F_new, J, Jp, actu, m_dir):  # type: ignore[no-untyped-def]
        # F_tmp began the substep without shear, so to first order its isochoric b - I is 2 dt dev(D).
        b = F_tmp @ F_tmp.transpose() / qd.pow(J, 2.0 / 3.0)
        identity = qd.Matrix.identity(gs.qd_float, 3)
        return rows[row, 3] * (b - identity * (b.trace() / 3.0)) + identity * (rows[row, 0] * J * (J - 1.0))

    return update, stress
