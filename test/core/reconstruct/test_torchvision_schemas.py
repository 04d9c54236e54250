"""A torchvision of another torch can be imported once its operators are declared."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_torchvision_is_there_after_its_operators_are_declared_twice() -> None:
    """Where there is none, nothing happens."""
    code = (
        "from importlib.util import find_spec\n"
        "from pw_core.reconstruct.torchvision_schemas import declare_operators\n"
        "declare_operators(); declare_operators()\n"
        "if find_spec('torchvision'): import torchvision.transforms\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
