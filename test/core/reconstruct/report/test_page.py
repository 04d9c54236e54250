"""The report's words, and what it leaves in the folder."""

from __future__ import annotations

from pw_core.reconstruct.report.page import summary


def test_what_is_known_is_said_and_nothing_else() -> None:
    said = dict(summary({
        "poses": {"registered": ["a.jpg", "b.jpg"], "not_registered": ["c.jpg"], "points": 900,
                  "reprojection_error_px": 0.314},
        "plane": {"plane_inliers": 0.5, "bears_the_entities": False},
        "figures": {"held_out": {"psnr_db": 25.04, "ssim": 0.8}},
        "background": {"filled_m2": 0.01, "opaque": 0.9966},
    }))  # fmt: skip
    assert said == {
        "pictures placed": "2 of 3; not: c.jpg",
        "points": "900, 0.31 px off on average",
        "plane": "50% of the points lie on it",
        "the entities stand on it": "no: the plane is a guess",
        "held-out views": "PSNR 25.04 dB, SSIM 0.800",
        "ground filled below the entities": "100.0 cm²",
        "opaque behind the entities": "99.66% of their pixels",
    }
    assert summary({}) == []


def test_a_photos_figure_and_doubts_are_said() -> None:
    said = summary({"psnr_db": 31.26, "doubts": ["its mask is cut"], "seconds": 8.4})
    assert said == [
        ("looks like its photo", "31.3 dB; good from 30"),
        ("doubtful", "its mask is cut"),
        ("took", "8 s"),
    ]
