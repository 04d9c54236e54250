"""The benchmarks' parts: each measures one link and returns records."""
