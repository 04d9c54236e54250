"""The errors this package raises: each has a code, and a message that says what was wrong, where, and what is right."""

from __future__ import annotations

from enum import IntEnum

from pw_core.limits import shortened


class ErrorCode(IntEnum):
    """Every code, with the names and numbers of pw_msgs/msg/ErrorCodes.msg (a test compares the two)."""

    NONE = 0
    RECONSTRUCT_UNKNOWN = 100
    INVALID_IMAGE = 101
    INVALID_PROMPT = 102
    INVALID_CAMERA = 103
    INVALID_CONFIG = 104
    RECONSTRUCT_FAILED = 105
    MISSING_WEIGHTS = 106
    RECONSTRUCT_CANCELED = 107
    ROLLOUT_UNKNOWN = 200
    INVALID_ACTION = 201
    UNKNOWN_ENTITY = 202
    INVALID_DURATION = 203
    OUT_OF_BOUNDS = 204
    UNSTABLE = 205
    INVALID_FRAME = 206
    REFINE_UNKNOWN = 300
    INVALID_TARGET = 301
    INVALID_STRENGTH = 302
    UNKNOWN_PROVIDER = 303
    MISSING_MODEL = 304
    INVALID_STAMPS = 305
    TARGET_CAMERA_UNKNOWN = 306
    PROVIDER_FAILED = 307
    RECORD_FULL = 308
    RENDER_UNKNOWN = 400
    UNKNOWN_CAMERA = 401
    INVALID_VIEW = 402
    SCENE_UNKNOWN = 500
    UNKNOWN_SCENE = 501
    UNKNOWN_STATE = 502
    UNKNOWN_TRAJECTORY = 503
    STORE_FAILED = 504
    STATE_IN_USE = 505
    INVALID_NAME = 506
    SCENE_EXISTS = 507
    STORE_LOCKED = 508
    INVALID_TIME = 509
    PLAN_UNKNOWN = 600
    INVALID_OBJECTIVE = 601
    INVALID_CANDIDATES = 602
    INVALID_TEMPLATE = 603
    INVALID_BUDGET = 604
    EXECUTOR_FAILED = 605
    NODE_UNKNOWN = 900
    BUSY = 901
    WORKER_DIED = 902
    NO_SCENE = 903
    SHUTTING_DOWN = 904
    CANCELED = 905
    TOO_LARGE = 906


class PWError(Exception):
    """Base of all. `code` is what the ROS interfaces return as error_code; the hundreds say which part failed.

    Its text is cut at `Limits.error_bytes`, whatever of the input it repeats.
    """

    default_code = 900

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(shortened(message))
        self.code = self.default_code if code is None else code


class ReconstructError(PWError):
    """A scene could not be made from the given pictures (1xx)."""

    default_code = 100


class ImageError(PWError, ValueError):
    """A picture of a message cannot be read or written; the text says what was wrong and what would be right."""

    default_code = ErrorCode.INVALID_IMAGE


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


class PlanError(PWError):
    """Candidates could not be evaluated or no plan searched for (6xx)."""

    default_code = 600
