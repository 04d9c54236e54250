"""What is wrong with a file; for callers to say whose it was and with which code."""

from __future__ import annotations


class MediaError(ValueError):
    """Names the file or field, what was found, and what would be right."""


class CameraFileError(MediaError):
    """It is the cameras in it that cannot be used: intrinsics, poses, or which picture they belong to."""
