"""Photos to scenes."""

from __future__ import annotations

from pw_core.reconstruct.routes.single_photo import reconstruct

__all__ = ["reconstruct"]
