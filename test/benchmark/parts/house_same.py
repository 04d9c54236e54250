"""The same numbers out of another commit's code: scenes of the example photos, the states after their rounds, and
whether what the other code stored opens here. Both run one after the other in this environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from parts.records import ROOT, record

SCENES = ("jam", "dumpling", "play_doh")
SCRIPT = '''
import hashlib, json, sys
from dataclasses import asdict
from pathlib import Path
import numpy as np
from pw_core.config import SceneConfig
from pw_core.world import World
root, store, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
def h(arrays):
    d = hashlib.sha256()
    for a in arrays:
        d.update(np.ascontiguousarray(a).tobytes())
    return d.hexdigest()
def of_scene(s):
    parts = [*s.background.arrays().values(), *s.foreground.arrays().values(), *s.particles.arrays().values()]
    parts += asdict(s.binding).values()
    parts += [x for e in s.entities for x in (e.mesh.vertices, e.mesh.faces, e.origin)]
    return h(parts + [x for c in s.cameras for x in (c.K, c.viewmat)])
def of_state(s):
    bodies = [np.asarray(v) for b in s.physics.bodies.values() for v in asdict(b).values()]
    return h([*s.physics.particles.arrays().values(), *bodies])
out = {}
for name in names:
    world = World(store)
    out[f"scene {name}"] = of_scene(world.reconstruct(SceneConfig.load(root / f"config/scenes/{name}.yaml")))
    for round_ in world.scene.config.rounds:
        running = world.rollout(round_.actions, round_.duration, commit=True)
        for _ in running:
            pass
    out[f"state {name}"] = of_state(world.state(""))
print("RESULT" + json.dumps(out))
'''
OPENS = '''
import json, sys
from pw_core.world import World
out = {}
for name in sys.argv[2:]:
    world = World.open(sys.argv[1], scene=name)
    out[name] = len(world.states())
    world.trajectory()
    world.render()
print("RESULT" + json.dumps(out))
'''


def same(commit: str) -> None:
    """Record item 5 of the house: this code against that of `commit`; skipped where none is named."""
    if not commit:
        for name in SCENES:
            record(f"{name}: scene and state as before", None, "", "same bits", None, "set PW_HOUSE_AGAINST=<commit>")
        return
    with tempfile.TemporaryDirectory(prefix="pw_house_") as folder:
        other = Path(folder) / "code"
        subprocess.run(["git", "worktree", "add", "--detach", str(other), commit], cwd=ROOT, check=True)
        try:
            before = _run(SCRIPT, other, str(other), f"{folder}/before", *SCENES)
            after = _run(SCRIPT, ROOT, str(ROOT), f"{folder}/after", *SCENES)
            opened = _run(OPENS, ROOT, f"{folder}/before", *SCENES)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(other)], cwd=ROOT, check=False)
    for name in SCENES:
        for what in ("scene", "state"):
            key = f"{what} {name}"
            equal = before[key] == after[key]
            record(f"{name}: {what} as before", float(equal), "", "same bits", equal, f"against {commit[:12]}")
    record("scenes stored by the other code that open", len(opened), "", f"{len(SCENES)}", len(opened) == len(SCENES),
           ", ".join(f"{k}: {v} states" for k, v in opened.items()))  # fmt: skip


def _run(script: str, code: Path, *arguments: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(code)}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not found:
        raise RuntimeError(f"the code in {code} ended with {done.returncode}: {done.stderr[-2000:]}")
    return dict(json.loads(found[-1].removeprefix("RESULT")))

