"""A planner in ten lines: which push brings the lump of clay nearest to a place? The node searches (~/plan), round
after round, from where the last push left it. A robot would act out `plan.actions` where this commits the state.

    ros2 run pw_ros world_node          # or: python -m pw_ros.node
    python examples/planner.py --target 0.63 0.05
"""

from __future__ import annotations

import argparse
import sys

from pw_core.errors import PWError
from pw_ros.client import WorldClient

PUSH = """
- type: push
  duration: 0.15
  radius: 0.06
  center: {on: ENTITY, azimuth_deg: {free: [0, 360], name: side}, height: 0.5}
  direction: {azimuth_deg: {free: [-180, 180], name: towards}}
  magnitude: {free: [1, 10], log: true, name: force}
"""


def push_to(
    world: WorldClient, target: tuple[float, float], *, scene: str, entity: str, rounds: int, count: int
) -> list[float]:
    """The distance [m] to the target before the first and after each round; a scene that is there starts anew."""
    world.wait_until_ready(120)
    world.open_scene(scene)
    world.call("Reset")  # no state is lost
    aim = {"terms": [{"type": "reach", "entity": entity, "position": [*target, 0], "axes": [True, True, False]}]}
    world.evaluate([[]], duration=0.05, objective=aim)
    distances, values = [world.result().scores[0].cost], {}
    for number in range(1, rounds + 1):
        world.plan(PUSH.replace("ENTITY", entity), 0.35, objective=aim, max_candidates=count, warm=values)
        plan = world.result()
        world.commit(plan.best.state_id)
        values = dict(zip(plan.names, plan.values, strict=True))
        distances.append(plan.best.score.cost)
        print(f"round {number}: {distances[-1] * 1e3:.0f} mm from the target, by {values}")
    return distances


def main() -> int:
    """Command line; the status is 0 when the lump came nearer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=float, nargs=2, default=[0.64, 0.05], help="x y [m] on the table")
    parser.add_argument("--scene", default="play_doh", help="a scene config the node knows (default: play_doh)")
    parser.add_argument("--entity", default="play_doh", help="what is pushed (default: play_doh)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=20, help="pushes tried each round (default: 20)")
    args = parser.parse_args()
    try:
        with WorldClient() as world:
            distances = push_to(
                world, tuple(args.target), scene=args.scene, entity=args.entity, rounds=args.rounds,
                count=args.candidates,
            )  # fmt: skip
    except PWError as error:
        print(f"error {int(error.code)}: {error}", file=sys.stderr)
        return 1
    return 0 if distances[-1] < distances[0] else 2


if __name__ == "__main__":
    sys.exit(main())
