"""numba's cache, kept honest.

numba keeps a compiled kernel until the file that it stands in changes; what it calls from other files is compiled into
it and not looked at. So an edit, or a pull that touches some files, would leave old code running.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NOTE = "kernels.sha256"
"""In a folder's `__pycache__`: the digest of the sources that its compiled kernels were made from."""


def drop_stale(folder: Path, *, uses: Sequence[Path] = ()) -> bool:
    """Remove the compiled kernels of `folder` if a source there, or in one of the folders `uses`, has changed since.

    Called before the folder's kernels are imported. Where the cache cannot be written nothing is cached either. Returns
    whether kernels were removed.
    """
    cache = folder / "__pycache__"
    digest = hashlib.sha256()
    for source in sorted(path for place in (folder, *uses) for path in place.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    wanted, note = digest.hexdigest(), cache / NOTE
    with suppress(OSError):
        if note.is_file() and note.read_text() == wanted:
            return False
        stale = [p for ending in ("*.nbi", "*.nbc") for p in cache.glob(ending)]
        for path in stale:
            path.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        note.write_text(wanted)
        return bool(stale)
    return False
