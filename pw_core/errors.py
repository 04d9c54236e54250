"""The errors this package raises: each has a code, and a message that says what was wrong, where, and what would be right."""

from __future__ import annotations


class PWError(Exception):
    """Base of all. `code` is what the ROS interfaces return as error_code; the hundreds say which part failed."""

    default_code = 900

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = self.default_code if code is None else code


class ReconstructError(PWError):
    """A scene could not be made from the given pictures (1xx)."""

    default_code = 100


class RolloutError(PWError):
    """A simulation could not be run or went wrong (2xx)."""

    default_code = 200


class RefineError(PWError):
    """A correction by target frames failed (3xx)."""

    default_code = 300


class RenderError(PWError):
    """A picture could not be drawn (4xx)."""

    default_code = 400


class SceneError(PWError):
    """A scene, state or file is unknown, broken or cannot be written (5xx)."""

    default_code = 500
