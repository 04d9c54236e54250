"""A thousand candidates over a Ray cluster; without an address, over the cores of this machine as a cluster of one. The
best becomes the head of the scene in FOLDER/store.

    python examples/farm.py [--address HOST:PORT] [--candidates 1000] [--gpus] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import ray

from pw_core.config import SceneConfig
from pw_core.plan.executors.ray import Ray, RayOptions
from pw_core.plan.moment import Moment, Setting
from pw_core.plan.objective import Objective
from pw_core.plan.template import Template
from pw_core.world import World

PUSH = {
    "type": "push", "entity": "play_doh", "duration": 0.15, "radius": 0.06,
    "center": {"on": "play_doh", "azimuth_deg": {"free": [-180, 180], "name": "side"}, "height": 0.4},
    "direction": {"azimuth_deg": {"free": [-180, 180], "name": "towards"}},
    "magnitude": {"free": [4, 14], "name": "force", "log": True},
}  # fmt: skip


def main() -> None:
    """Evaluate random pushes, keep the best five."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="", help="of the cluster's head; empty: start one here")
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--particles", type=int, default=1500)
    parser.add_argument("--gpus", action="store_true", help="an actor a GPU, with the engine on CUDA")
    parser.add_argument("--out", type=Path, default=Path("out/farm"), help="for the scene's store")
    args = parser.parse_args()
    if args.address:
        ray.init(address=args.address, log_to_driver=False)
    else:
        ray.init(include_dashboard=False, log_to_driver=False)

    world = World(args.out / "store")
    config = SceneConfig.load(Path(__file__).resolve().parents[1] / "config" / "scenes" / "play_doh.yaml")
    fast = config.simulation.model_copy(update={"engine": "fast", "particles": args.particles})
    scene = world.reconstruct(config.model_copy(update={"simulation": fast}), replace=True)

    goal = (scene.entity("play_doh").origin + np.array([0.03, 0.05, 0.0])).tolist()
    objective = Objective.parse({"terms": [
        {"type": "reach", "entity": "play_doh", "position": goal, "axes": [True, True, False]}
    ]})  # fmt: skip
    template, setting = Template([PUSH]), Setting(scene, Moment.of(scene, world.state().physics))
    points = np.random.default_rng(0).uniform(size=(args.candidates, len(template.free)))

    farm = Ray(options=RayOptions(num_gpus=1) if args.gpus else RayOptions())
    began = time.perf_counter()
    try:
        running = world.evaluate(
            [template.at(p, setting) for p in points], 0.4, objective=objective, keep=5, executor=farm
        )  # fmt: skip
        for step in running:
            print(f"\r{step.evaluated} of {step.total}, best {step.best_cost * 1e3:.1f} mm, {step.eta_s:.0f} s left ",
                  end="", flush=True)  # fmt: skip
        seconds = time.perf_counter() - began
    finally:
        farm.close()
    print(f"\n{args.candidates} candidates in {seconds:.1f} s on {ray.cluster_resources().get('CPU', 0):g} cores")
    for kept in running.kept:
        values = ", ".join(f"{k} {v:.1f}" for k, v in template.values(points[kept.score.index]).items())
        print(f"  {kept.score.cost * 1e3:5.1f} mm: {values}")
    if running.kept:
        world.commit(running.kept[0].state.id)
        print(f"the best is committed: pw view {args.out / 'store' / scene.id}")


if __name__ == "__main__":
    main()
