"""How types are called where they are served."""

from __future__ import annotations


def snake_case(name: str) -> str:
    """`RenderView` as `render_view`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
