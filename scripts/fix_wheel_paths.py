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


def main() -> int:
    include, site = sysconfig.get_path("include"), sysconfig.get_path("purelib")
    changed = 0
    for root in (Path(sys.prefix) / "share", Path(site)):
        for path in root.rglob("*.cmake"):
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            new, n_include = BAKED_INCLUDE.subn(lambda _: include, text)
            new, n_site = BAKED_SITE.subn(lambda _: site, new)
            if n_include + n_site:
                path.write_text(new, encoding="utf-8", errors="surrogateescape")
                changed += n_include + n_site
    print(f"    {changed} paths rewritten in the wheels' CMake files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
