"""The error of pictures that cannot be read or written."""

from __future__ import annotations

from pw_core.errors import ErrorCode, PWError


class ImageError(PWError, ValueError):
    """A picture that cannot be read or written; the message says what was wrong and what would be right."""

    default_code = ErrorCode.INVALID_IMAGE
