"""A planner that asks before it acts: several what-if pushes, the best one committed, for three rounds.

It wants the lump of clay at a target. Each round it asks the node what a push from each of several sides would do,
takes the one that brings the lump's centre nearest to the target, makes that the world's new state, and goes on from
there. A scene that the node has already is worked on again, from its reconstruction; its states stay.

    ros2 run pw_ros world_node          # or: python -m pw_ros.node
    python examples/planner.py --target 0.63 0.05
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np

from pw_core.actions import Action, parse_action
from pw_core.errors import PWError
from pw_ros.client import WorldClient


def candidates(centre: np.ndarray, *, count: int, force_n: float) -> list[Action | None]:
    """Horizontal pushes [N] on the lump's middle in `count` directions, and doing nothing (None)."""
    out: list[Action | None] = [None]
    for k in range(count):
        angle = 2 * math.pi * k / count
        out.append(parse_action({
            "type": "push", "name": f"push {math.degrees(angle):.0f} degrees", "duration": 0.15, "radius": 0.06,
            "center": centre.tolist(), "direction": [math.cos(angle), math.sin(angle), 0.0], "magnitude": force_n,
        }))  # fmt: skip
    return out


def plan(world: WorldClient, target: np.ndarray, *, scene: str, rounds: int, count: int, force_n: float) -> list[float]:
    """Do it; the distance [m] to the target before the first and after each round."""
    world.wait_until_ready(120)
    world.open_scene(scene)
    world.call("Reset")  # whatever an earlier run has left: from the reconstruction; no state is lost
    world.rollout([], duration=0.02)
    start = world.result().tracks[0].poses[0].position
    centre = np.array([start.x, start.y, start.z])
    distances = [float(np.linalg.norm(centre[:2] - target))]
    print(f"the lump is at ({centre[0]:.3f}, {centre[1]:.3f}) m, {distances[0] * 1e3:.0f} mm from the target")
    for number in range(1, rounds + 1):
        best: tuple[float, str, np.ndarray, str] | None = None
        for action in candidates(centre, count=count, force_n=force_n):
            world.rollout([] if action is None else [action], duration=0.35, frame_interval=0.05)
            result = world.result()
            end = result.tracks[0].poses[-1].position
            there = np.array([end.x, end.y, end.z])
            distance = float(np.linalg.norm(there[:2] - target))
            label = "waiting" if action is None else action.name
            print(f"  round {number}: {label:<18} would leave it {distance * 1e3:4.0f} mm away")
            if best is None or distance < best[0]:
                best = (distance, result.state_id, there, label)
        assert best is not None
        distance, state, centre, label = best
        world.commit(state)
        distances.append(distance)
        print(f"round {number}: {label}; {distance * 1e3:.0f} mm to go")
    return distances


def main() -> int:
    """Command line; the status is 0 when the lump came nearer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=float, nargs=2, default=[0.64, 0.05], help="x y [m] on the table")
    parser.add_argument("--scene", default="play_doh", help="a scene config the node knows (default: play_doh)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pushes", type=int, default=6, help="directions tried each round (default: 6)")
    parser.add_argument("--force", type=float, default=5.0, help="[N] of each push (default: 5)")
    args = parser.parse_args()
    try:
        with WorldClient() as world:
            distances = plan(
                world, np.array(args.target), scene=args.scene, rounds=args.rounds, count=args.pushes,
                force_n=args.force,
            )  # fmt: skip
    except PWError as error:
        print(f"error {int(error.code)}: {error}", file=sys.stderr)
        return 1
    return 0 if distances[-1] < distances[0] else 2


if __name__ == "__main__":
    sys.exit(main())
