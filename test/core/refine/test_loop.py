"""The closed loop on a ball with spots: found where it really went, written back, kept in the tree."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from pw_core.actions import parse_action
from pw_core.calibrate.gauss_newton import Fit
from pw_core.config import RefineConfig
from pw_core.errors import PWError, RolloutError
from pw_core.gaussians import SH_C0
from pw_core.refine.measure import errors_of_entities
from pw_core.refine.model import Model
from pw_core.refine.motion import Motion, commanded
from pw_core.refine.photometric.color_correction import corrected_colors
from pw_core.refine.photometric.optimize import PhotometricOptimizer
from pw_core.refine.photometric.shadow_gain import ShadowGain
from pw_core.refine.targets.observed import CameraFilm, Observed
from pw_core.refine.tracking.film import Film
from pw_core.refine.tracking.track import track
from pw_core.refine.writeback import transfer_offsets, write_back, yielded
from pw_core.render.cameras import orbit
from pw_core.scene import Body, PhysicsState, State, Trajectory
from pw_core.store import Store
from pw_core.tree import ROOT
from pw_core.world import World
from support.ball_scene import ball_scene

FRAMES = 6
TIMES = np.arange(FRAMES) * 0.05
INSIDE = (np.array([-1.0, -1, -0.1]), np.array([2.0, 1, 1]))


@pytest.fixture(scope="module")
def spotted():
    """The ball in colours that tell places apart, and three cameras."""
    scene = ball_scene()
    x = (scene.foreground.means - scene.entities[0].origin) / 0.05
    colour = 0.5 + 0.4 * np.sin(4 * x + [0, 1, 2])
    sh = ((colour - 0.5) / SH_C0)[:, None].astype(np.float32)
    foreground = replace(scene.foreground, sh=sh, log_scales=np.full_like(scene.foreground.log_scales, np.log(0.006)))
    scene = replace(scene, foreground=foreground)
    first = scene.cameras[0].resized(192, 128)
    turned = orbit(first.viewmat, scene.entities[0].origin, [math.radians(a) for a in (-40, 40)])
    return scene, (first, *(first.moved(v, name=f"side{i}") for i, v in enumerate(turned)))


def truth(scene) -> np.ndarray:
    """Positions (T, J, 3): 4 cm to the left and flattened by a tenth, while the prediction stays."""
    rest = scene.rest
    out = []
    for t in range(FRAMES):
        s = t / (FRAMES - 1)
        p = rest * np.float32([1, 1, 1 - 0.1 * s]) + np.float32([0, 0.04 * s, 0])
        out.append(p)
    return np.stack(out).astype(np.float32)


def still(scene) -> Trajectory:
    positions = np.repeat(scene.rest[None], FRAMES, 0)
    return Trajectory("t-still", ROOT, "s-still", TIMES, positions, np.zeros_like(positions), {})


def filmed(scene, cameras, positions) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks (V, T, H, W) of the truth, with noise."""
    model = Model(scene, scene.initial_appearance())
    shadow_gain = ShadowGain(scene, model.appearance, cameras, positions, device="cpu")
    rng = np.random.default_rng(0)
    frames = np.zeros((len(cameras), FRAMES, cameras[0].height, cameras[0].width, 3), np.uint8)
    masks = np.zeros(frames.shape[:-1], np.int32)
    for t in range(FRAMES):
        drawn = model.draw(*model.gaussians_at(positions[t], {}), cameras)
        for v in range(len(cameras)):
            alpha = drawn.alpha[v][..., :1]
            picture = drawn.rgb[v] + (1 - alpha) * shadow_gain.plain(v)
            frames[v, t] = np.clip(picture * 255 + rng.normal(0, 3, picture.shape), 0, 255)
            masks[v, t] = np.where(alpha[..., 0] > 0.9, 1, np.where(alpha[..., 0] < 0.1, 0, -1))
    return frames, masks


def test_tracking_and_photometric_optimisation_find_what_is_far_off(spotted) -> None:
    scene, cameras = spotted
    real = truth(scene)
    frames, masks = filmed(scene, cameras, real)
    film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=192, weights=(1, 1, 1))
    model = Model(scene, scene.initial_appearance())
    motion = Motion.start(model, still(scene), nodes=16)

    def error(m: Motion) -> float:
        return float(np.linalg.norm(m.positions(model, FRAMES - 1) - real[-1], axis=1).mean())

    open_loop = error(motion)
    assert list(track(model, film, motion)) == list(range(FRAMES))
    tracked = error(motion)
    assert tracked < 0.15 * open_loop
    shadow_gain = ShadowGain(scene, model.appearance, film.cameras, real, device="cpu")
    optimizer = PhotometricOptimizer(model, film, motion, shadow_gain, iterations=30)
    losses = [step.loss for step in optimizer.run()]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])
    assert error(optimizer.motion_now()) < max(1.2 * tracked, 1e-3)


def test_silhouettes_that_are_too_wide_do_not_blow_a_body_up(spotted) -> None:
    scene, cameras = spotted
    frames, masks = filmed(scene, cameras, truth(scene))
    wide = ((ndimage.maximum_filter(masks, (0, 0, 3, 3)) > 0) & (masks >= 0)).astype(np.int32)
    model = Model(scene, scene.initial_appearance())
    off = []
    for each in (masks, wide):
        film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), each, width=192, weights=(1, 1, 1))
        motion = Motion.start(model, still(scene), nodes=8)
        list(track(model, film, motion))
        found = motion.positions(model, FRAMES - 1) - scene.entities[0].origin
        right = truth(scene)[-1] - scene.entities[0].origin
        off.append(found.std() / right.std() - 1)
    assert abs(off[1]) < 0.02 and abs(off[0]) < 0.02, off


def test_pictures_tell_a_right_correction_from_a_wrong_one(spotted) -> None:
    scene, cameras = spotted
    model = Model(scene, scene.initial_appearance())
    shadow_gain = ShadowGain(scene, model.appearance, cameras, still(scene).positions, device="cpu")
    moved = replace(still(scene), positions=truth(scene))
    for real, before, after in ((truth(scene), still(scene), moved), (still(scene).positions, moved, still(scene))):
        frames, masks = filmed(scene, cameras, real)
        film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=192, weights=(1, 1, 1))
        motions = (Motion.start(model, before, nodes=4), Motion.start(model, after, nodes=4))
        wrong, right = errors_of_entities(model, motions, shadow_gain, film)["ball"]
        assert right < 0.3 * wrong and right < 2e-3


def test_the_loss_has_the_gradient_that_finite_differences_see(spotted) -> None:
    """In double precision, over everything that is optimised: a random direction for each group.

    Steps of a nanometre: an opacity that crosses 1/255 is a jump that no gradient holds, and larger steps meet some.
    """
    import torch

    scene, cameras = spotted
    frames, masks = filmed(scene, cameras, truth(scene))
    film = Film.scaled(cameras, frames, np.ones(masks.shape, bool), masks, width=96, weights=(1, 0.5, 0.5))
    model = Model(scene, scene.initial_appearance())
    motion = Motion.start(model, still(scene), nodes=8)
    shadow_gain = ShadowGain(scene, model.appearance, film.cameras, motion.trajectory.positions, device="cpu")
    optimizer = PhotometricOptimizer(model, film, motion, shadow_gain, iterations=1, temporal_opacity=True, double=True)
    at = [2, 3]
    optimizer.loss(at)  # deformations are kept from here on
    # Where nothing is corrected yet, priors have no slope: begin a little beside it.
    rng = torch.Generator().manual_seed(0)
    groups = {
        "field": optimizer.c["ball"][2], "offsets": optimizer.raw, "opacity": optimizer.opacities,
        "colour": optimizer.sh, "shadow gain": optimizer.grid, "time": optimizer.mu, "duration": optimizer.log_s,
    }  # fmt: skip
    ways = {n: torch.randn(x.shape, generator=rng, dtype=x.dtype) for n, x in groups.items()}
    size = {"field": 1e-3, "time": 1e-2}
    with torch.no_grad():
        for n, x in groups.items():
            x += size.get(n, 3e-2) * ways[n]
    for n, x in groups.items():
        for y in groups.values():
            y.grad = None
        optimizer.loss(at)[0].backward()
        slope, step = float((x.grad * ways[n]).sum()), 1e-6 * size.get(n, 3e-2)
        with torch.no_grad():
            x += step * ways[n]
            up = float(optimizer.loss(at)[0])
            x -= 2 * step * ways[n]
            down = float(optimizer.loss(at)[0])
            x += step * ways[n]
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-8), n


def test_light_seen_on_one_side_holds_for_the_other(spotted) -> None:
    scene, cameras = spotted
    pale = np.float32([0.15, 0.1, 0.1])
    lit = replace(scene, foreground=replace(scene.foreground, sh=scene.foreground.sh + pale / SH_C0))
    real = still(scene).positions
    frames, masks = filmed(lit, cameras[:1], real)
    film = Film.scaled(cameras[:1], frames, np.ones(masks.shape, bool), masks, width=192, weights=(1,))
    model = Model(scene, scene.initial_appearance())
    shadow_gain = ShadowGain(scene, model.appearance, film.cameras, real, device="cpu")
    found = corrected_colors(model, film, Motion.start(model, still(scene), nodes=4), shadow_gain, frames=[0, 3])
    changed = (found - scene.foreground.sh)[:, 0] * SH_C0
    away = (scene.rest - cameras[0].centre)[model.own] @ (scene.entities[0].origin - cameras[0].centre)
    unseen = away > np.quantile(away, 0.7)
    assert changed[unseen].mean(0) == pytest.approx(pale, abs=0.04)


def test_no_correction_changes_nothing(spotted) -> None:
    scene, _ = spotted
    base = scene.initial_physics()
    zero = np.zeros((FRAMES, *scene.rest.shape), np.float32)
    appearance = scene.initial_appearance()
    A = np.tile(np.eye(3, dtype=np.float32), (len(scene.rest), 1, 1))
    shifts, same = transfer_offsets(scene, appearance, appearance, A)
    assert not shifts.any() and same is appearance
    for stress in ("by_material", "transport", "relax"):
        for velocity in ("inherit", "estimate"):
            out = write_back(
                scene, base, zero, TIMES, bodies={}, inside=INSIDE, velocity=velocity, stress=stress
            )  # fmt: skip
            for key, value in out.particles.arrays().items():
                assert np.array_equal(value, base.particles.arrays()[key]), (key, stress, velocity)


def test_written_back_matter_carries_its_strain_and_stays_on_the_table(spotted) -> None:
    scene, _ = spotted
    stretch = np.float32([1.2, 1, 1])
    middle = scene.rest.mean(0)
    u = (scene.rest - middle) * (stretch - 1)
    corrections = np.linspace(0, 1, FRAMES, dtype=np.float32)[:, None, None] * u
    base = scene.initial_physics()
    out = write_back(scene, base, corrections, TIMES, bodies={}, inside=INSIDE).particles
    assert np.allclose(out.positions, scene.rest + u, atol=1e-6)
    assert np.median(out.F[:, 0, 0]) == pytest.approx(1.2 ** (2 / 3), abs=0.01)
    assert np.allclose(np.linalg.det(out.F), 1, atol=1e-4)  # what a camera sees of volume makes no pressure
    whole = write_back(scene, base, corrections, TIMES, bodies={}, inside=INSIDE, stress="transport").particles
    assert np.median(whole.F[:, 0, 0]) == pytest.approx(1.2, abs=0.01)
    assert np.allclose(out.velocities, u / TIMES[-1], atol=1e-4)
    relaxed = write_back(scene, base, corrections, TIMES, bodies={}, inside=INSIDE, stress="relax").particles
    assert np.allclose(relaxed.F, np.eye(3), atol=1e-3)
    down = np.zeros_like(corrections)
    down[..., 2] = -0.5
    assert write_back(scene, base, down, TIMES, bodies={}, inside=INSIDE).particles.positions[:, 2].min() >= 0


def test_yield_bounds_the_shear_and_keeps_the_volume() -> None:
    entity = ball_scene("plastic").entities[0]
    F = np.diag([1.5, 1.0, 1 / 1.5]).astype(np.float32)[None]
    out = yielded(F, entity)[0]
    m = entity.material
    most = (2 / 3) ** 0.5 * m.yield_stress_pa / (m.youngs_modulus_pa / (1 + m.poisson_ratio))
    assert np.linalg.norm(np.log(np.diag(out))) == pytest.approx(most, rel=1e-3)
    assert np.linalg.det(out) == pytest.approx(1, rel=1e-4)
    tiny = np.eye(3, dtype=np.float32)[None] * 1.0001
    assert np.array_equal(yielded(tiny, entity), tiny)


class Still:
    """A simulator in which wind is all that moves things."""

    settings = SimpleNamespace(inside=INSIDE)

    def __init__(self) -> None:
        self.set_constants({})

    def set_constants(self, constants: dict[str, float]) -> None:
        self.constants = dict(constants)
        self.wind = np.array([constants.get(f"wind_{a}", 0.0) for a in "xyz"])

    def reset(self, physics: PhysicsState, *, time_s: float = 0.0) -> None:
        self.start, self.t = physics, 0.0

    def set_actions(self, actions) -> None:
        pass

    def advance_to(self, t: float) -> None:
        self.t = t

    def check(self) -> None:
        pass

    def read(self) -> PhysicsState:
        p = self.start.particles
        moved = replace(p, positions=(p.positions + 0.5 * self.wind * self.t**2).astype(np.float32))
        return PhysicsState(moved, {})


def fit_of(simulation, scene, names: list[str]) -> Fit:
    start = State(ROOT, "", 0.0, scene.initial_physics())
    return Fit(simulation, scene, start, still(scene), start.physics, names=names, parameters={})


def test_wind_that_nobody_told_of_is_found(spotted) -> None:
    scene, _ = spotted
    goal = np.stack([scene.rest + np.float32([0, 1.5 * t**2 / 2, 0]) for t in TIMES])
    fit = fit_of(Still(), scene, ["wind_x", "wind_y"])
    everywhere = np.arange(len(scene.rest))
    assert list(fit.improve(goal, everywhere)) == [1, 2, 3]
    assert fit.parameters["wind_y"] == pytest.approx(1.5, abs=0.1) and abs(fit.parameters["wind_x"]) < 0.1
    assert fit.estimates()[1].error > 0
    assert np.abs(fit.trajectory.positions - goal).max() < 0.01
    nearer = fit.parameters["wind_y"]
    list(fit.improve(goal, everywhere))
    assert fit.parameters["wind_y"] == pytest.approx(nearer, abs=0.05)


def test_constants_that_do_not_run_are_an_error_and_not_a_guess(spotted) -> None:
    class Broken(Still):
        def check(self) -> None:
            raise RolloutError("left the domain")

    scene, _ = spotted
    goal = np.repeat(scene.rest[None], FRAMES, 0)
    fit = fit_of(Broken(), scene, ["wind_x"])
    with pytest.raises(PWError, match="does not get through"):
        list(fit.improve(goal, np.arange(len(scene.rest))))


def test_what_hangs_on_chance_does_not_tell_constants(spotted) -> None:
    """From the middle on, the least that a body's start is off throws everything to the other side: the wind must come
    from what happened before."""

    class Chancy(Still):
        def read(self) -> PhysicsState:
            state = super().read()
            aside = 0.03 if self.t > TIMES[-1] / 2 else 0.0
            if not np.array_equal(self.start.bodies["die"].position, die.position):
                aside = -aside
            p = state.particles
            return PhysicsState(replace(p, positions=p.positions + np.float32([0, aside, 0])), self.start.bodies)

    scene, _ = spotted
    die = Body.at_rest(np.array([0.3, 0.3, 0.1]))
    physics = replace(scene.initial_physics(), bodies={"die": die})
    start = State(ROOT, "", 0.0, physics)
    late = TIMES[-1] / 2 < TIMES
    unmoved = replace(still(scene), positions=still(scene).positions + np.float32([0, 0.03, 0]) * late[:, None, None])
    rows = np.tile(np.concatenate([die.position, die.orientation, np.zeros(6)]), (FRAMES, 1))
    unmoved = replace(unmoved, bodies={"die": rows})
    goal = np.stack([scene.rest + np.float32([0, 3 * t**2 / 2, 0]) for t in TIMES])
    goal -= np.float32([0, 0.03, 0]) * late[:, None, None]
    fit = Fit(Chancy(), scene, start, unmoved, physics, names=["wind_y"], parameters={})
    list(fit.improve(goal, np.arange(len(scene.rest))))
    assert fit.parameters["wind_y"] > 1.5


def test_a_commanded_pose_is_known_without_looking(spotted) -> None:
    scene, _ = spotted
    here = {"position": [0.0, 0, 0.2], "orientation": [1, 0, 0, 0]}
    fields = {"type": "tool", "entity": "pin", "duration": 0.2, "times": [0.1, 0.2], "poses": [here, here]}
    for relative, known in ((False, [0, 0, 1, 1, 1, 0]), (True, [0] * 6)):
        action = parse_action({**fields, "relative": relative})
        rolled = replace(still(scene), actions=(action,))
        assert commanded(rolled, "pin").tolist() == [bool(k) for k in known]
        assert not commanded(rolled, "ball").any()


@pytest.fixture
def world(spotted, tmp_path: Path) -> World:
    scene, _ = spotted
    store = Store(tmp_path / "store")
    store.save_scene(scene)
    store.save_state(scene.id, State(ROOT, "", 0.0, scene.initial_physics()))
    world = World.open(store.root, scene=scene.id)
    world._simulation = Still()
    list(world.rollout([parse_action({"type": "wind", "duration": 1, "direction": [1, 0, 0], "magnitude": 1})],
                       float(TIMES[-1]), frame_interval=0.05, commit=True))  # fmt: skip
    return world


def observed(scene, cameras) -> Observed:
    frames, masks = filmed(scene, cameras, truth(scene))
    return Observed(films=[
        CameraFilm(camera=c, stamps=TIMES, frames=frames[v], masks=masks[v]) for v, c in enumerate(cameras)
    ])  # fmt: skip


SMALL = RefineConfig(iterations=10, nodes=16, width_px=192)


def test_a_refinement_is_a_new_state_that_the_next_rollout_starts_from(world, spotted) -> None:
    scene, cameras = spotted
    head = world.head
    running = world.refine(observed(scene, cameras), config=SMALL, commit=True)
    steps = list(running)
    assert steps[-1].fraction == 1 and [s.fraction for s in steps] == sorted(s.fraction for s in steps)
    state = running.state
    assert state.parent == head and world.head == state.id
    assert running.figures["psnr_after"] > running.figures["psnr_before"] + 5
    real = truth(scene)[-1]
    gap = np.linalg.norm(state.physics.particles.positions - real, axis=1).mean()
    assert gap < 0.2 * np.linalg.norm(scene.rest - real, axis=1).mean()
    again = World.open(world.store.root, scene=scene.id).state()
    assert again.id == state.id and again.figures == state.figures
    assert np.array_equal(again.appearance.sh, state.appearance.sh) and set(again.views) == {c.name for c in cameras}
    end = world.rollout([], 0.1, frame_interval=0.05)
    list(end)
    assert end.end.appearance is state.appearance
    assert not np.array_equal(world.render(state=state.id).rgb, world.render(state=ROOT).rgb)


def test_a_cancelled_refinement_leaves_nothing_or_the_best_so_far(world, spotted) -> None:
    scene, cameras = spotted
    before = {s.id for s in world.states()}
    running = world.refine(observed(scene, cameras), config=SMALL, commit=True)
    for _ in range(4):
        next(running)
    running.close()
    assert {s.id for s in world.states()} == before and world.head in before
    running = world.refine(observed(scene, cameras), config=SMALL, keep_best=True)
    for _ in range(6):
        next(running)
    running.close()
    assert running.state.id in {s.id for s in world.states()} and world.head in before


def test_bad_targets_change_nothing(world, spotted) -> None:
    scene, cameras = spotted
    before = ({s.id for s in world.states()}, world.head)
    many = SMALL.model_copy(update={"strengths": (0.5,) * 4})
    with pytest.raises(PWError, match="strengths: found 4, expected at most one for each of 3 views"):
        list(world.refine(observed(scene, cameras), config=many))
    with pytest.raises(PWError, match="trajectory"):
        world.refine(observed(scene, cameras), trajectory="t-none")
    films = observed(scene, cameras)
    with pytest.raises(PWError, match="camera"):
        list(world.refine(films, cameras=[replace(cameras[0], name="other")], config=SMALL))
    assert ({s.id for s in world.states()}, world.head) == before
