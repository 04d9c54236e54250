"""The benchmarks' parts: each measures one link and returns records."""

import sys
from pathlib import Path

import pw_core as pw_core  # before torch: it says how torch's threads wait

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # what they share with the tests: `support`
