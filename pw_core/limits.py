"""How much one request may ask for: one table, checked before any work is done.

What is above a limit is refused by name and number, with the code of what it belongs to. docs/ros.md holds the table
for users; the node has each as a read-only parameter of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Generous for every use that was thought of, and small enough that nothing takes minutes or gigabytes."""

    name_chars: int = 100
    """Of a scene's, entity's, state's or camera's name: it becomes a file's, which may have 255 with its ending."""
    text_chars: int = 4096
    """Of any other text, such as a title, a prompt for a video model or a path (Linux allows 4096)."""
    error_bytes: int = 1000
    """Of an error's text: it goes into messages, logs and the latched status."""
    entities: int = 100
    """In a scene: each costs a second of cutting out."""
    prompt_points: int = 1000
    """Of an entity, for and against it."""
    actions: int = 1000
    """In a sequence; 31 of them at the same time."""
    poses: int = 10_000
    """Of a tool's path: 100 Hz for 100 s, longer than a rollout may be."""
    request_poses: int = 100_000
    """Of all paths in a request, such as 500 candidates' of 200 poses: each takes some 50 us to convert."""
    rounds: int = 1000
    """In a scene's story."""
    document_bytes: int = 1_000_000
    """Of a YAML or JSON text: a scene's has 3 kB; parsing takes about a second a megabyte where it is slow."""
    document_depth: int = 20
    """Of lists and mappings in each other: a scene's has 6."""
    document_nodes: int = 30_000
    """Values, lists and mappings in such a text, aliases counted as what they stand for: half a second of parsing."""
    view_pixels: int = 16_777_216
    """Of a picture to draw (4096 x 4096): drawing takes 40 bytes a pixel."""
    picture_pixels: int = 120_000_000
    """Of a picture that is given: cameras have up to 108 Mpx."""
    list_items: int = 20_000
    """Of any other list in a request: of pictures, views, candidates."""
    request_pixels: int = 1_000_000_000
    """Of all pictures of a request: 3 GB as RGB. Eighty photos of a telephone."""
    request_bytes: int = 1_000_000_000
    """Of all that comes with a request; a client's serialised message is in memory twice for a moment."""
    duration_s: float = 60.0
    """[s] Of a rollout."""
    frames: int = 5000
    """Of a rollout."""
    frame_particles: int = 50_000_000
    """Particles times frames of a rollout: each takes 104 bytes while it runs, 24 until it is dropped."""
    grid_cells: int = 200_000_000
    """Of a simulation: 16 bytes each, and each is gone through in every substep."""
    substeps: int = 100_000
    """In a step: more is a setting gone wrong."""


LIMITS = Limits()
"""What holds unless a caller gives others."""


def shortened(text: str, most: int = LIMITS.error_bytes) -> str:
    """The text, cut to `most` bytes of UTF-8 in all; then it ends by how long it was."""
    # A code point takes a byte or more: what is beyond need not be encoded to be left out.
    head = text[: most + 1].encode("utf-8", "replace")
    if len(text) <= most and len(head) <= most:
        return text
    end = f" ... ({len(text)} characters)"
    return head[: most - len(end)].decode("utf-8", "ignore") + end
