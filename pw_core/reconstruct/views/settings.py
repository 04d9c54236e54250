"""What can be chosen about a reconstruction from many views: `reconstruct.views` of a scene's configuration."""

from __future__ import annotations

from pw_core.config import Sam2Settings, ViewsSettings

__all__ = ["Sam2Settings", "ViewsSettings"]
