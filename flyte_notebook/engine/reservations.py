"""Calls that run one at a time because their results are cached: `Cache(serialize=True)`.

Who comes first reserves the cache key and runs; the others wait for their turn, and then find a result in the cache, or,
when the first one failed, was cancelled or died, run themselves. Within this process, on whatever loops, they stand in
a queue. Between processes a byte of the store's `reservations` file is locked, which is given back once the result is
committed, so that whoever gets it finds the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from flyte_notebook.record import lockfile

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_notebook.record.store import Store

_FIRST_LOOK, _LOOKS_RARER, _LAST_LOOK = 0.01, 1.5, 0.5
"""Another process's reservation is looked at after so many seconds, by so much later each time, at most so much."""


class _Place(NamedTuple):
    """What is reserved: a cache key in a store."""

    file: Path
    key: str

    @property
    def byte(self) -> int:
        """Keys are hashes: two that share a byte wait for one another without need, once in 2**60 pairs."""
        return int(self.key[:15], 16)


class _Waiting(NamedTuple):
    """A call that waits for its turn, on its loop."""

    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[None]
    above: frozenset[_Place]
    """What the actions that it belongs to have reserved."""


@dataclass(slots=True, eq=False)
class _Queue:
    """Those of this process who want one place."""

    taken: bool = False
    waiting: deque[_Waiting] = field(default_factory=deque)
    locked: bool = False
    """True while this process has it, for other processes to see."""
    passes: int = 0
    """How often it was passed on: what waits for a commit then knows whether it is still the last."""


_queues: dict[_Place, _Queue] = {}
# Reentrant: a coroutine may be collected, and leave its place, wherever memory is allocated.
_guard = threading.RLock()
_above: ContextVar[frozenset[_Place]] = ContextVar("flyte_notebook_reserved", default=frozenset())


class Reservation:
    """From `await Reservation.of(store, key)` until `leave()` nobody else, in any process, has one of this key and store.

    But for calls that would wait for themselves: made by the action that has the reservation, or in a circle of actions
    that each wait for what the next one has reserved. These go on without waiting.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._place = _Place(store.home / "reservations", key)
        self._queue: _Queue | None = None
        """None where nothing is reserved."""

    @classmethod
    async def of(cls, store: Store, key: str) -> Reservation:
        """Wait for the turn of whoever calls this, an action in a task of its own."""
        self = cls(store, key)
        above = _above.get()
        try:
            await self._take_turn(above)
            await self._lock()
        except BaseException:
            self.leave()
            raise
        if self._queue is not None:
            # For the actions below: the context ends with the task.
            _above.set(above | {self._place})
        return self

    async def _take_turn(self, above: frozenset[_Place]) -> None:
        """Wait until no other call of this process has the place; not where that would be for ever."""
        loop = asyncio.get_running_loop()
        with _guard:
            if self._place in above:
                return
            queue = _queues.setdefault(self._place, _Queue())
            if not queue.taken:
                queue.taken = True
                self._queue = queue
                return
            if _closes_a_circle(self._place, above):
                return
            mine = _Waiting(loop, loop.create_future(), above)
            queue.waiting.append(mine)
        try:
            await mine.turn
        finally:
            with _guard:
                if mine in queue.waiting:
                    # Given up.
                    queue.waiting.remove(mine)
                else:
                    self._queue = queue

    async def _lock(self) -> None:
        """Wait until no other process has the place."""
        wait = _FIRST_LOOK
        while not self._try_lock():
            await asyncio.sleep(wait)
            wait = min(wait * _LOOKS_RARER, _LAST_LOOK)

    def _try_lock(self) -> bool:
        queue, place = self._queue, self._place
        if queue is not None and not queue.locked:
            try:
                queue.locked = lockfile.lock(place.file, place.byte)
            except OSError:
                # A file system without locks: nothing can be promised among processes, and to run is always right.
                return True
        return queue is None or queue.locked

    def leave(self) -> None:
        """The next one's turn; if there is none, other processes': once they can see what has come of this one."""
        queue, self._queue = self._queue, None
        if queue is None:
            return
        with _guard:
            queue.passes += 1
            passes = queue.passes
            _hand_over(queue)
            if queue.taken:
                return
            if not queue.locked:
                self._forget(queue)
                return
        self._store.journal.flush().add_done_callback(lambda _: self._unlock(queue, passes))

    def _unlock(self, queue: _Queue, passes: int) -> None:
        with _guard:
            if queue.taken or queue.passes != passes or not self._forget(queue):
                return
            queue.locked = False
            lockfile.unlock(self._place.file, self._place.byte)

    def _forget(self, queue: _Queue) -> bool:
        """False when that is no longer the place's queue: in a process that was forked meanwhile."""
        known = _queues.get(self._place) is queue
        if known:
            del _queues[self._place]
        return known


def _closes_a_circle(place: _Place, above: frozenset[_Place]) -> bool:
    """True when whoever has `place` waits, through however many others, for something in `above`."""
    seen, ahead = set[_Place](), [place]
    while above and ahead:
        current = ahead.pop()
        if current in above:
            return True
        if current not in seen:
            seen.add(current)
            ahead += [
                other for other, queue in tuple(_queues.items()) if any(current in w.above for w in queue.waiting)
            ]
    return False


def _hand_over(queue: _Queue) -> None:
    while queue.waiting:
        following = queue.waiting.popleft()
        with contextlib.suppress(RuntimeError):  # its loop is closed, and it gone with it
            following.loop.call_soon_threadsafe(_wake, following.turn)
            return
    queue.taken = False


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _after_fork() -> None:
    global _guard
    _guard = threading.RLock()
    # The parent's calls go on in the parent, and so do its locks.
    _queues.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
