"""What tests and benchmarks share: scenes, pictures and stand-ins, as `from support.ball import camera, shot`.

pytest has the folder above on its path (`pythonpath` in pyproject.toml), and so has the benchmarks' `parts` package; a
process that a test starts needs it in PYTHONPATH.
"""
