"""The panel of stages: how the scene came about, picture by picture, and once more."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pw_core.studio.room import Room


@dataclass(frozen=True, kw_only=True)
class StagesOptions:
    """How a stage's picture is shown."""

    width_px: int = 480
    """Of it, at most: the panel is narrower."""


class StagesPanel:
    """In a folder or tab that is open while it is made."""

    def __init__(self, room: Room, *, options: StagesOptions = StagesOptions()) -> None:
        self.room, self.options = room, options
        gui = room.server.gui
        self.stage: Any = gui.add_dropdown("stage", ["-"], initial_value="-")
        self.picture: Any = gui.add_image(np.zeros((9, 16, 3), np.uint8), format="jpeg", visible=False)
        self.told = gui.add_markdown("")
        again = gui.add_button("Reconstruct again", hint="The scene that is there is kept aside in the store.")
        self.stage.on_update(lambda _: room.guarded(self.show))
        again.on_click(lambda _: room.guarded(self.reconstruct))
        self.fill()

    def fill(self) -> None:
        """Tell which pictures the reconstruction has left."""
        names = [p.stem for p in self._pictures()]
        self.stage.options = names or ["-"]
        self.stage.value = names[0] if names else "-"
        page = self._folder() / "index.html"
        self.told.content = f"its whole report: `{page}`" if page.is_file() else "no report of the stages is kept"
        self.show()

    def show(self) -> None:
        """The chosen picture."""
        import cv2

        path = next((p for p in self._pictures() if p.stem == self.stage.value), None)
        found = None if path is None else cv2.imread(str(path))
        if found is not None:
            scale = min(1.0, self.options.width_px / found.shape[1])
            self.picture.image = cv2.resize(found, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]
        self.picture.visible = found is not None

    def reconstruct(self) -> None:
        """Make the scene anew from its configuration; what is shown stays until the studio is opened on it."""
        self.room.check()
        config = self.room.scene.config

        def work(_: threading.Event) -> None:
            self.room.world.reconstruct(config, replace=True, progress=self.room.jobs.progress)
            self.fill()

        self.room.jobs.start("reconstruct", work)

    def _folder(self) -> Path:
        return Path(self.room.world.store.folder(self.room.scene.id)) / "reconstruction"

    def _pictures(self) -> list[Path]:
        return sorted((self._folder() / "pictures").glob("*.png"))
