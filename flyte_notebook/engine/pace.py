"""Calls begin, and hand their results back, no faster than the journal records them.

Else what a crash costs would depend on the disk: the last second of a run, or half a minute of it, and not 50 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyte_notebook.record.journal import Journal

_AT_ONCE = 64
"""Calls, or results, that go on together before the journal is asked again."""


class Pace:
    """What waits for the journal in one run, in the order in which it came. On the run's loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal) -> None:
        self._loop = loop
        self._journal = journal
        self._late = journal.late
        self.overdue = journal.overdue
        """True when a call that has come to its end has to wait for its `turn`."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._asked = False
        """Whether those who wait will be let in by what is under way."""

    def late(self) -> bool:
        """True when a call that is made now has to wait for its `turn`."""
        return self._late() or bool(self._waiting)

    async def turn(self) -> None:
        """Wait until the journal has caught up and what came before has gone on."""
        mine = self._loop.create_future()
        self._waiting.append(mine)
        if not self._asked:
            self._ask()
        await mine

    def _ask(self) -> None:
        # Not a task: the run may end before the journal has caught up, and then leaves none behind.
        self._asked = True
        asyncio.wrap_future(self._journal.flush(), loop=self._loop).add_done_callback(self._caught_up)

    def _caught_up(self, flushed: asyncio.Future[None]) -> None:
        # A journal that has failed says so to whoever appends to it.
        flushed.exception()
        self._let_in()

    def _let_in(self) -> None:
        """Some of those who wait; the others when these have gone on, or when the journal has caught up again."""
        self._asked = False
        if not self._late():
            for _ in range(min(_AT_ONCE, len(self._waiting))):
                mine = self._waiting.popleft()
                # Done when its caller was cancelled.
                if not mine.done():
                    mine.set_result(None)
            if self._waiting:
                self._asked = True
                self._loop.call_soon(self._let_in)
        elif self._waiting:
            self._ask()
