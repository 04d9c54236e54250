"""Pictures to scenes. What is exported here is the whole of it for callers elsewhere."""

from __future__ import annotations

from pw_core.reconstruct.inputs import Inputs, ViewInput
from pw_core.reconstruct.pipeline import describe_route, keep_reports, reconstruct

__all__ = ["Inputs", "ViewInput", "describe_route", "keep_reports", "reconstruct"]
