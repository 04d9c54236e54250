"""Scenes from many views: photos, film, posed images, RGB-D."""

from __future__ import annotations

from pw_core.reconstruct.views.inputs import Inputs, ViewInput
from pw_core.reconstruct.views.run import keep, reconstruct_views, way
from pw_core.reconstruct.views.settings import ViewsSettings

__all__ = ["Inputs", "ViewInput", "ViewsSettings", "keep", "reconstruct_views", "way"]
