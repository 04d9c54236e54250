"""docs/scene_file.md from `SceneConfig`: every key of a scene file, its unit, default and meaning.

    python scripts/scene_reference.py            # writes the page
    python scripts/scene_reference.py --check    # says whether it is as it should be
"""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pw_core.config import SceneConfig

PAGE = Path(__file__).parents[1] / "docs" / "scene_file.md"
HEAD = """# The scene file

A scene is one YAML file. `pw new photo.jpg` writes one with comments for a photo of your own; `config/scenes/` has
ours. This page is made from `pw_core.config.SceneConfig` by `python scripts/scene_reference.py`.

Units are in the names (`_m` metres, `_deg` degrees, `_pa` pascals, `_px` pixels) or in the last column. Boxes and
points are in pixels of the full photo, from its left and top. The world's origin is on the table below the camera: x
ahead, y to the left, z up. A key that is not here is an error.
"""


def models(annotation: Any) -> list[type[BaseModel]]:
    """The parts that a field holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in typing.get_args(annotation) for m in models(a)]


def kind(annotation: Any) -> str:
    """A field's type as a reader would say it."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(args[0])
    if origin is typing.Literal:
        return ", ".join(str(a) for a in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind(a) for a in args if a is not type(None))
    if origin is tuple:
        return f"list of {kind(args[0])}" if args[-1] is Ellipsis else f"{len(args)} numbers"
    if origin is dict:
        return "keys and values"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    names = {float: "number", int: "whole number", str: "text", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def bounds(metadata: list[Any]) -> str:
    """What a number must be within."""
    low = next((f"from {m.ge:g}" if getattr(m, "ge", None) is not None else f"above {m.gt:g}" for m in metadata
                if getattr(m, "ge", None) is not None or getattr(m, "gt", None) is not None), "")  # fmt: skip
    high = next((f"to {m.le:g}" if getattr(m, "le", None) is not None else f"below {m.lt:g}" for m in metadata
                 if getattr(m, "le", None) is not None or getattr(m, "lt", None) is not None), "")  # fmt: skip
    return f" {low} {high}".rstrip() if low or high else ""


def default(field: Any) -> str:
    """As a scene file would have it."""
    if field.default_factory is not None:
        return "`{}`"
    value = field.default
    if value is PydanticUndefined:
        return "**needed**"
    if isinstance(value, BaseModel):
        return "as there"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return "" if value == "" else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def page() -> str:
    """The whole text."""
    out, waiting, done = [HEAD], [SceneConfig], set()
    while waiting:
        model = waiting.pop(0)
        if model in done:
            continue
        done.add(model)
        doc = " ".join((model.__doc__ or "").split())
        out += [f"## {model.__name__}", "", doc, "", "| key | is | default | meaning |", "| --- | --- | --- | --- |"]
        for name, field in model.model_fields.items():
            inner = models(field.annotation)
            waiting += inner
            says = (field.description or (inner[0].__doc__ or "").split("\n")[0] if inner else field.description) or ""
            text = "which action it is" if name == "type" else says.replace("|", "or")
            out.append(f"| `{name}` | {kind(field.annotation)}{bounds(field.metadata)} | {default(field)} | {text} |")
        out.append("")
    return "\n".join(out)


def main() -> None:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.is_file() and PAGE.read_text() == text
        sys.exit(0 if same else f"{PAGE} is not as SceneConfig has it: run python scripts/scene_reference.py")
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
