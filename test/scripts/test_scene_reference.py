"""docs/scene_file.md says what SceneConfig has, and every key of a scene file has a meaning."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pw_core.config import SceneConfig

ROOT = Path(__file__).parents[2]


def test_the_page_is_as_the_code_has_it_and_leaves_no_key_unsaid() -> None:
    spec = importlib.util.spec_from_file_location("scene_reference", ROOT / "scripts" / "scene_reference.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = made.page()
    assert made.PAGE.read_text() == text, "run python scripts/scene_reference.py"
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 120 and not [r[1] for r in rows if not r[4].strip()]
    for key in SceneConfig.model_fields:
        assert f"| `{key}` |" in text
