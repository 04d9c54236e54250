"""A pipe whose large arrays travel through shared memory: from the worker to the node. No ROS here.

What is sent is pickled as over any pipe, but the bytes of arrays from 4 kB on go into a ring in shared memory, and only
their places through the pipe. Where the ring has no room, they go through the pipe too: nothing ever waits for room.

Nothing leaks: the name of the memory is taken away as soon as both sides have it, so that the kernel frees it with the
last process, however that ends; before that, multiprocessing's resource tracker does.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import threading
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

RING_BYTES = 16 * 1024 * 1024
"""Two pictures of 1280 x 704 with depth; a container's /dev/shm often has 64 MB, which DDS wants too."""
SMALLEST = 4096
_HEADER = 64
_COUNT, _PLACE = struct.Struct("<I"), struct.Struct("<QQQ")


class Ring:
    """Bytes of one writer for one reader, who takes them in the order they were written.

    Two counters that only grow say how much was written and taken; each side writes one of them.
    """

    def __init__(self, memory: SharedMemory) -> None:
        buffer = memory.buf
        assert buffer is not None  # it is open
        self._memory = memory
        self._counters = buffer[:16].cast("Q")
        self._bytes = buffer[_HEADER:]
        self._size = len(self._bytes)
        self._written = 0
        self._named = True

    @classmethod
    def create(cls, size: int = RING_BYTES) -> Ring | None:
        """The reader's, for the name's owner; None where there is no shared memory to be had."""
        try:
            memory = SharedMemory(create=True, size=_HEADER + size)
        except OSError:
            return None
        try:
            # A full tmpfs kills whoever touches a page of it that is not there yet; asked for them now, it says no.
            os.posix_fallocate(memory._fd, 0, _HEADER + size)  # type: ignore[attr-defined]
        except (AttributeError, OSError):
            memory.close()
            memory.unlink()
            return None
        return cls(memory)

    @classmethod
    def attach(cls, name: str) -> Ring:
        """The writer's."""
        return cls(SharedMemory(name=name))

    @property
    def name(self) -> str:
        """What the other side attaches to."""
        return self._memory.name

    def put(self, data: memoryview) -> tuple[int, int, int] | None:
        """Write; offset, length and the counter after it. None where there is no room now."""
        at = self._written % self._size
        skip = self._size - at if at + data.nbytes > self._size else 0  # in one piece, so not over the end
        after = self._written + skip + data.nbytes
        if after - self._counters[1] > self._size:
            return None
        at = 0 if skip else at
        self._bytes[at : at + data.nbytes] = data
        self._written = self._counters[0] = after
        return at, data.nbytes, after

    def take(self, place: tuple[int, int, int]) -> bytearray:
        """A copy of what is there, whose room is free from now on."""
        at, size, after = place
        data = bytearray(self._bytes[at : at + size])
        self._counters[1] = after
        return data

    def unlink(self) -> None:
        """Take the name away; the memory stays until both sides have let go of it. Twice is once."""
        if self._named:
            self._named = False
            with contextlib.suppress(FileNotFoundError):
                self._memory.unlink()

    def close(self) -> None:
        """Let go of it. Twice is once."""
        self._counters.release()
        self._bytes.release()
        self._memory.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class Sender:
    """The writing end of a pipe, with a ring beside it if there is one. Threads may share it."""

    def __init__(self, connection: Connection, ring: Ring | None) -> None:
        self._connection, self._ring = connection, ring
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """As Connection.send."""
        with self._lock:
            places: list[tuple[int, int, int]] = []
            data = pickle.dumps(message, 5, buffer_callback=lambda b: self._inline(b, places))
            head = _COUNT.pack(len(places)) + b"".join(_PLACE.pack(*p) for p in places)
            self._connection.send_bytes(head + data)

    def close(self) -> None:
        """Let go of the memory; the pipe stays with who made it."""
        if self._ring is not None:
            self._ring.close()

    def _inline(self, buffer: pickle.PickleBuffer, places: list[tuple[int, int, int]]) -> bool:
        if self._ring is None:
            return True
        data = buffer.raw()
        place = self._ring.put(data) if data.nbytes >= SMALLEST else None
        if place is None:
            return True
        places.append(place)
        return False


class Receiver:
    """The reading end. One thread reads."""

    def __init__(self, connection: Connection, ring: Ring | None) -> None:
        self._connection, self.ring = connection, ring

    def recv(self) -> Any:
        """As Connection.recv; arrays are the reader's own and may be written to."""
        data = memoryview(self._connection.recv_bytes())
        (count,) = _COUNT.unpack_from(data)
        if self.ring is not None:
            self.ring.unlink()  # who sends has attached
        start = _COUNT.size
        buffers = []
        for k in range(count):
            assert self.ring is not None
            buffers.append(self.ring.take(_PLACE.unpack_from(data, start + k * _PLACE.size)))
        return pickle.loads(data[start + count * _PLACE.size :], buffers=buffers)

    def close(self) -> None:
        """The pipe and the memory."""
        self._connection.close()
        if self.ring is not None:
            self.ring.unlink()
            self.ring.close()
