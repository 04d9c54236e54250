"""Pictures to a scene: what was given decides the route, here and nowhere else."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.files import remove, written_aside
from pw_core.progress import Progress, no_progress, subrange
from pw_core.reconstruct.inputs import Inputs, check
from pw_core.reconstruct.interruptible import interruptible
from pw_core.scene import Scene

REPORT = "report.json"


def reconstruct(
    config: SceneConfig, inputs: Inputs | None = None, *, settings: ViewsSettings | None = None,
    folder: Path | str | None = None, progress: Progress = no_progress,
) -> Scene:  # fmt: skip
    """A metric scene from whatever pictures were given; `describe_route` says which way is chosen, and so does
    `scene.provenance`.

    Args:
        config: entities with prompts [px of the picture `settings.prompt_view` as given]; its camera and table count
            for a single photo alone, as do its providers: `reconstruct.more_views` makes many views of it.
        inputs: the pictures; None: the configuration's photo.
        settings: in place of `config.reconstruct.views`.
        folder: where poses, masks, splats and the report stay, and checkpoints of many views: a run of those that was
            cancelled goes on there. None: of a photo nothing is left, many views work in a temporary one.
        progress: called with stage and fraction, 20 times a second where nothing is told; what it raises ends the work
            at once, see `interruptible`.

    Raises:
        ReconstructError: INVALID_IMAGE, INVALID_CAMERA, INVALID_PROMPT, INVALID_CONFIG, MISSING_WEIGHTS,
            RECONSTRUCT_FAILED; the message says which picture and what would be right.
    """
    return interruptible(lambda told: _reconstruct(config, inputs, settings, folder, told), progress)


def _reconstruct(
    config: SceneConfig, inputs: Inputs | None, settings: ViewsSettings | None, folder: Path | str | None,
    progress: Progress,
) -> Scene:  # fmt: skip
    progress("reading", 0.0)
    if added := [e for e in config.entities if e.added_from]:
        raise ReconstructError(
            f"entity '{added[0].name}' was made of {added[0].added_from}, no picture shows it: take it out of "
            "`entities`, and add it again afterwards with `pw entity`", code=ErrorCode.INVALID_CONFIG,
        )  # fmt: skip
    inputs = Inputs.of_photo(config) if inputs is None else inputs
    settings = settings or config.reconstruct.views
    check(inputs, shared_camera=settings.shared_camera)
    if folder is not None:
        remove(Path(folder) / REPORT)  # of an earlier run
    more_views = _more_views(config, inputs)
    if inputs.route == "photo" and not more_views:
        from pw_core.reconstruct.routes.single_photo import lift_photo

        place = None if folder is None else Path(folder)
        return _accounted(lift_photo(config, inputs.views[0], folder=place, progress=progress), inputs)
    if inputs.route == "rgbd":
        from pw_core.reconstruct.routes.single_rgbd import lift_rgbd

        scene = lift_rgbd(config, inputs.views[0], settings=settings, up=inputs.up, progress=progress)
        return _accounted(_without_clutter(scene), inputs)
    from pw_core.reconstruct.routes.many_views import reconstruct_many

    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pw_views_", ignore_cleanup_errors=True))
                     if folder is None else folder)  # fmt: skip
        place.mkdir(parents=True, exist_ok=True)
        if not more_views:
            scene = reconstruct_many(config, inputs, settings=settings, folder=place, progress=progress)
            return _without_clutter(scene)
        from pw_core.reconstruct.providers.more_views import views_of_photo

        inputs, settings = views_of_photo(config, inputs, settings, place, subrange(progress, 0.0, 0.3))
        scene = reconstruct_many(config, inputs, settings=settings, folder=place, progress=subrange(progress, 0.3, 1.0))
    scene = _without_clutter(scene)
    return replace(scene, provenance=scene.provenance | {"method": f"many views: {more_views}, of a single photo"})


def _accounted(scene: Scene, inputs: Inputs) -> Scene:
    """With what became of the files that were given."""
    return replace(scene, provenance=scene.provenance | {"inputs": inputs.account}) if inputs.account else scene


def _without_clutter(scene: Scene) -> Scene:
    """Told, if the configuration names things beside the entities that its pictures show as they are."""
    if not scene.config.reconstruct.clutter:
        return scene
    text = "reconstruct.clutter counts for the lift of a single photo alone: these pictures tell depths, it is not used"
    return replace(scene, provenance=scene.provenance | {"doubts": [*scene.provenance.get("doubts", ()), text]})


def describe_route(config: SceneConfig, inputs: Inputs | None = None) -> str:
    """What is made of those inputs (None: the configuration's photo), in words: the route, and what a photo's providers
    add."""
    if inputs is not None and inputs.route != "photo":
        return inputs.route
    more_views, depth = _more_views(config, inputs), config.reconstruct.depth.provider
    if more_views:
        return f"photo, more views by {more_views}"
    return f"photo, depth by {depth}" if depth else "photo"


def keep_reports(folder: Path, to: Path) -> None:
    """A copy of what a finished reconstruction left in `folder`, without what only a next run could use; none where it
    left no report."""
    if not (folder / REPORT).is_file():
        return
    from pw_core.reconstruct.routes.job_folder import PASSING

    with written_aside(to) as part:
        shutil.copytree(folder, part, ignore=shutil.ignore_patterns(*PASSING))


def _more_views(config: SceneConfig, inputs: Inputs | None) -> str:
    """Name of the provider that makes many views of a single photo; empty: none is asked for, or it is no photo."""
    return config.reconstruct.more_views.provider if inputs is None or inputs.route == "photo" else ""
