"""Rounds of rollout, refine, commit on one scene, in steps that can be stopped anywhere and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pw_core.config import RefineConfig, Round
from pw_core.errors import ErrorCode, RefineError, RolloutError
from pw_core.loop.films import read_films
from pw_core.loop.ledger import Entry, Ledger, What
from pw_core.loop.providers import make_provider
from pw_core.refine.targets.observed import CameraFilm, Observed

if TYPE_CHECKING:
    from pw_core.gaussians import Camera
    from pw_core.world import World


@dataclass(frozen=True)
class RoundStep:
    """How far a run is: round, what it is doing, a stage of that, and the fraction of the round; loss, psnr [dB] and
    eta_s [s] of a refinement (NaN, NaN and -1 where there are none)."""

    round: int
    what: What
    stage: str
    fraction: float
    loss: float = np.nan
    psnr: float = np.nan
    eta_s: float = -1.0


class Rounds:
    """A run, new or gone on with.

    Args:
        world: with the scene selected.
        rounds: what happens in each.
        folder: of the run; its `run.json` holds what was done.
        targets: folder with `round-<k>/` of films (see `pw_core.loop.films`); a round without one is not refined. None:
            rounds are refined where the provider needs no films.
        refine: settings; whatever is changed between two goes counts from then on.
        cameras: names of the views; empty: those of the films, or the photo's.

    Raises:
        RefineError: films that cannot be read; SceneError: a ledger that cannot be.
    """

    def __init__(
        self, world: World, rounds: tuple[Round, ...], folder: Path, *, refine: RefineConfig,
        targets: Path | None = None, cameras: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        if not rounds:
            raise RolloutError("the scene has no rounds: give it some under `rounds:`", code=ErrorCode.INVALID_ACTION)
        assert world.scene is not None
        self.world, self.scene, self.rounds, self.folder = world, world.scene, rounds, folder
        self.refine, self.targets, self.cameras = refine, targets, cameras
        if targets is not None and not any(self._films_of(k).is_dir() for k in range(1, len(rounds) + 1)):
            raise RefineError(f"{targets}: no films; expected round-1, round-2 ...", code=ErrorCode.INVALID_TARGET)
        self.ledger = Ledger(folder / "run.json", scene=self.scene.id, base=world.head)
        self._forget(self.ledger.settle(world.committed))
        self._read: tuple[int, list[CameraFilm], float] | None = None

    def _forget(self, entries: list[Entry]) -> None:
        """A crash within a commit may have left files of a state that never counted."""
        known = {s.id for s in self.world.states()}
        for entry in entries:
            if entry.state in known and entry.state != self.world.head:
                self.world.delete(entry.state)

    def _films_of(self, number: int) -> Path:
        assert self.targets is not None
        return self.targets / f"round-{number}"

    def refines(self, number: int) -> bool:
        """Whether round `number` has targets to be refined by."""
        if self.targets is not None:
            return self._films_of(number).is_dir()
        return self.refine.provider != "observed"

    def films(self, number: int) -> tuple[list[CameraFilm], float]:
        """Those of round `number` and their time_origin [s]; none where the provider makes its own frames."""
        if self.targets is None or not self.refines(number):
            return [], 0.0
        if self._read is None or self._read[0] != number:
            self._read = (number, *read_films(self._films_of(number), cameras=self.cameras, known=self.scene.cameras))
        return self._read[1], self._read[2]

    def views(self, number: int) -> tuple[Camera, ...]:
        """The cameras that round `number` is looked at with."""
        films, origin = self.films(number)
        if films:
            return Observed(films=films, time_origin=origin).cameras(self.scene.cameras)
        known = {c.name: c for c in self.scene.cameras}
        unknown = [n for n in self.cameras if n not in known]
        if unknown:
            raise RefineError(
                f"camera '{unknown[0]}' is not in the scene; there are: {', '.join(known)}",
                code=ErrorCode.TARGET_CAMERA_UNKNOWN,
            )
        return tuple(known[n] for n in self.cameras) or self.scene.cameras[:1]

    def done(self, number: int) -> bool:
        """Whether nothing is left to do in round `number`."""
        last: What = "refine" if self.refines(number) else "rollout"
        return self.ledger.of(number, last) is not None

    def run(self, finished: Callable[[int], None] = lambda number: None) -> Iterator[RoundStep]:
        """Do what is left; `finished` is called after each round, also for those that were done before.

        Raises:
            PWError: as World's rollout, refine and commit. What was committed stays, and a next run goes on from there.
        """
        for number in range(1, len(self.rounds) + 1):
            if self.ledger.of(number, "rollout") is None:
                yield from self._rollout(number)
            if self.refines(number) and self.ledger.of(number, "refine") is None:
                yield from self._refine(number)
            finished(number)

    def _rollout(self, number: int) -> Iterator[RoundStep]:
        round_ = self.rounds[number - 1]
        running = self.world.rollout(round_.actions, round_.duration, start=self.ledger.last)
        yield RoundStep(number, "rollout", "compiling", 0.0)
        for frame in running:
            yield RoundStep(number, "rollout", "stepping", frame.fraction)
        self._keep(Entry(number, "rollout", running.end.id, running.trajectory.id))

    def _refine(self, number: int) -> Iterator[RoundStep]:
        films, origin = self.films(number)
        rollout = self.ledger.of(number, "rollout")
        assert rollout is not None
        provider = make_provider(self.refine, films=films, time_origin=origin)
        own = self.rounds[number - 1].strengths
        config = self.refine.model_copy(update={"strengths": own}) if own else self.refine
        running = self.world.refine(
            provider, trajectory=rollout.trajectory, cameras=() if films else self.views(number), config=config
        )
        losses: list[float] = []
        for step in running:
            if np.isfinite(step.loss):
                losses.append(round(step.loss, 6))
            yield RoundStep(number, "refine", step.stage, step.fraction, step.loss, step.psnr, step.eta_s)
        state = running.state
        more = {
            "losses": losses, "figures": {k: v if np.isfinite(v) else None for k, v in state.figures.items()},
            "estimates": [asdict(e) for e in running.estimates],
        }  # fmt: skip
        self._keep(Entry(number, "refine", state.id, state.trajectory_id, more))

    def _keep(self, entry: Entry) -> None:
        self.ledger.propose(entry)
        self.world.commit(entry.state)
