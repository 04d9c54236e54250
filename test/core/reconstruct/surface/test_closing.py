"""Of a mesh's closed parts the largest."""

from __future__ import annotations

import trimesh

from pw_core.reconstruct.surface.closing import largest_closed_part


def test_open_and_smaller_parts_go() -> None:
    small = trimesh.creation.icosphere(2, 0.5).apply_translation([3, 0, 0])
    inverted = trimesh.creation.icosphere(2, 1.0)
    inverted.invert()  # its volume counts all the same
    opened = trimesh.creation.icosphere(2, 2.0).apply_translation([8, 0, 0])
    opened.update_faces([True] * (len(opened.faces) // 2) + [False] * (len(opened.faces) // 2))
    found = largest_closed_part(trimesh.util.concatenate([small, inverted, opened]))
    assert found is not None and found.is_watertight and 3.5 < abs(found.volume) < 4.2
    assert largest_closed_part(opened) is None
