"""Large memory on its way into a store: stored once for all values that hold it, and watched for changes meanwhile."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from flyte_notebook.record.text import Buffer, address, length

if TYPE_CHECKING:
    from flyte_notebook.record.blobs import BlobStore

_SAMPLES = 4096
"""Bytes by which a change is noticed: reading them costs less than a millisecond, however much lies between."""


class Passage:
    """The way of one run of memory into a store. A reading of it counts for all who asked before it began.

    So passing one table to fifty tasks takes two readings: one that the first call began, and one for all others.
    """

    __slots__ = ("__weakref__", "_lock", "_read")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: tuple[float, BlobStore, str] | None = None
        """When the last reading began, where it led, and the name of what was read."""

    def store(self, memory: Buffer, blobs: BlobStore, asked: float) -> str:
        """Store `memory`, unless somebody has done so since `asked` (`now()`); its name. Raises as `BlobStore.put`."""
        # What has been read before the caller asked may have been something else.
        with self._lock:
            if self._read is None or self._read[0] <= asked or self._read[1] is not blobs:
                began = now()
                self._read = began, blobs, blobs.put([memory])
            return self._read[2]


now = time.perf_counter

_passages: weakref.WeakValueDictionary[tuple[int, int], Passage] = weakref.WeakValueDictionary()
"""By address and length. Whoever has one keeps the memory too, so that its address stays its own."""
_finding = threading.Lock()


def passage(memory: Buffer) -> Passage:
    """The way of `memory` into a store, the same for all who ask while one of them has it."""
    where = address(memory)
    if where == (0, 0):
        return Passage()
    with _finding:
        found = _passages.get(where)
        if found is None:
            found = _passages[where] = Passage()
        return found


def sample(memory: Buffer) -> bytes:
    """A few bytes from all over `memory`; none of what can never change."""
    if isinstance(memory, bytes):
        return b""
    # An odd step meets every byte of a number in turn: a small change of a float is in its last ones.
    return bytes(memory[:: length(memory) // _SAMPLES | 1])


def _after_fork() -> None:
    global _finding
    # Another thread may have held it, and have been reading.
    _finding = threading.Lock()
    _passages.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
