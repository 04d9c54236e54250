"""Rendering: one `rasterize`, differentiable, on the CPU by our own kernels and on CUDA by gsplat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pw_core.render.entry import Rendered, rasterize

__all__ = ["Rendered", "rasterize"]


def __getattr__(name: str) -> Any:
    # torch is imported when something is drawn, not when the package is.
    if name in __all__:
        from pw_core.render import entry

        globals().update({each: getattr(entry, each) for each in __all__})
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
