"""Make the ROS wheels' CMake files point at this environment.

The wheels were built under /opt/python/cp3XX-cp3XX and their `share/**/*.cmake` files still say so, which sends CMake
to headers that are not there. Both baked paths (Python's headers and its site-packages) are replaced by the running
interpreter's own. Running it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

BAKED_INCLUDE = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+")
BAKED_SITE = re.compile(r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages")


def rewrite(text: str, *, include: str, site: str) -> tuple[str, int]:
    """The text with both baked paths replaced, and how many were."""
    text, includes = BAKED_INCLUDE.subn(lambda _: include, text)
    text, sites = BAKED_SITE.subn(lambda _: site, text)
    return text, includes + sites


def main() -> int:
    include, site = sysconfig.get_path("include"), sysconfig.get_path("purelib")
    total = 0
    for root in (Path(sys.prefix) / "share", Path(site)):
        for path in root.rglob("*.cmake"):
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            text, changed = rewrite(text, include=include, site=site)
            if changed:
                path.write_text(text, encoding="utf-8", errors="surrogateescape")
                total += changed
    print(f"    {total} paths rewritten in the wheels' CMake files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
