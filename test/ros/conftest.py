"""The stand-in world is imported by name, also by the spawned worker, which inherits this path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
