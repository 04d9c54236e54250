"""The plane that the entities stand on, among others that hold as many points."""

from __future__ import annotations

import numpy as np
import pytest

from pw_core.errors import ReconstructError
from pw_core.gaussians import F64
from pw_core.reconstruct.ground.plane import PlaneOptions, find_plane, upright
from pw_core.render.cameras import look_at
from support.ball import CENTRE, RADIUS, camera

SEAT_M, TILT_DEG = 0.45, 4.0
TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
"""Structure from motion's frame has no up: everything is turned by this."""


def chair() -> tuple[F64, F64, F64]:
    """Points [m] round a chair, points of a thing on its seat, and the seat's normal.

    The seat has a fifth as many points as the floor; a back rest and books lean on it.
    """
    rng = np.random.default_rng(3)
    lean = np.radians(TILT_DEG)
    normal = np.array([-np.sin(lean), 0, np.cos(lean)])

    def page(count: int, size: float, *, noise: float = 0.001) -> F64:
        return np.c_[rng.uniform(-size, size, (count, 2)), noise * rng.normal(size=count)]

    floor = page(1500, 1.2, noise=0.004)
    seat = page(300, 0.25) @ _about_y(lean).T + [0, 0, SEAT_M]
    back = page(600, 0.25, noise=0.01)[:, [2, 0, 1]] + [0.27, 0, SEAT_M + 0.25]
    books = page(700, 0.12) @ _about_y(np.radians(-65)).T + [0.05, 0.15, SEAT_M + 0.11]
    thing = rng.uniform(-1, 1, (250, 3)) * [0.05, 0.05, 0.1] + [0.0, -0.1, SEAT_M + 0.105]
    return np.concatenate([floor, seat, back, books]), thing, normal


def _about_y(angle: float) -> F64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def cameras(*, arc_deg: float = 100.0, roll_deg: float = 8.0) -> tuple[F64, F64, F64]:
    """Centres, and axes up and to the right, of cameras in an arc before the chair, held slightly askew."""
    rng = np.random.default_rng(1)
    centres, ups, rights = [], [], []
    for angle in np.radians(np.linspace(-arc_deg / 2, arc_deg / 2, 11)):
        eye = np.array([-1.1 * np.cos(angle), 1.1 * np.sin(angle), SEAT_M + 0.5 + 0.15 * np.sin(3 * angle)])
        turn = look_at(eye, np.array([0.0, 0, SEAT_M + 0.1]))[:3, :3]
        roll = np.radians(roll_deg) * rng.normal()
        right, down = turn[0], turn[1]
        centres.append(eye)
        rights.append(np.cos(roll) * right + np.sin(roll) * down)
        ups.append(np.sin(roll) * right - np.cos(roll) * down)
    return np.array(centres), np.array(ups), np.array(rights)


def test_a_thing_on_a_seat_stands_on_the_seat() -> None:
    points, thing, normal = chair()
    centres, ups, rights = (a @ TURN.T for a in cameras())
    found = find_plane(points @ TURN.T, centres, ups=ups, rights=rights, own=thing @ TURN.T)
    assert found.bears is True
    assert np.degrees(np.arccos(min(1, found.normal @ TURN @ normal))) < 1.0
    assert abs(found.offset - normal @ [0, 0, SEAT_M]) < 0.005
    assert ((centres @ found.normal - found.offset) > 0).all()


def test_a_printed_sheet_beside_it_does_not_outdo_the_seat() -> None:
    """A board with ten times the seat's points, askew on the seat, beside the thing."""
    points, thing, normal = chair()
    rng = np.random.default_rng(5)
    board = np.c_[rng.uniform(-1, 1, (3000, 2)) * [0.06, 0.1], 0.0005 * rng.normal(size=3000)]
    board = board @ _about_y(np.radians(TILT_DEG - 6)).T + [-0.15, 0.05, SEAT_M + 0.012]
    centres, ups, rights = cameras()
    found = find_plane(np.concatenate([points, board]), centres, ups=ups, rights=rights, own=thing)
    assert found.bears is True
    assert np.degrees(np.arccos(min(1, found.normal @ normal))) < 1.5
    assert abs(found.offset - normal @ [0, 0, SEAT_M]) < 0.006


def test_what_stands_on_nothing_leaves_the_largest_level_plane() -> None:
    points, thing, _ = chair()
    centres, ups, rights = cameras()
    aloft = thing + np.array([0, 0, 2.0])
    for own in (aloft, None):
        found = find_plane(points, centres, ups=ups, rights=rights, own=own)
        assert found.bears is (None if own is None else False)
        assert found.normal[2] > 0.99 and abs(found.offset) < 0.01


def test_upright_is_square_to_cameras_that_are_held_level() -> None:
    _, ups, rights = cameras()
    up = upright(ups, rights)
    assert up is not None and up[2] > np.cos(np.radians(5))
    assert upright(*cameras(arc_deg=4.0)[1:]) is None  # all look the same way: any axis square to one is as good


def test_cameras_rolled_anyhow_tell_no_upright() -> None:
    assert upright(*cameras(roll_deg=70.0)[1:]) is None


def test_no_plane_is_an_error_that_says_how_many_points_the_best_holds() -> None:
    rng = np.random.default_rng(0)
    centres, ups, rights = cameras()
    with pytest.raises(ReconstructError, match=r"the best holds \d+ of \d+ points"):
        find_plane(rng.normal(size=(800, 3)) * 0.4 + [0, 0, SEAT_M], centres, ups=ups, rights=rights)
    with pytest.raises(ReconstructError, match="only 0 points"):
        find_plane(np.zeros((0, 3)), centres)


def clay(*, lean_deg: float = 0.0) -> tuple[F64, F64, int]:
    """Points all over a ball but at its foot, 30 of the plain table it stands on, at two of its far edges, and a few
    that are wrong; the normal of the table, and how many of the points, the first, are the ball's."""
    rng = np.random.default_rng(4)
    way = rng.normal(size=(9000, 3))
    ball = CENTRE + RADIUS * way / np.linalg.norm(way, axis=1, keepdims=True)
    ball = ball[rng.random(len(ball)) < 0.9 * np.clip(ball[:, 2] / RADIUS - 0.3, 0, 1)][:4000]
    far = np.concatenate(
        [rng.uniform([0.25, -0.5], [0.3, 0.5], (20, 2)), rng.uniform([-0.5, -0.3], [-0.4, 0.5], (10, 2))]
    )
    table = np.column_stack([far, 0.0007 * rng.normal(size=30)])
    wrong = rng.uniform([-0.5, -0.5, 0.1], [0.5, 0.5, 0.3], (12, 3))
    turn = _about_y(np.radians(lean_deg))
    return np.concatenate([ball, table, wrong]) @ turn.T, turn @ [0.0, 0, 1], len(ball)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("lean_deg", [0.0, 1.0])
def test_a_plain_table_with_few_points_is_found_below_what_has_thousands(known: bool, lean_deg: float) -> None:
    """Planes through the ball hold ten times as many points; half of it would lie under the table."""
    points, normal, count = clay(lean_deg=lean_deg)
    views = [camera(2 * np.pi * k / 12, height=0.2 + 0.1 * (k % 3)) for k in range(12)]
    centres, ups, rights = (np.array(a) for a in zip(*((c.centre, -c.viewmat[1, :3], c.viewmat[0, :3]) for c in views)))
    own = (np.arange(len(points)) < count) & (points[:, 0] < -0.2 * RADIUS)  # as the prompt's view sees them
    found = find_plane(
        points[~own] if known else points, centres, ups=ups, rights=rights, own=points[own] if known else None
    )
    assert np.degrees(np.arccos(min(1.0, found.normal @ normal))) < 0.3
    assert abs(found.offset) < 0.002  # below the ball, which is 100 mm high
    assert found.bears is (True if known else None)


def test_without_any_table_no_plane_cuts_through_what_is_there() -> None:
    """A ball alone: it is refused, or stands on its lowest points."""
    points, _, count = clay()
    ball = points[:count]
    views = [camera(2 * np.pi * k / 12, height=0.2 + 0.1 * (k % 3)) for k in range(12)]
    centres, ups, rights = (np.array(a) for a in zip(*((c.centre, -c.viewmat[1, :3], c.viewmat[0, :3]) for c in views)))
    own = ball[:, 0] < -0.2 * RADIUS
    try:
        found = find_plane(ball[~own], centres, ups=ups, rights=rights, own=ball[own])
    except ReconstructError as error:
        assert "no floor or table plane" in str(error)
    else:
        assert ((ball @ found.normal - found.offset) < -0.001).mean() < 0.01


def test_how_near_a_point_on_the_plane_is_can_be_said() -> None:
    points, _, _ = chair()
    centres, ups, rights = cameras()
    wide = PlaneOptions(inlier_distance_ratio=0.02)
    given, lenient = (find_plane(points, centres, ups=ups, rights=rights, options=o) for o in (PlaneOptions(), wide))
    assert lenient.inliers > given.inliers
