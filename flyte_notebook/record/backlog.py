"""What was appended to the journal and is not committed yet: since when, and whether it has waited for too long."""

from __future__ import annotations

import time

PATIENCE = 0.03
"""Seconds from an append to its commit, beyond which new work, and results, wait for it.

50 ms are promised; the rest is for what goes on until it looks here, on a machine whose processors are all busy.
"""


class Backlog:
    """Kept by the writer's thread and by those who append, without a lock: what is read may be a moment old."""

    __slots__ = ("_since", "for_the_disk", "watched")

    def __init__(self) -> None:
        self.watched = False
        """True while the thread is sure to look at the queue again without being woken. Nothing is late otherwise."""
        self.for_the_disk = True
        """What is under way, or comes next, waits for the disk: at the beginning and at the end of a write-ahead log."""
        self._since = 0.0
        """When, at the earliest, what is not committed yet was appended; while `watched`."""

    def begin(self) -> None:
        """The thread begins to look at the queue, for what was just appended."""
        if not self.watched:
            self._since = time.perf_counter()
        self.watched = True

    def caught_up(self, until: float) -> None:
        """All that was appended before that time, by `time.perf_counter()`, is committed."""
        self._since = until

    def late(self) -> bool:
        """True while something waits for its commit for so long that new work, and results, had better wait for it."""
        return self.watched and (self.for_the_disk or time.perf_counter() - self._since > PATIENCE)
