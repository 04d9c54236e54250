"""What Gaussians of another tool enclose: openings are closed or left open, and which is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import trimesh

from pw_core.errors import ReconstructError
from pw_core.gaussians import Gaussians
from pw_core.reconstruct.surface.splat_solid import solid_within
from support.vessels import box, jar

FULL = np.pi * 0.04**2 * 0.1
WALLS = FULL - np.pi * 0.035**2 * 0.09


def solid(splats: Gaussians, **options: bool) -> tuple[trimesh.Trimesh, list[str]]:
    """The solid and the warnings."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        made = solid_within(splats, name="x", **options)
    return trimesh.Trimesh(made.mesh.vertices, made.mesh.faces), [str(w.message) for w in heard]


def test_a_box_whose_underside_nobody_saw_is_full_and_ends_where_it_stood() -> None:
    made, heard = solid(box())
    assert heard == [] and made.volume == pytest.approx(8 * 0.04 * 0.03 * 0.02, rel=0.12)
    assert made.vertices[:, 2].min() > -0.004


def test_a_jar_that_was_scanned_inside_stays_hollow_and_that_is_said() -> None:
    made, (heard,) = solid(jar())
    assert made.volume == pytest.approx(WALLS, rel=0.25)  # thin walls, coarse voxels
    assert "'x': a vessel" in heard and "on top" in heard and "stay open" in heard
    wide = int(heard.partition("about ")[2].partition(" mm")[0])
    assert 10 <= wide <= 20
    filled, (heard,) = solid(jar(), fill=True)
    assert filled.volume == pytest.approx(FULL, rel=0.08) and "closed" in heard and "filled" in heard


def test_a_jar_seen_from_outside_alone_is_full_and_its_closed_mouth_is_named() -> None:
    made, (heard,) = solid(jar(inside=False))
    assert made.volume == pytest.approx(FULL, rel=0.08)
    assert "opening" in heard and "on top" in heard and "scan its inside too" in heard


def test_an_open_box_of_one_sheet_is_refused_with_what_would_do() -> None:
    open_box = box(half=(0.04, 0.03, 0.02))
    sheet = open_box[open_box.means[:, 2] < 0.039]
    with pytest.raises(ReconstructError, match=r"enclose no volume.*the inside too, and a wall of \d"):
        solid(sheet)
