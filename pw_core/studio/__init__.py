"""A scene in the browser: looked at from all sides, played, pushed by hand, planned and refined."""

from __future__ import annotations

from pw_core.studio.studio import Studio

__all__ = ["Studio"]
