"""The panel of what is done by hand: a drag on a thing pushes it, pokes it, blows at it, or moves a tool along."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.actions import Action, parse_action
from pw_core.errors import ErrorCode, RolloutError
from pw_core.gaussians import F32, F64
from pw_core.scene import Entity
from pw_core.studio.panels.fields import choice, number, numbers
from pw_core.studio.room import Room

if TYPE_CHECKING:
    import viser

TABLE, PICTURE = "over the table", "across the picture"
TOOL = "tool path"
KINDS = ("push", "poke", "wind", TOOL)


@dataclass(frozen=True, kw_only=True)
class ActingOptions:
    """What a drag means, at first."""

    seconds: float = 0.4
    """Of a what-if."""
    spans_s: tuple[float, float] = (0.02, 5.0)
    """Of a what-if, at least and at most [s]."""
    acting_share: float = 0.5
    """Of it, in which the hand acts."""
    weights: float = 1.0
    """Of the thing [its weight], with which a drag of a tenth of the picture's width pushes."""
    wind_mps2: float = 5.0
    """Of a wind, for the same."""
    drag_share: float = 0.1
    """Of the picture's width: the drag that those are for."""
    radius_share: float = 0.6
    """Of a thing's half extent: where a hand takes hold."""
    most_radius_m: float = 1.0
    """Where a hand takes hold, at most."""
    most_strength: float = 1e4
    """Of a push [N] or a wind [m/s²] by numbers: a thousand times what moves things on a table."""
    most_m: float = 100.0
    """Of a direction or a tool's way by numbers, along each axis."""
    least_sizes: float = 4.5
    """Particle sizes in the least radius: engines refuse one below two of their cells, which are two sizes."""
    longest_m: float = 0.5
    """Of the way of a drag over the table: towards the horizon a pixel is metres."""
    hull_share: float = 0.8
    """Of a thing, that can be dragged: viser lets even an unseen mesh hide what lies behind its surface, so it has to
    lie inside the Gaussians that the browser draws."""
    path_points: int = 8
    """Of a tool's path, at most."""


class ActingPanel:
    """In a folder or tab that is open while it is made. Each thing has a hull, seen by nobody, that can be dragged."""

    def __init__(self, room: Room, *, options: ActingOptions = ActingOptions()) -> None:
        self.room, self.options = room, options
        gui, (low, high) = room.server.gui, options.spans_s
        gui.add_markdown("Drag a thing in the picture, or give numbers and ask.")
        self.kind: Any = gui.add_dropdown("a drag is a", KINDS)
        self.plane: Any = gui.add_dropdown("it goes", [TABLE, PICTURE])
        self.seconds: Any = gui.add_number("seconds", options.seconds, min=low, max=high, step=0.02)
        self.radius: Any = gui.add_number("radius [m]", 0.0, min=0.0, max=options.most_radius_m, step=0.005,
                                          hint="Where a push takes hold; 0: by the thing's size.")  # fmt: skip
        with gui.add_folder("By numbers", expand_by_default=False):
            self.entity: Any = gui.add_dropdown("on", [e.name for e in room.scene.entities])
            self.direction: Any = gui.add_vector3("direction", (1.0, 0.0, 0.0), step=0.1)
            self.magnitude: Any = gui.add_number("N, or m/s²", 5.0, min=0.0, max=options.most_strength)
            ask = gui.add_button("Ask")
        self.first_frame_s = math.nan
        """From the end of the last drag, or the last question, to the first frame that it moved [s]."""
        self._paths: dict[int, list[F64]] = {}  # of the hand of each browser
        self._hulls: dict[str, Any] = {}
        self._arrow: Any = None
        for entity in room.scene.entities:
            self._add_hull(entity)
        ask.on_click(lambda _: room.guarded(self.ask))
        room.on_state.append(self.place)
        room.on_still.append(self.place)

    # --- by numbers ---------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Roll out what the numbers say, on the thing as a whole."""
        names = [e.name for e in self.room.scene.entities]
        entity = self.room.scene.entity(choice(self.entity, "on", names))
        mine = self.room.positions[entity.particles]
        reach = float(np.linalg.norm(mine - mine.mean(0), axis=1).max())
        way = np.array(numbers(self.direction, "direction", 3, most=self.options.most_m))
        if choice(self.kind, "a drag is a", KINDS) == TOOL:
            self.act(self._tool(entity, [way * 0, way]))
            return
        strength = number(self.magnitude, "N, or m/s²", 0.0, self.options.most_strength)
        self.act(self._action(entity, mine.mean(0), way, strength, reach))

    def act(self, action: Action) -> None:
        """Roll it out from the instant that is shown."""
        asked, here, seconds = time.perf_counter(), self.room.here, self._seconds()
        self.first_frame_s = math.nan

        def work(stop: threading.Event) -> None:
            frames = 0

            def first() -> None:
                nonlocal frames
                frames += 1
                if frames == 2:  # the first is the start itself
                    self.first_frame_s = time.perf_counter() - asked

            self.room.on_frame.append(first)
            try:
                self.room.roll([action], seconds, here=here, stop=stop, what=f"what if: {action.type}")
            finally:
                self.room.on_frame.remove(first)

        self.room.jobs.start(f"what if: {action.type}", work)

    # --- by hand ------------------------------------------------------------------------------------------------------

    def place(self) -> None:
        """The hulls follow what is shown."""
        for entity in self.room.scene.entities:
            vertices, faces = _hull(self.room.positions[entity.particles], self.options.hull_share)
            node = self._hulls[entity.name]
            node.vertices, node.faces = vertices, faces

    def _add_hull(self, entity: Entity) -> None:
        vertices, faces = _hull(self.room.positions[entity.particles], self.options.hull_share)
        node = self.room.server.scene.add_mesh_simple(
            f"/hulls/{entity.name}", vertices, faces, opacity=0.0, cast_shadow=False, receive_shadow=False
        )
        self._hulls[entity.name] = node

        async def dragged(event: viser.SceneNodeDragEvent[Any]) -> None:  # async: viser keeps these in order
            self._dragged(entity, event)

        node.on_drag("left")(dragged)

    def _dragged(self, entity: Entity, event: Any) -> None:
        hand = event.client_id
        if hand not in self.room.server.get_clients():  # viser ends the drag of a browser that was closed: no push
            self._paths.pop(hand, None)
            return
        if event.phase == "start":
            self._paths[hand] = [np.asarray(event.start_position, np.float64)]
            return
        path = self._paths.get(hand)
        if path is None:
            return
        path.append(self._hand(event, path[0]))
        if event.phase != "end":
            return
        del self._paths[hand]
        share = math.dist(event.start_screen_pos, event.end_screen_pos)

        def released() -> None:
            self.room.guarded(lambda: self._released(entity, path, share))

        threading.Thread(target=released, daemon=True).start()  # off the event loop: it may wait for locks

    def _hand(self, event: Any, grip: F64) -> F64:
        """Where the pointer is [m] (3,): on the plane through the grip that the panel names."""
        end = np.asarray(event.end_position, np.float64)
        if self.plane.value == PICTURE:
            return end
        eye = np.asarray(event.client.camera.position, np.float64)
        ray, fall = end - eye, grip[2] - eye[2]
        if abs(ray[2]) < 1e-9 or fall / ray[2] <= 0:  # at the horizon or above: as far as it may go
            flat = np.array([ray[0], ray[1], 0.0])
            return np.asarray(grip + self.options.longest_m * flat / max(float(np.linalg.norm(flat)), 1e-9))
        hand = eye + ray * (fall / ray[2])
        way = hand - grip
        far = float(np.linalg.norm(way))
        return np.asarray(grip + way * min(1.0, self.options.longest_m / max(far, 1e-9)))

    def _released(self, entity: Entity, path: list[F64], share: float) -> None:
        """A drag along `path` [m], over this share of the picture, has ended."""
        o, grip, way = self.options, path[0], path[-1] - path[0]
        if np.linalg.norm(way) < 1e-6:
            return
        if choice(self.kind, "a drag is a", KINDS) == TOOL:
            self.act(self._tool(entity, [p - grip for p in path]))
            return
        full = o.wind_mps2 if self.kind.value == "wind" else o.weights * entity.mass_kg * 9.81
        self.act(self._action(entity, grip, way, full * share / o.drag_share, self._reach(entity)))
        self._draw_arrow(grip, path[-1])

    def _seconds(self) -> float:
        return number(self.seconds, "seconds", *self.options.spans_s)

    def _reach(self, entity: Entity) -> float:
        if (radius := number(self.radius, "radius [m]", 0.0, self.options.most_radius_m)) > 0:
            return radius
        mine = self.room.positions[entity.particles]
        half = float((mine.max(0) - mine.min(0)).max()) / 2
        return max(self.options.radius_share * half, self.options.least_sizes * entity.particle_size_m)

    def _action(self, entity: Entity, center: Any, way: F64, magnitude: float, radius: float) -> Action:
        seconds = self._seconds()
        fields: dict[str, object] = {
            "type": self.kind.value, "duration": self.options.acting_share * seconds, "magnitude": magnitude,
            "direction": [float(v) for v in way],
        }  # fmt: skip
        if self.kind.value != "wind":
            fields |= {"entity": entity.name, "center": [float(v) for v in center], "radius": radius}
        return parse_action(fields)

    def _tool(self, entity: Entity, way: list[F64]) -> Action:
        """The entity along displacements [m]."""
        if entity.kind == "deformable":
            raise RolloutError(
                f"'{entity.name}' is soft: a tool path moves a rigid entity, such as a rolling pin; push it instead",
                code=ErrorCode.INVALID_ACTION,
            )
        seconds = self.options.acting_share * self._seconds()
        picked = np.linspace(0, len(way) - 1, min(len(way), self.options.path_points)).round().astype(int)
        times = np.linspace(0, seconds, len(picked))
        poses = [{"position": [float(v) for v in way[k]], "orientation": [1.0, 0.0, 0.0, 0.0]} for k in picked]
        return parse_action({
            "type": "tool", "entity": entity.name, "duration": seconds, "poses": poses,
            "times": [float(t) for t in times], "relative": True,
        })  # fmt: skip

    def _draw_arrow(self, start: F64, end: F64) -> None:
        """What the hand did, until the next."""
        self._arrow = self.room.server.scene.add_arrows(
            "/hand", np.array([[start, end]], np.float32), colors=(255, 50, 0), shaft_radius=0.002,
            head_radius=0.006, head_length=0.012,
        )  # fmt: skip


def _hull(points: F32, share: float) -> tuple[F32, Any]:
    """The convex hull of particles [m] (J, 3), shrunk to a share of its size: vertices and outward faces; their box
    where they are flat."""
    import trimesh

    try:
        made = trimesh.PointCloud(points).convex_hull
    except Exception:  # qhull refuses what is flat
        made = trimesh.creation.box(bounds=np.stack([points.min(0) - 1e-3, points.max(0) + 1e-3]))
    middle = made.vertices.mean(0)
    vertices = middle + share * (made.vertices - middle)
    return np.asarray(vertices, np.float32), np.asarray(made.faces, np.uint32)
