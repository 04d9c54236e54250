"""Rounds of rollout, refine, commit through the node: predict, compare with what the cameras saw, go on from there.

    python examples/rounds.py --scene play_doh --actions config/scenes/play_doh.yaml --films /data/films

The films lie where the *node* can read them, in round-1/, round-2/ ... below its parameter `input_roots`, as for
`pw run`; a round without one is only rolled out. A robot records its own topics instead (`~/record`) and leaves the
films out. Killed at any moment, on either side, the same command goes on from the last committed state.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from pw_core.config import SceneConfig
from pw_core.errors import PWError
from pw_core.loop.ledger import Entry, Ledger
from pw_ros.client import WorldClient


def watched(world: WorldClient, what: str) -> Any:
    """Follow what was started to its end; its result."""
    while not world.is_done():
        feedback = world.feedback()
        if feedback is not None:
            loss = f", loss {feedback.loss:.4f}, {feedback.psnr:.1f} dB" if hasattr(feedback, "loss") else ""
            print(f"\r{what}: {feedback.fraction:4.0%}{loss}   ", end="", flush=True)
        time.sleep(0.2)
    print()
    return world.result()


def play(world: WorldClient, config: SceneConfig, ledger: Ledger, films: Path | None) -> None:
    """All rounds that are left."""
    for number, round_ in enumerate(config.rounds, start=1):
        if ledger.of(number, "rollout") is None:
            world.rollout(round_.actions, round_.duration, from_state=ledger.last)
            result = watched(world, f"round {number}, predicting")
            # Written down before it is committed: see pw_core.loop.ledger.
            ledger.propose(Entry(number, "rollout", result.state_id, result.trajectory_id))
            world.commit(result.state_id)
        target = films / f"round-{number}" if films is not None else None
        if target is not None and target.is_dir() and ledger.of(number, "refine") is None:
            rollout = ledger.of(number, "rollout")
            assert rollout is not None
            world.refine(trajectory_id=rollout.trajectory, frames_uri=f"file://{target.resolve()}")
            result = watched(world, f"round {number}, correcting")
            ledger.propose(Entry(number, "refine", result.state_id, ""))
            world.commit(result.state_id)
            print(
                f"  {result.before.psnr_masked:.1f} -> {result.after.psnr_masked:.1f} dB, silhouettes "
                f"{result.before.mask_iou:.3f} -> {result.after.mask_iou:.3f}, moved by "
                f"{result.after.mean_correction * 1e3:.1f} mm"
            )
        print(f"round {number} is done; the head is {ledger.last}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", default="play_doh", help="a scene config the node knows (default: play_doh)")
    parser.add_argument("--actions", type=Path, default=Path("config/scenes/play_doh.yaml"), help="file with rounds")
    parser.add_argument("--films", type=Path, help="folder of round-1/, round-2/ ...")
    parser.add_argument("--ledger", type=Path, default=Path("out/rounds.json"), help="what was done; remove: from anew")
    args = parser.parse_args()
    try:
        config = SceneConfig.load(args.actions)
        with WorldClient() as world:
            world.wait_until_ready(120)
            world.open_scene(args.scene)
            states = world.states()
            head = next(s.state_id for s in states if s.head)
            ledger = Ledger(args.ledger, scene=args.scene, base=head)
            ledger.settle({s.state_id for s in states if s.committed})
            play(world, config, ledger, args.films)
    except PWError as error:
        print(f"error {int(error.code)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
