"""Many views of a single photo, made by a provider, as inputs of the route for many photos."""

from __future__ import annotations

from pathlib import Path

from pw_core.config import SceneConfig, ViewsSettings
from pw_core.progress import Progress
from pw_core.reconstruct.inputs import Inputs, ViewInput
from pw_core.reconstruct.providers.types import VIEWS, load_provider

PHOTO = "photo.png"


def views_of_photo(
    config: SceneConfig, inputs: Inputs, settings: ViewsSettings, folder: Path, progress: Progress
) -> tuple[Inputs, ViewsSettings]:
    """The photo and what `config.reconstruct.more_views` makes of it, and settings that fit: prompts are the photo's,
    and so is the camera height of the configuration, which gives the metre (without a table: the first entity's
    diameter or distance).

    Raises:
        ReconstructError: INVALID_CONFIG, MISSING_WEIGHTS, RECONSTRUCT_FAILED, as the provider says.
    """
    photo = inputs.views[0]
    provider = load_provider(config.reconstruct.more_views, VIEWS)
    place = folder / provider.name
    place.mkdir(parents=True, exist_ok=True)
    made = provider.views(photo.image, folder=place, progress=progress)
    views = [ViewInput(PHOTO, photo.image, focal_px=photo.focal_px)]
    views += [ViewInput(name, image) for name, image in made.items()]
    changes: dict[str, object] = {"prompt_view": PHOTO}
    if config.has_table and settings.camera_height_m == 0 and settings.object_size_m == 0:
        changes["camera_height_m"] = config.camera.height_m
    masks = {e: {PHOTO: next(iter(m.values()))} for e, m in inputs.masks.items() if m}
    return Inputs(tuple(views), masks), settings.model_copy(update=changes)
