"""What is wrong with a request is said with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pw_core.errors import ErrorCode, RefineError
from support.target_request import H, T, W, camera, make_request


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"strengths": (1.2,)}, ErrorCode.INVALID_STRENGTH, r"view 0 \('cam0'\): found 1.2, expected 0 to 1"),
        ({"strengths": (-0.1,)}, ErrorCode.INVALID_STRENGTH, "found -0.1"),
        ({"strengths": (float("nan"),)}, ErrorCode.INVALID_STRENGTH, "found nan"),
        ({"strengths": (0.1, 0.1)}, ErrorCode.INVALID_STRENGTH, "found 2, expected one for each of 1 views"),
        ({"times": np.array([0, 0.1, 0.05, 0.2, 0.3])}, ErrorCode.INVALID_STAMPS, "out of order: number 2 .0.05"),
        ({"times": np.array([0, 0.1, np.nan, 0.2, 0.3])}, ErrorCode.INVALID_STAMPS, "stamp 2 is nan"),
        ({"times": np.arange(4) * 0.1}, ErrorCode.INVALID_TARGET, r"found uint8 \(1, 5"),
        ({"cameras": (camera("cam0", width=80),)}, ErrorCode.INVALID_TARGET, "has 80 x 48 px, its predicted frames 64"),
        ({"flow": np.full((1, T - 1, H, W, 2), np.nan, np.float32)}, ErrorCode.INVALID_TARGET, "flow holds NaN"),
        ({"masks": np.full((1, T, H, W), -1, np.int32)}, ErrorCode.INVALID_TARGET, "predicted masks: found -1"),
        ({"first_frames": np.zeros((1, 2, 2, 3), np.uint8)}, ErrorCode.INVALID_TARGET, "first frames"),
    ],
)
def test_bad_requests(changes: dict[str, Any], code: ErrorCode, words: str) -> None:
    with pytest.raises(RefineError, match=words) as caught:
        make_request(**changes)
    assert caught.value.code == code
