"""The panel of plans: pushes towards a place, tried and shown as ghosts with their costs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pw_core.appearance import placed_positions
from pw_core.scene import State
from pw_core.studio.jobs import CalledOff
from pw_core.studio.panels.fields import choice, number, numbers
from pw_core.studio.room import Room

if TYPE_CHECKING:
    import viser

    from pw_core.plan.candidates import Candidate
    from pw_core.plan.running import Kept


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is tried, at first."""

    candidates: int = 12
    """Pushes: some seconds on two cores."""
    counts: tuple[int, int] = (2, 500)
    """At least and at most: 500 are minutes."""
    most_m: float = 100.0
    """Of the target from the origin, along each axis."""
    ghosts: int = 6
    """Of the best that are kept and shown."""
    seconds: float = 0.35
    """Of each."""
    push_s: float = 0.15
    """In which the hand pushes."""
    weights: tuple[float, float] = (0.15, 1.5)
    """Of the thing [its weight]: the range of forces."""
    least_sizes: float = 4.5
    """See `ActingOptions`."""
    radius_share: float = 0.8
    """Of the thing's half extent."""
    away_m: float = 0.06
    """The target at first, beside the thing."""
    ghost_points: int = 1500
    """Of each ghost: points drawn."""
    point_m: float = 0.003
    """Their size."""


class PlansPanel:
    """In a folder or tab that is open while it is made."""

    def __init__(self, room: Room, *, options: PlanOptions = PlanOptions()) -> None:
        self.room, self.options = room, options
        gui = room.server.gui
        self.entity: Any = gui.add_dropdown("bring", [e.name for e in room.scene.entities])
        start = room.positions[room.scene.entities[0].particles].mean(0)
        self.target: Any = gui.add_vector2(
            "to x, y [m]", (round(float(start[0]), 3), round(float(start[1]) + options.away_m, 3)), step=0.01
        )
        pick = gui.add_button("Pick it on the table", hint="The next click in the picture is the target.")
        low, high = options.counts
        self.count: Any = gui.add_number("pushes tried", options.candidates, min=low, max=high, step=1)
        go = gui.add_button("Try")
        self.best: Any = gui.add_dropdown("show", ["-"], initial_value="-")
        hide = gui.add_button("Hide ghosts")
        self.kept: list[Kept] = []
        self._nodes: list[Any] = []
        self._target: Any = None
        self._picking: tuple[int | None, Any] | None = None  # the browser whose next click it is, and what waits for it
        pick.on_click(lambda event: room.guarded(lambda: self._pick(event.client_id)))
        room.server.on_client_disconnect(lambda client: self._picked(client.client_id))
        go.on_click(lambda _: room.guarded(self.try_them))
        hide.on_click(lambda _: room.guarded(self.clear))
        self.best.on_update(lambda _: self._chosen())
        self.target.on_update(lambda _: room.guarded(self._mark))

    def try_them(self) -> None:
        """Score pushes from all sides; the best become what-if states, and ghosts."""
        from pw_core.plan.objective import Objective

        o, names = self.options, [e.name for e in self.room.scene.entities]
        name, (x, y) = choice(self.entity, "bring", names), numbers(self.target, "to x, y [m]", 2, most=o.most_m)
        count, here = int(number(self.count, "pushes tried", *o.counts)), self.room.here
        term = {"type": "reach", "entity": name, "position": [x, y, 0.0], "axes": [True, True, False]}
        objective = Objective.parse({"terms": [term]})
        self._mark()

        def work(stop: threading.Event) -> None:
            def stopped() -> None:
                if stop.is_set():
                    raise CalledOff

            start = self.room.origins.of(here, progress=self.room.jobs.progress)
            running = self.room.world.evaluate(
                self._candidates(name, start, count), o.seconds, objective=objective, start=start.id, keep=o.ghosts,
                stopped=stopped,
            )  # fmt: skip
            try:
                for step in running:
                    self.room.jobs.progress(f"{step.evaluated} of {step.total}, best {step.best_cost * 1e3:.0f} mm",
                                            step.evaluated / step.total)  # fmt: skip
            except CalledOff:
                running.close()  # what was found by then is shown
            self.kept = running.kept
            self.room.changed()
            self.show(name)

        self.room.jobs.start("plan", work)

    def show(self, name: str) -> None:
        """The best as ghosts of that thing: green costs least, red most."""
        self.clear()
        scene = self.room.server.scene
        costs = [k.score.cost for k in self.kept]
        names = []
        for rank, kept in enumerate(self.kept):
            share = (kept.score.cost - costs[0]) / max(costs[-1] - costs[0], 1e-9)
            color = np.array([60 + 180 * share, 200 - 150 * share, 70], np.uint8)
            points = placed_positions(self.room.scene, kept.state.physics)
            points = points[self.room.scene.entity(name).particles]
            some = points[:: max(1, len(points) // self.options.ghost_points)]
            label = f"{rank + 1}: {kept.score.cost * 1e3:.0f} mm"
            names.append(label)
            self._nodes.append(scene.add_point_cloud(
                f"/ghosts/{rank}", some, np.tile(color, (len(some), 1)), point_size=self.options.point_m,
                point_shape="circle",
            ))  # fmt: skip
            top = points.mean(0)
            top[2] += np.ptp(points[:, 2]) * (0.6 + 0.15 * rank)
            self._nodes.append(scene.add_label(f"/costs/{rank}", label, position=top))
        self.best.options = ["-", *names]
        self.best.value = "-"

    def clear(self) -> None:
        """No ghosts."""
        for node in self._nodes:
            node.remove()
        self._nodes.clear()

    def _candidates(self, name: str, start: State, count: int) -> list[Candidate]:
        """Pushes spread evenly over all sides, directions and forces."""
        from scipy.stats import qmc

        from pw_core.plan.candidates import Candidate
        from pw_core.plan.moment import Moment, Setting
        from pw_core.plan.template import Template

        o, entity = self.options, self.room.scene.entity(name)
        mine = placed_positions(self.room.scene, start.physics)[entity.particles]
        radius = max(o.radius_share * float(np.ptp(mine, axis=0).max()) / 2, o.least_sizes * entity.particle_size_m)
        weight = entity.mass_kg * 9.81
        template = Template([{
            "type": "push", "entity": name, "duration": o.push_s, "radius": radius,
            "center": {"on": name, "azimuth_deg": {"free": [0, 360], "name": "side"}, "height": 0.5},
            "direction": {"azimuth_deg": {"free": [-180, 180], "name": "towards"}},
            "magnitude": {"free": [o.weights[0] * weight, o.weights[1] * weight], "log": True, "name": "force"},
        }])  # fmt: skip
        setting = Setting(self.room.scene, Moment.of(self.room.scene, start.physics))
        points = qmc.Halton(len(template.free), scramble=False).random(count + 1)[1:]
        return [Candidate(template.at(p, setting)) for p in points]

    def _chosen(self) -> None:
        rank = str(self.best.value).partition(":")[0]
        if rank.isdigit() and int(rank) <= len(self.kept):
            state_id = self.kept[int(rank) - 1].state.id
            if state_id != self.room.state.id:
                self.room.guarded(lambda: self.room.show_state(state_id))

    def _picked(self, client_id: int | None) -> None:
        """A browser no longer picks; others still may."""
        if self._picking is not None and self._picking[0] == client_id:
            self.room.server.scene.remove_click_callback(self._picking[1])
            self._picking = None

    def _pick(self, client_id: int | None) -> None:
        if self._picking is not None:
            self._picked(self._picking[0])

        def clicked(event: viser.SceneClickEvent) -> None:
            if event.client_id != client_id:
                return
            self._picked(client_id)
            origin, ray = np.asarray(event.ray_origin), np.asarray(event.ray_direction)
            if ray[2] >= -1e-6:
                self.room.tell("No place", "that is above the table: click on the table")
                return
            at = origin - ray * (origin[2] / ray[2])
            self.target.value = (round(float(at[0]), 3), round(float(at[1]), 3))
            self._mark()

        self._picking = (client_id, clicked)
        self.room.server.scene.on_click()(clicked)

    def _mark(self) -> None:
        x, y = numbers(self.target, "to x, y [m]", 2, most=self.options.most_m)
        self._target = self.room.server.scene.add_icosphere(
            "/target", radius=0.006, color=(40, 120, 255), position=(x, y, 0.006), cast_shadow=False,
        )  # fmt: skip
