"""`python -m pw_core.cli`."""

from pw_core.cli import main

main()
