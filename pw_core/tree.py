"""The tree of a scene's states: immutable snapshots, the head among them, and the trajectories that led there."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from pw_core.errors import ErrorCode, PWError, SceneError
from pw_core.scene import State, Trajectory
from pw_core.store import Store

ROOT = "root"
"""The id of the state that the reconstruction made."""
REMEMBERED = 1000
"""Ids of dropped what-ifs that are told apart from ones that never were."""
AT_HAND = 4
"""Committed trajectories that stay in memory, those used last; one of 5 000 particles and 50 frames is 6 MB."""
WHOLE = 16
"""States on disk that stay in memory with all their arrays, those used last; one of 5 000 particles is 0.6 MB. Of the
others an outline stays, so that a world that commits for a week does not grow by its history."""


class StateTree:
    """States of one scene of a store. What is committed or labelled lies on disk, and is read again when it is asked
    for; what-ifs are in memory, and the oldest leave when there are more than `max_uncommitted`.

    Raises:
        SceneError: a file that cannot be read.
    """

    def __init__(self, store: Store, scene_id: str, root: State, *, max_uncommitted: int) -> None:
        self.store = store
        self.scene_id = scene_id
        self.max_uncommitted = max_uncommitted
        tree = store.load_tree(scene_id)
        self._states: dict[str, State] = {}
        self._used: dict[str, None] = {}  # on disk and whole, the one used last at the end
        self._on_disk: set[str] = set()
        self._trajectories: dict[str, Trajectory] = {}  # of what-ifs
        self._at_hand: dict[str, Trajectory] = {}  # of those on disk, the one used last at the end
        self._held: set[str] = set()
        self._dropped: deque[str] = deque(maxlen=REMEMBERED)
        known = store.state_ids(scene_id)
        self.head = tree.get("head", ROOT) if tree.get("head", ROOT) in known else ROOT
        self.committed = {ROOT, *(i for i in tree.get("committed", []) if i in known)}
        for each in known:  # all of them, so that a broken one is told of now
            self._keep(store.load_state(scene_id, each))
        self._states.setdefault(ROOT, root)
        self._last_committed_trajectory = tree.get("last_trajectory", "")

    def states(self) -> list[State]:
        """All states, in the order they were made; those that lie on disk may be outlines (`State.outline`)."""
        return sorted(self._states.values(), key=lambda s: s.created)

    def state(self, state_id: str = "") -> State:
        """That state, whole; empty: the head.

        Raises:
            SceneError: UNKNOWN_STATE; STORE_FAILED: it lies on disk and cannot be read.
        """
        wanted = self._find(state_id)
        if self._states[wanted].is_outline:
            return self._keep(self.store.load_state(self.scene_id, wanted))
        return self._keep(self._states[wanted]) if wanted in self._on_disk else self._states[wanted]

    def _keep(self, state: State) -> State:
        """It is on disk and was used last: of the one that was used longest ago, only the outline stays. The head and
        the root stay whole: with them the world goes on while the disk is away."""
        self._states[state.id] = state
        self._on_disk.add(state.id)
        self._used.pop(state.id, None)
        self._used[state.id] = None
        for each in [i for i in self._used if i not in (self.head, ROOT)][:-WHOLE]:
            del self._used[each]
            self._states[each] = self._states[each].outline()
        return state

    def _find(self, state_id: str) -> str:
        wanted = state_id or self.head
        if wanted not in self._states:
            why = (
                f"was a what-if and has left: the oldest go when there are more than {self.max_uncommitted}. Set "
                "max_uncommitted_states higher, or save or commit what is to stay; what a plan or evaluation named "
                "stays until the next one ends" if wanted in self._dropped else "is not known"
            )  # fmt: skip
            raise SceneError(
                f"state '{wanted}' {why}; there are: {', '.join(self._states)}", code=ErrorCode.UNKNOWN_STATE
            )
        return wanted

    def add(self, state: State, trajectory: Trajectory | None = None) -> None:
        """A new what-if and how it came to be; no trajectory where it was edited, such as by other constants."""
        self._states[state.id] = state
        if trajectory is not None:
            self._trajectories[trajectory.id] = trajectory
        self._drop_old()

    def commit(self, state_id: str) -> State:
        """Make it the head. It, what led to it and its trajectory go to disk."""
        state = self.state(state_id)
        chain, at = [], state
        while at.id not in self.committed:
            chain.append(at)
            if at.parent not in self._states:
                break
            at = self.state(at.parent)
        try:
            self._move_head(
                state.id, self.committed | {s.id for s in chain},
                state.trajectory_id or self._last_committed_trajectory, new=chain[::-1],
            )  # fmt: skip
        except PWError as error:
            raise SceneError(f"state '{state.id}' was not committed: {error}", code=error.code) from None
        return state

    def _move_head(self, head: str, committed: set[str], last_trajectory: str, *, new: Sequence[State] = ()) -> None:
        # The files first: when they cannot be written, the world in memory is as it was too.
        tree = {"head": head, "committed": sorted(committed), "last_trajectory": last_trajectory}
        ways = [self._trajectories[s.trajectory_id] for s in new if s.trajectory_id in self._trajectories]
        self.store.commit(self.scene_id, tree, states=new, trajectories=ways)
        self.head, self.committed, self._last_committed_trajectory = head, committed, last_trajectory
        for state in new:
            self._keep(state)
        for way in ways:
            self._trajectories.pop(way.id, None)
            self._use(way)

    def reset(self) -> State:
        """The head goes back to the reconstruction; no state is lost."""
        self._move_head(ROOT, self.committed, "")
        return self.state()

    def delete(self, state_id: str) -> None:
        """Forget a state, in memory and on disk.

        Raises:
            SceneError: UNKNOWN_STATE; STATE_IN_USE for the head, the root, and states that others come from.
        """
        state = self._states[self._find(state_id)]
        children = [s.id for s in self._states.values() if s.parent == state.id]
        if state.id in (self.head, ROOT) or children:
            why = f"{', '.join(children)} come from it" if children else "it is the head or the reconstruction"
            raise SceneError(f"state '{state.id}' cannot be deleted: {why}", code=ErrorCode.STATE_IN_USE)
        self._move_head(self.head, self.committed - {state.id}, self._last_committed_trajectory)
        self.store.delete_state(self.scene_id, state.id)
        del self._states[state.id]
        self._used.pop(state.id, None)
        self._on_disk.discard(state.id)
        self._trajectories.pop(state.trajectory_id, None)

    def save(self, state_id: str = "", label: str = "") -> State:
        """Keep a state on disk under a label; it is then no longer dropped as an old what-if."""
        state = replace(self.state(state_id), label=label)
        self.store.save_state(self.scene_id, state)
        return self._keep(state)

    def restore(self, state_id: str) -> State:
        """Make a state, looked for on disk too, the head."""
        if state_id not in self._states:
            self._keep(self.store.load_state(self.scene_id, state_id))
        return self.commit(state_id)

    def trajectory(self, trajectory_id: str = "") -> Trajectory:
        """That trajectory; empty: the last committed. SceneError (UNKNOWN_TRAJECTORY) if there is none."""
        wanted = trajectory_id or self._last_committed_trajectory
        if not wanted:
            raise SceneError("no rollout has been committed yet", code=ErrorCode.UNKNOWN_TRAJECTORY)
        if wanted in self._trajectories:
            return self._trajectories[wanted]
        known = self._at_hand.get(wanted)
        return self._use(self.store.load_trajectory(self.scene_id, wanted) if known is None else known)

    def _use(self, trajectory: Trajectory) -> Trajectory:
        """Keep one that is on disk at hand."""
        self._at_hand.pop(trajectory.id, None)
        self._at_hand[trajectory.id] = trajectory
        while len(self._at_hand) > AT_HAND:
            del self._at_hand[next(iter(self._at_hand))]
        return trajectory

    def hold(self, results: Sequence[tuple[State, Trajectory]]) -> None:
        """Add what-ifs that a result names, in place of those of the result before. They are not dropped as old ones
        until a newer result comes; one that names none leaves those of the result before."""
        if not results:
            return
        for state, trajectory in results:
            self._states[state.id] = state
            self._trajectories[trajectory.id] = trajectory
        self._held = {state.id for state, _ in results}
        self._drop_old()

    def _drop_old(self) -> None:
        kept = {s.parent for s in self._states.values()} | self.committed | self._held
        loose = [s for s in self.states() if s.id not in kept and not s.label]
        for state in loose[: max(len(loose) - self.max_uncommitted, 0)]:
            del self._states[state.id]
            self._dropped.append(state.id)
            self._trajectories.pop(state.trajectory_id, None)
