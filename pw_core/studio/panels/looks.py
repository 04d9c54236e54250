"""The panel of looks: who draws, colours or depth, particles, entities, cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.appearance import particle_colors
from pw_core.gaussians import Camera
from pw_core.studio.panels.fields import choice
from pw_core.studio.room import Room
from pw_core.studio.splats import Splats

if TYPE_CHECKING:
    import viser

HERE, THERE = "this machine", "the browser"


@dataclass(frozen=True, kw_only=True)
class LooksOptions:
    """What is drawn over the picture."""

    lens_scale: float = 0.08
    """Length of the cameras' frustums [m]."""
    point_m: float = 0.003
    """Size of a particle."""


class LooksPanel:
    """In a folder or tab that is open while it is made."""

    def __init__(self, room: Room, *, options: LooksOptions = LooksOptions()) -> None:
        self.room, self.options = room, options
        self.splats = Splats(room.server, room.scene)
        gui = room.server.gui
        names = [c.name for c in room.scene.cameras]
        look = gui.add_button("Look from the photo's camera")
        self.camera: Any = gui.add_dropdown("camera", names, initial_value=names[0])
        self.drawn: Any = gui.add_dropdown(
            "drawn by", [HERE, THERE], initial_value=HERE,
            hint="This machine's pictures need no GPU in the browser, and have shadows and all that depends on the "
            "view; smaller and coarser while the camera moves. The browser's own Gaussians turn without delay where it "
            "has a GPU.",
        )  # fmt: skip
        self.kind: Any = gui.add_dropdown("what", ["colours", "depth"], initial_value="colours")
        self.particles: Any = gui.add_checkbox("particles", False)
        self.entities: Any = gui.add_checkbox("entities", False)
        self.cameras: Any = gui.add_checkbox("cameras", False)
        self._nodes: dict[str, list[Any]] = {"particles": [], "entities": [], "cameras": []}
        look.on_click(lambda event: room.guarded(lambda: self.look(event.client)))
        self.drawn.on_update(lambda _: room.guarded(self._draw))
        self.kind.on_update(lambda _: room.shown.show(kind=self.kind.value))
        for name in self._nodes:
            getattr(self, name).on_update(lambda _: room.guarded(self.overlay))
        room.on_frame.append(self._moved)
        room.on_state.append(self.overlay)

    def look(self, client: viser.ClientHandle | None) -> None:
        """A browser looks from the chosen camera; None: all of them."""
        cameras = {c.name: c for c in self.room.scene.cameras}
        camera = cameras[choice(self.camera, "camera", cameras)]
        for each in [client] if client is not None else self.room.server.get_clients().values():
            put(each, camera, self.pivot(camera))

    def pivot(self, camera: Camera) -> Any:
        """Before the camera on its axis, as far as the things: what an orbit turns about."""
        far = float(np.linalg.norm(self.room.positions.mean(0) - camera.centre))
        return camera.centre + far * camera.viewmat[2, :3]

    def overlay(self) -> None:
        """Draw what is ticked, and no more."""
        for name in ("particles", "cameras"):
            if getattr(self, name).value and not self._nodes[name]:
                self._nodes[name] = self._points() if name == "particles" else self._lenses()
            for node in self._nodes[name]:
                node.visible = getattr(self, name).value
        for node in self._nodes["entities"]:
            node.remove()
        self._nodes["entities"] = self._boxes() if self.entities.value else []

    def _moved(self) -> None:
        if self.particles.value and self._nodes["particles"]:
            self._nodes["particles"][0].points = self.room.positions
        if not self.room.shown.sight.drawn_here:
            self.splats.show(self.room.shown.sight.moment)

    def _draw(self) -> None:
        here = self.drawn.value == HERE
        self.room.shown.show(drawn_here=here)
        if here:
            self.splats.hide()
        else:
            self.splats.show(self.room.shown.sight.moment)

    def _points(self) -> list[Any]:
        return [self.room.server.scene.add_point_cloud(
            "/particles", self.room.positions, particle_colors(self.room.scene), point_size=self.options.point_m,
            point_shape="circle",
        )]  # fmt: skip

    def _lenses(self) -> list[Any]:
        out = []
        for camera in self.room.scene.cameras:
            at = np.linalg.inv(camera.viewmat)
            out.append(self.room.server.scene.add_camera_frustum(
                f"/cameras/{camera.name}", field_of_view(camera), camera.width / camera.height,
                scale=self.options.lens_scale, wxyz=turn_of(camera), position=at[:3, 3],
            ))  # fmt: skip
        return out

    def _boxes(self) -> list[Any]:
        out: list[Any] = []
        for entity in self.room.scene.entities:
            mine = self.room.positions[entity.particles]
            low, high = mine.min(0), mine.max(0)
            out.append(self.room.server.scene.add_box(
                f"/entities/{entity.name}", color=(255, 160, 40), dimensions=tuple(high - low), wireframe=True,
                position=tuple((low + high) / 2),
            ))  # fmt: skip
            text = f"{entity.name}: {entity.kind}, {entity.mass_kg:.2f} kg"
            above = np.array([*((low + high) / 2)[:2], high[2] + 0.01])
            out.append(self.room.server.scene.add_label(f"/names/{entity.name}", text, position=above))
        return out


def put(client: viser.ClientHandle, camera: Camera, pivot: Any) -> None:
    """Let a browser look as a camera does."""
    with client.atomic():
        client.camera.fov = field_of_view(camera)
        client.camera.wxyz = turn_of(camera)
        client.camera.position = camera.centre
        client.camera.look_at = pivot


def field_of_view(camera: Camera) -> float:
    """Vertical [rad]."""
    return 2 * float(np.arctan(camera.height / 2 / camera.K[1, 1]))


def turn_of(camera: Camera) -> Any:
    """Camera to world, wxyz (4,)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(camera.viewmat[:3, :3].T).as_quat()[[3, 0, 1, 2]]
