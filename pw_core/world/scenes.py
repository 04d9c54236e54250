"""The scenes of a store: made, selected, replaced and put back; and the tree of the selected one's states."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pw_core.config import Material, SceneConfig
from pw_core.errors import ErrorCode, SceneError
from pw_core.gaussians import Gaussians
from pw_core.progress import Progress, no_progress
from pw_core.scene import Scene, State, Trajectory
from pw_core.store import ReplacedScene, Store
from pw_core.tree import ROOT, StateTree

if TYPE_CHECKING:
    from typing_extensions import Self

    from pw_core.appearance import Appearance
    from pw_core.plan.executors.types import Executor
    from pw_core.reconstruct import Inputs
    from pw_core.simulate import Simulation


@dataclass(frozen=True)
class SceneEntry:
    """A scene that is there, or a configuration that one can be made from."""

    id: str
    title: str
    reconstructed: bool
    config: SceneConfig | None
    created: float


class Scenes:
    """One store of scenes, one of them selected, and the tree of its states.

    Args:
        store: folder of scenes; made when first written to.
        config_dirs: folders of scene YAML files that `config(name)` finds.
        device: "cpu" or "cuda".
        max_uncommitted_states: what-ifs kept; the oldest leave first.
        keep_replaced: scenes that were replaced and are kept aside, of each id; the oldest go for good.

    One thread runs what takes long. Meanwhile others may draw, and do with states and scenes what they like: `lock` is
    held while the tree or the selection changes. What runs goes on in the scene that it began in.
    """

    def __init__(
        self,
        store: Path | str,
        *,
        config_dirs: Sequence[Path | str] = (),
        device: str = "cpu",
        max_uncommitted_states: int = 16,
        keep_replaced: int = 10,
    ) -> None:
        self.store = Store(store, keep_replaced=keep_replaced)
        self.config_dirs = [Path(d) for d in config_dirs]
        self.device = device
        self._max_uncommitted = max_uncommitted_states
        self.lock = threading.RLock()
        self.scene: Scene | None = None
        self._tree: StateTree | None = None
        self._appearance: Appearance | None = None
        self._simulation: Simulation | None = None
        self._together: Executor | None = None

    @classmethod
    def open(cls, store: Path | str, *, scene: str = "", **options: Any) -> Self:
        """A world with `scene` selected, where it was left."""
        world = cls(store, **options)
        if scene:
            world.select(scene)
        return world

    # --- scenes -------------------------------------------------------------------------------------------------------

    def scenes(self) -> list[SceneEntry]:
        """Scenes in the store, then configurations that have none yet."""
        out = []
        ids = self.store.scene_ids()
        for scene_id in ids:
            path = self.store.folder(scene_id) / "scene.yaml"
            scene = self.scene if self.scene is not None and self.scene.id == scene_id else None
            config = scene.config if scene else None
            out.append(SceneEntry(scene_id, config.title if config else scene_id, True, config, path.stat().st_mtime))
        for path in self._config_paths():
            if path.stem not in ids:
                try:
                    config = SceneConfig.load(path)
                except SceneError:
                    continue  # asked for by name, it says what is wrong
                if config.name in ids:
                    continue
                out.append(SceneEntry(config.name, config.title, False, config, path.stat().st_mtime))
        return out

    def _config_paths(self) -> list[Path]:
        return sorted(p for folder in self.config_dirs for p in folder.glob("*.yaml"))

    def config(self, name: str) -> SceneConfig:
        """The configuration of that name.

        Raises:
            SceneError: UNKNOWN_SCENE where no file has it; INVALID_CONFIG where it has a fault.
        """
        paths = {p.stem: p for p in self._config_paths()}
        if name not in paths:
            raise SceneError(
                f"scene config '{name}' is not known; there are: {', '.join(paths) or 'none'}",
                code=ErrorCode.UNKNOWN_SCENE,
            )
        return SceneConfig.load(paths[name])

    def reconstruct(
        self, config: SceneConfig, inputs: Inputs | None = None, *, replace: bool = False,
        progress: Progress = no_progress,
    ) -> Scene:  # fmt: skip
        """Make a scene, store it under the config's name and select it.

        Args:
            inputs: whatever pictures there are; `pw_core.reconstruct.describe_route` says what is made of them. None:
                the config's photo. What a run of many views that was called off has left in `<store>/.views/` is used
                again; what a finished one leaves is in the scene's folder `reconstruction`.
            replace: it may take the place of a scene with its name, which is kept aside, see `replaced`.

        Raises:
            ReconstructError: what was wrong with pictures or prompts; the world is as it was.
            SceneError: SCENE_EXISTS, before any work; the store cannot be written.
        """
        from pw_core.reconstruct import keep_reports, reconstruct

        self.store.check_free(config.name, replace=replace)
        place = self.store.root / ".views" / config.name
        scene = self.adopt(reconstruct(config, inputs, folder=place, progress=progress), replace=replace)
        self.store.check_writable(scene.id)
        keep_reports(place, self.store.folder(scene.id) / "reconstruction")
        return scene

    def adopt(self, scene: Scene, *, replace: bool = False) -> Scene:
        """Store a scene made elsewhere, as by `pw_core.reconstruct`, and select it.

        Args:
            replace: it may take the place of a scene with its id, which is kept aside, see `replaced`.

        Raises:
            SceneError: SCENE_EXISTS; the store cannot be written. The world is as it was.
        """
        root = State(ROOT, "", 0.0, scene.initial_physics(), created=time.time())
        with self.lock:
            self.store.save_scene(scene, root=root, replace=replace)
            return self.select(scene.id, _scene=scene)

    def with_background(
        self, splats: Gaussians, scene_id: str, *, beside: bool = False, replace: bool = False
    ) -> Scene:
        """The selected scene before another background, such as a scan of the room (see `pw_core.export.packed`), as a
        scene of its own that starts at the reconstruction.

        Args:
            splats: in the scene's world: z up, metres, the table at 0.
            beside: the old background stays too.
            replace: as in `adopt`.

        Raises:
            SceneError: NO_SCENE, SCENE_EXISTS, INVALID_NAME; the store cannot be written.
        """
        scene = self._need_scene()
        own = splats.with_harmonics(scene.foreground.sh.shape[1])
        background = Gaussians.concatenate([scene.background, own]) if beside else own
        made = changed(
            scene, background=background, light=scene.light if beside else None,
            provenance=scene.provenance | {"background": f"of {len(splats)} Gaussians, of {scene.id}"},
        )  # fmt: skip
        return self.adopt(made.with_id(scene_id), replace=replace)

    def with_entity(
        self, splats: Gaussians, scene_id: str, *, name: str, material: Material, tool: bool = False,
        stand: bool = False, fill: bool = False, source: str = "Gaussians", replace: bool = False,
        progress: Progress = no_progress,
    ) -> Scene:  # fmt: skip
        """The selected scene with one more entity, a thing that another tool scanned (see `pw_core.export.packed`), as
        a scene of its own that starts at the reconstruction.

        Args:
            splats: the outside of the thing alone, in the scene's world: z up, metres, the table at 0.
            stand: it is moved up or down until it stands on the table, and turned onto its flat side where it leans,
                which is warned of.
            fill: the inside of a vessel too, behind a mouth that is narrow enough to be closed. Else it stays open
                where the scan shows both sides of the walls. Either is warned of.
            tool: a rigid entity that only ever moves along timed poses.
            source: what they are from, for people.
            replace: as in `adopt`.

        Raises:
            SceneError: NO_SCENE, SCENE_EXISTS, INVALID_NAME; the store cannot be written.
            ReconstructError (RECONSTRUCT_FAILED): the Gaussians enclose nothing, or lie in the table or in another
                entity.
        """
        from pw_core.reconstruct.binding.attach import with_splats

        scene = self._need_scene()
        made = with_splats(
            scene, splats, name=name, material=material, tool=tool, stand=stand, fill=fill, source=source,
            progress=progress,
        )  # fmt: skip
        note = {f"entity {name}": f"{len(splats)} Gaussians of {source}, added to {scene.id}"}
        made = changed(made, provenance=scene.provenance | note)
        progress("storing", 0.95)
        return self.adopt(made.with_id(scene_id), replace=replace)

    def replaced(self) -> list[ReplacedScene]:
        """Scenes whose place another took, kept whole in the store's `.replaced`, the oldest first."""
        return self.store.replaced()

    def restore_replaced(self, replaced_id: str, *, replace: bool = False) -> Scene:
        """Put one of them back with all its states and select it; with `replace`, what has its id now moves aside.

        Raises:
            SceneError: UNKNOWN_SCENE, SCENE_EXISTS, STORE_FAILED; nothing is changed.
        """
        with self.lock:
            return self.select(self.store.restore_replaced(replaced_id, replace=replace))

    def purge_replaced(self, *replaced_ids: str) -> None:
        """Remove replaced scenes for good. SceneError: UNKNOWN_SCENE, and then none is removed."""
        self.store.purge_replaced(*replaced_ids)

    def select(self, scene_id: str, *, _scene: Scene | None = None) -> Scene:
        """Work on that scene, from where its head was left; what-ifs of the scene before are dropped.

        A scene that was stored before scenes named their engine ran on Genesis; that it no longer does is warned of.

        Raises:
            SceneError: UNKNOWN_SCENE, or a file that cannot be read; the world is as it was.
        """
        scene = self.store.load_scene(scene_id) if _scene is None else _scene
        if _scene is None and "engine" not in scene.config.simulation.model_fields_set:
            warnings.warn(
                f"scene '{scene_id}' was stored before scenes named their engine, and ran on Genesis: it goes on under "
                f"'{scene.config.simulation.engine}'; to keep Genesis, add 'engine: genesis' below 'simulation' in "
                f"{self.store.folder(scene_id) / 'scene.yaml'} and open it again", stacklevel=2,
            )  # fmt: skip
        root = State(ROOT, "", 0.0, scene.initial_physics())
        tree = StateTree(self.store, scene_id, root, max_uncommitted=self._max_uncommitted)
        with self.lock:
            if self.scene is None or scene is not self.scene:
                self._appearance = None
                self._simulation = self._together = None
            self.scene = scene
            self._tree = tree
            self.store.close(but=scene_id)  # scenes that are no longer worked on are for other processes to write
        return scene

    def unselect(self) -> None:
        """Work on no scene; what-ifs of the one that was selected are dropped, and others may write to it."""
        with self.lock:
            self.scene = self._tree = self._appearance = self._simulation = self._together = None
            self.store.close()

    def _need_scene(self) -> Scene:
        if self.scene is None:
            raise SceneError("no scene is selected: reconstruct or select one first", code=ErrorCode.NO_SCENE)
        return self.scene

    # --- states -------------------------------------------------------------------------------------------------------

    @property
    def tree(self) -> StateTree:
        """The selected scene's states. SceneError (NO_SCENE) if there is none."""
        self._need_scene()
        assert self._tree is not None
        return self._tree

    @property
    def max_uncommitted_states(self) -> int:
        """What-ifs that are kept, beside those that the last result of `evaluate` or `plan` names; may be set."""
        return self._max_uncommitted

    @max_uncommitted_states.setter
    def max_uncommitted_states(self, most: int) -> None:
        self._max_uncommitted = most
        if self._tree is not None:
            self._tree.max_uncommitted = most

    @property
    def head(self) -> str:
        """Id of the state that the world is in; empty without a scene."""
        return self._tree.head if self._tree else ""

    @property
    def committed(self) -> set[str]:
        """Ids of the states that lie on disk because they were committed."""
        return self._tree.committed if self._tree else set()

    def states(self) -> list[State]:
        """All states of the scene, in the order they were made. Those that lie on disk may be without their arrays
        (`State.outline`): `state` has them."""
        with self.lock:
            return self._tree.states() if self._tree else []

    def state(self, state_id: str = "") -> State:
        """That state; empty: the head. SceneError (UNKNOWN_STATE) if there is none."""
        with self.lock:
            return self.tree.state(state_id)

    def commit(self, state_id: str) -> State:
        """Make it the head. It, what led to it and its trajectory go to disk."""
        with self.lock:
            return self.tree.commit(state_id)

    def reset(self) -> State:
        """The head goes back to the reconstruction; no state is lost."""
        with self.lock:
            return self.tree.reset()

    def delete(self, state_id: str) -> None:
        """Forget a state. SceneError: UNKNOWN_STATE, STATE_IN_USE (head, root, or others come from it)."""
        with self.lock:
            self.tree.delete(state_id)

    def save(self, state_id: str = "", label: str = "") -> State:
        """Keep a state on disk under a label; it is then no longer dropped as an old what-if."""
        with self.lock:
            return self.tree.save(state_id, label)

    def restore(self, state_id: str) -> State:
        """Make a state, looked for on disk too, the head."""
        with self.lock:
            return self.tree.restore(state_id)

    def trajectory(self, trajectory_id: str = "") -> Trajectory:
        """That trajectory; empty: the last committed. SceneError (UNKNOWN_TRAJECTORY) if there is none."""
        with self.lock:
            return self.tree.trajectory(trajectory_id)
