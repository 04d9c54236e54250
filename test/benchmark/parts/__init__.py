"""The benchmarks' parts: each measures one link and returns records."""

import pw_core as pw_core  # before torch: it says how torch's threads wait
