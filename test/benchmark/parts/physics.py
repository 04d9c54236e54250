"""Pencil-and-paper physics on the example scenes' own simulations, as their YAML files set them up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from parts.records import record
from pw_core.actions import parse_action
from pw_core.appearance import placed_positions
from pw_core.gaussians import deformations, follow
from pw_core.scene import Body, Entity, PhysicsState, Scene
from pw_core.simulate import Simulation
from pw_core.simulate.rotations import rotation

GRAVITY = 9.81
TURN = rotation(np.array([0.8, 0.2, -0.4, 0.4]))
SHEAR = np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1.0]])
MAPS = {"turn": TURN, "stretch": np.diag([1.5, 0.8, 0.9]), "shear": SHEAR, "turned shear": TURN @ SHEAR}


class Lab:
    """A scene's simulation and short ways to use it; `soft` is its first deformable entity."""

    def __init__(self, name: str, scene: Scene) -> None:
        self.name, self.scene = name, scene
        self.simulation = Simulation.build(scene)
        self.soft = next(e for e in scene.entities if e.kind == "deformable")
        print(f"--- {name}\n{self.simulation.settings.report()}")

    def run(self, physics: PhysicsState, duration: float, *actions: dict[str, Any]) -> PhysicsState:
        """The state after `duration` [s] of these actions."""
        self.simulation.reset(physics)
        self.simulation.set_actions([parse_action(a) for a in actions])
        self.simulation.advance_to(duration)
        self.simulation.check()
        return self.simulation.read()

    def positions(self, physics: PhysicsState) -> np.ndarray:
        """Of the soft entity [m]."""
        return np.asarray(placed_positions(self.scene, physics)[self.soft.particles], np.float64)

    def centre(self, physics: PhysicsState) -> np.ndarray:
        """Of the soft entity [m], shape (3,)."""
        return self.positions(physics).mean(0)

    def start(self, *, lift: float = 0.0, velocity: tuple[float, float, float] = (0, 0, 0)) -> PhysicsState:
        """As reconstructed, all soft particles `lift` [m] higher and moving; rigid bodies stay out of the way."""
        first = self.scene.initial_physics()
        p, where = first.particles, self.soft.particles
        positions, velocities = p.positions.copy(), p.velocities.copy()
        positions[where] += np.float32([0, 0, lift])
        velocities[where] = velocity
        bodies = {n: replace(b, position=b.position + np.array([0, 0.24, 0])) for n, b in first.bodies.items()}
        return PhysicsState(replace(p, positions=positions, velocities=velocities), bodies)


def physics(scenes: dict[str, Scene]) -> None:
    """All of it; `scenes` are jam, dumpling and play_doh."""
    for name, scene in scenes.items():
        covariances(name, scene)
        lab = Lab(name, scene)
        flight(lab)
        if lab.soft.material.model != "liquid":
            rest = at_rest(lab)
            pushes(lab, rest)
            dent(lab, rest)
        else:
            winds(lab, lab.run(lab.start(), 0.5))
        for entity in scene.entities:
            if entity.kind == "rigid":
                pin_falls(lab, entity)
                pin_presses(lab, entity)


def covariances(name: str, scene: Scene) -> None:
    """Of the bound Gaussians against analytic maps of the whole scene."""
    near, rest = scene.neighbours(), scene.foreground.covariances()
    for label, map_ in MAPS.items():
        now = (scene.rest @ map_.T + [0.1, -0.2, 0.3]).astype(np.float32)
        _, moved = follow(scene.binding, scene.rest, now, deformations(scene.rest, now, near), rest)
        expected = map_ @ rest @ map_.T
        error = np.linalg.norm(moved - expected, axis=(1, 2)) / np.linalg.norm(expected, axis=(1, 2))
        value = float(np.median(error))
        record(f"{name}: covariance, {label}, median error", value, "", "<= 1e-3", value <= 1e-3)


def flight(lab: Lab) -> None:
    """Free fall, and horizontal momentum on the way."""
    high = lab.start(lift=0.08, velocity=(0.3, -0.2, 0))
    end = lab.run(high, 0.1)
    ratio = float((lab.centre(high) - lab.centre(end))[2] / (0.5 * GRAVITY * 0.1**2))
    record(f"{lab.name}: free fall over half g t squared", ratio, "", "1 +- 0.01", abs(ratio - 1) <= 0.01)
    velocity = end.particles.velocities[lab.soft.particles].astype(np.float64).mean(0)[:2]
    drift = float(np.abs(velocity / [0.3, -0.2] - 1).max())
    record(f"{lab.name}: horizontal momentum lost in flight", drift, "", "<= 1e-4", drift <= 1e-4)


def at_rest(lab: Lab) -> PhysicsState:
    """How far it sinks under its own weight, and whether it stops."""
    first = lab.start()
    end = lab.run(first, 1.0)
    sunk = float((lab.centre(first) - lab.centre(end))[2] / lab.soft.particle_size_m)
    record(f"{lab.name}: sinking at rest, in particle diameters", sunk, "", "< 1", 0 <= sunk < 1)
    speed = float(np.linalg.norm(end.particles.velocities[lab.soft.particles].mean(0)))
    record(f"{lab.name}: speed of the centre after 1 s", speed * 1e3, "mm/s", "<= 5", speed <= 5e-3)
    return end


def pushes(lab: Lab, rest: PhysicsState) -> None:
    """A push moves the centre along itself, twice the force about twice as far; winds likewise."""
    low, high = lab.positions(rest).min(0), lab.positions(rest).max(0)
    radius = float(np.linalg.norm(high - low) / 2 + lab.simulation.settings.smallest_radius_m)
    force = 3 * lab.soft.mass_kg * GRAVITY

    def push(k: float) -> dict[str, Any]:
        return {"type": "push", "duration": 0.05, "center": lab.centre(rest).tolist(), "direction": [0, 1, 0],
                "radius": radius, "magnitude": k * force, "entity": lab.soft.name}  # fmt: skip

    twice(lab, rest, "push", push)
    winds(lab, rest)


def winds(lab: Lab, rest: PhysicsState) -> None:
    """Wind moves the centre along itself, twice the wind about twice as far."""

    def wind(k: float) -> dict[str, Any]:
        return {"type": "wind", "duration": 0.05, "direction": [0, 1, 0], "magnitude": 30 * k}

    twice(lab, rest, "wind", wind)


def twice(lab: Lab, rest: PhysicsState, what: str, action: Callable[[float], dict[str, Any]]) -> None:
    """Records of an action once and twice as strong, less what happens without it."""
    still = lab.centre(lab.run(rest, 0.05))
    once, double = (lab.centre(lab.run(rest, 0.05, action(k))) - still for k in (1.0, 2.0))
    aside = float(np.hypot(once[0], once[2]) / once[1])
    record(f"{lab.name}: {what}, motion aside over along", aside, "", "<= 0.1", once[1] > 0 and aside <= 0.1,
           f"{once[1] * 1e3:.2f} mm along")  # fmt: skip
    ratio = float(double[1] / once[1])
    record(f"{lab.name}: {what} twice as strong over once", ratio, "", "2 +- 0.3", abs(ratio - 2) <= 0.3,
           "over 2 where friction takes its constant share")  # fmt: skip


def dent(lab: Lab, rest: PhysicsState) -> None:
    """Plastic: pressed by a push from above, it keeps the dent. Elastic is pressed by its pin."""
    if lab.soft.material.model != "plastic":
        return
    centre, top = lab.centre(rest), float(lab.positions(rest)[:, 2].max())
    push = {"type": "push", "duration": 0.3, "center": [centre[0], centre[1], top], "direction": [0, 0, -1],
            "radius": top, "magnitude": 2.5 * lab.soft.mass_kg * GRAVITY}  # fmt: skip
    pressed = lab.positions(lab.run(rest, 0.3, push))[:, 2].max()
    after = lab.positions(lab.run(rest, 0.7, push))[:, 2].max()
    kept = float((top - after) / (top - pressed))
    record(f"{lab.name}: share of a {1e3 * (top - pressed):.0f} mm dent that it keeps", kept, "", ">= 0.5", kept >= 0.5)


def pin_falls(lab: Lab, pin: Entity) -> None:
    """Let go beside the soft entity, it falls freely, and lies on the table after a while."""
    first = lab.start()
    body = first.bodies[pin.name]
    fall = float((body.position - lab.run(first, 0.1).bodies[pin.name].position)[2] / (0.5 * GRAVITY * 0.1**2))
    record(f"{lab.name}: {pin.name}'s free fall over half g t squared", fall, "", "1 +- 0.01", abs(fall - 1) <= 0.01)
    end = lab.run(first, 2.0).bodies[pin.name]
    axis = rotation(end.orientation) @ long_axis(pin)
    record(f"{lab.name}: {pin.name}'s axis off level, lying", float(abs(axis[2])), "", "<= 0.05", abs(axis[2]) <= 0.05)
    gap = float(lowest(pin, end) * 1e3)
    record(f"{lab.name}: {pin.name}'s lowest point over the table", gap, "mm", "+- 1", abs(gap) <= 1)
    speed = float(np.linalg.norm(end.linear))
    record(f"{lab.name}: {pin.name}'s speed, lying", speed * 1e3, "mm/s", "<= 20", speed <= 0.02)


def pin_presses(lab: Lab, pin: Entity, depth: float = 0.04) -> None:
    """Pressed level into the soft entity by `depth` [m], held, lifted: the surface follows and comes back."""
    rest = lab.run(lab.start(), 0.8)
    level = level_orientation(pin)
    middle, points = lab.centre(rest), lab.positions(rest)
    under = (np.abs(points[:, :2] - middle[:2]) < [0.5 * lab.soft.particle_size_m, 0.04]).all(1)
    top = float(points[under, 2].max())
    reach = -lowest(pin, Body(np.zeros(3), level, np.zeros(3), np.zeros(3)))  # from the axis down to the surface

    def pose(z: float) -> dict[str, Any]:
        return {"position": [middle[0], middle[1], top + reach + z], "orientation": level.tolist()}

    tool = {"type": "tool", "entity": pin.name, "duration": 1.0, "times": [0.0, 0.3, 0.5, 0.7],
            "poses": [pose(0.02), pose(-depth), pose(-depth), pose(0.08)]}  # fmt: skip
    above = Body(np.array(pose(0.02)["position"]), level, np.zeros(3), np.zeros(3))
    first = PhysicsState(rest.particles, {**rest.bodies, pin.name: above})
    held = lab.run(first, 0.5, tool)
    body, now = held.bodies[pin.name], lab.positions(held)
    arm = (now - body.position) @ rotation(body.orientation)
    along = arm @ long_axis(pin)
    radial = np.linalg.norm(now - body.position - np.outer(along, rotation(body.orientation) @ long_axis(pin)), axis=1)
    beneath = (np.abs(along) < 0.04) & (now[:, 2] < body.position[2])
    gap = float(radial[beneath].min() - reach)
    allowed = max(0.2 * depth, lab.simulation.settings.cell_m)
    sunk = float(top + reach - body.position[2])
    record(f"{lab.name}: {pin.name} pressed, depth over its path's", sunk / depth, "", "1 +- 0.02",
           abs(sunk / depth - 1) <= 0.02)  # fmt: skip
    record(f"{lab.name}: from the pressed {pin.name} to the surface", gap * 1e3, "mm", f"+- {allowed * 1e3:.1f}",
           abs(gap) <= allowed, f"{depth * 1e3:.0f} mm deep; below 0 the surface has crept in")  # fmt: skip
    # The same material points, followed: how much of their way down they have come back.
    after = lab.positions(lab.run(first, 1.0, tool))
    down, left = (float((points - x)[under, 2].max()) for x in (now, after))
    record(f"{lab.name}: recovered after the {pin.name} lifts", 1 - left / down, "", ">= 0.8", 1 - left / down >= 0.8,
           f"{down * 1e3:.1f} mm down, {left * 1e3:.1f} mm left")  # fmt: skip


def long_axis(entity: Entity) -> np.ndarray:
    """The direction a mesh is longest in, in its own frame, shape (3,)."""
    arms = entity.mesh.vertices - entity.origin
    return np.asarray(np.linalg.svd(arms - arms.mean(0), full_matrices=False)[2][0])


def level_orientation(entity: Entity) -> np.ndarray:
    """The quaternion wxyz that turns the long axis to lie along y."""
    from scipy.spatial.transform import Rotation

    axis = long_axis(entity)
    goal = np.array([0.0, np.sign(axis[1]) or 1.0, 0.0])
    cross = np.cross(axis, goal)
    angle = float(np.arctan2(np.linalg.norm(cross), axis @ goal))
    turn = Rotation.from_rotvec(angle * cross / max(float(np.linalg.norm(cross)), 1e-12))
    return np.asarray(turn.as_quat()[[3, 0, 1, 2]])


def lowest(entity: Entity, body: Body) -> float:
    """Height [m] of a body's lowest point."""
    return float(((entity.mesh.vertices - entity.origin) @ rotation(body.orientation)[2]).min() + body.position[2])
