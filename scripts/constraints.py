"""Print the pip constraints: requirements/constraints.txt, with requirements/numpy1.txt in place of the same names
when ROS was built against NumPy 1."""

import argparse
import re
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"


def pins(path: Path) -> list[tuple[str, str]]:
    """(normalised name, line) of each pin in a constraints file."""
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(re.split(r"[^A-Za-z0-9_.-]", line)[0].lower().replace("_", "-"), line) for line in lines if line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numpy", type=int, default=2, help="the major version that ROS was built against")
    numpy_major = parser.parse_args().numpy
    replaced = pins(REQUIREMENTS / "numpy1.txt") if numpy_major < 2 else []
    names = {name for name, _ in replaced}
    print("\n".join(line for name, line in pins(REQUIREMENTS / "constraints.txt") if name not in names))
    print("\n".join(line for _, line in replaced))


if __name__ == "__main__":
    main()
