"""Which function does which request, and how the World is opened. No ROS here."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pw_core.errors import ErrorCode, PWError
from pw_ros.worker import edits, looking, requests, scene_requests, states
from pw_ros.worker.context import Context
from pw_ros.worker.jobs import plan
from pw_ros.worker.jobs.export import export
from pw_ros.worker.jobs.reconstruct import reconstruct
from pw_ros.worker.jobs.refine import refine
from pw_ros.worker.jobs.rollout import rollout
from pw_ros.worker.protocol import Noted, WorkerOptions

if TYPE_CHECKING:
    from pw_core.world import World

HANDLERS: dict[type[requests.Request[Any]], Callable[[Context, Any], Any]] = {
    requests.ReconstructRequest: reconstruct,
    requests.RolloutRequest: rollout,
    requests.RefineRequest: refine,
    requests.EvaluateRequest: plan.evaluate,
    requests.PlanRequest: plan.plan,
    requests.RenderRequest: looking.render,
    requests.TrajectoryRequest: looking.trajectory,
    requests.ConfigRequest: looking.config,
    scene_requests.SplatsRequest: looking.splats,
    requests.CommitRequest: states.commit,
    requests.RestoreRequest: states.restore,
    requests.ResetRequest: states.reset,
    requests.DeleteRequest: states.delete,
    requests.SaveRequest: states.save,
    requests.LimitRequest: states.limit,
    requests.ScenesRequest: states.scenes,
    requests.SelectRequest: states.select,
    requests.ReplacedRequest: states.replaced,
    requests.RestoreReplacedRequest: states.restore_replaced,
    scene_requests.SetEntityRequest: edits.set_entity,
    scene_requests.RewindRequest: edits.rewind,
    scene_requests.UnselectRequest: edits.unselect,
    scene_requests.ExportRequest: export,
}


def make_world(options: WorkerOptions) -> World:
    """The World that the options name."""
    module, _, name = options.world_factory.partition(":")
    factory = getattr(importlib.import_module(module), name)
    return cast(
        "World",
        factory(
            Path(options.store),
            config_dirs=[Path(d) for d in options.config_dirs],
            device=options.device,
            max_uncommitted_states=options.max_uncommitted_states,
            keep_replaced=options.keep_replaced,
        ),
    )


def open_store(world: World, note: Callable[[Noted], None]) -> None:
    """Say at the start what the first write would: that the store is not there yet, or cannot be written to."""
    store = world.store
    if problem := store.problem():
        note(Noted(int(ErrorCode.STORE_FAILED), problem))
    elif not store.root.is_dir():
        note(Noted(0, f"the store {store.root} is not there yet: the first scene makes it"))
    try:
        store.tidy()
    except OSError as error:
        note(Noted(int(ErrorCode.STORE_FAILED), f"the store {store.root} cannot be tidied: {error}"))


def open_scene(world: World, name: str, note: Callable[[Noted], None]) -> None:
    """Select a scene of the store at the start, or make it from the configuration of that name. A world without a
    scene is better than none, so a failure is only noted."""
    try:
        made = {s.id for s in world.scenes() if s.reconstructed}
        if name in made:
            world.select(name)
            return
        config = world.config(name)
        if config.name in made:
            world.select(config.name)  # the file has another name than its scene
            return
        note(Noted(0, f"scene '{name}' is not in the store: making it from its configuration"))
        world.reconstruct(config)
    except PWError as error:
        note(Noted(int(error.code), f"scene '{name}' could not be opened: {error}"))
    except Exception as error:
        traceback.print_exc()
        text = f"scene '{name}' could not be opened: {type(error).__name__}: {error}"
        note(Noted(int(ErrorCode.SCENE_UNKNOWN), text))
