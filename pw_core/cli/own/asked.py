"""What a browser may ask for, checked before anything is done with it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pw_core.config import Name, Part, Text
from pw_core.limits import LIMITS

Pixel = Annotated[float, Field(ge=-1e5, le=1e5)]
Points = Annotated[tuple[tuple[Pixel, Pixel], ...], Field(max_length=LIMITS.prompt_points)]


class ThingAsked(Part):
    """A thing as it is drawn; pixels are the photo's."""

    name: Name
    material: Text = "clay"
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    points: Points = ()
    negative_points: Points = ()


class LookAsked(Part):
    """Masks, or an estimate of the camera."""

    photo: Text
    things: Annotated[tuple[ThingAsked, ...], Field(max_length=LIMITS.entities)] = ()
    hfov_deg: float = Field(default=0.0, ge=0, lt=150)


class MakeAsked(Part):
    """A scene. size_m (0: not known) counts before height_m; pitch_deg None: from the picture."""

    photo: Text
    name: Name
    things: Annotated[tuple[ThingAsked, ...], Field(min_length=1, max_length=LIMITS.entities)]
    hfov_deg: float = Field(default=0.0, ge=0, lt=150)
    pitch_deg: float | None = Field(default=None, ge=0, lt=90)
    pitch_told: Annotated[str, Field(max_length=200, pattern=r"^[^\r\n]*$")] = "as given"
    height_m: float = Field(default=0.0, ge=0, le=1000)
    size_m: float = Field(default=0.0, ge=0, le=1000)
    edge_row: float = Field(default=0.0, ge=0, le=1e5)
    particles: int = Field(default=0, ge=0, le=200_000)
    replace: bool = False
