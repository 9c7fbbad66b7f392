"""Calls begin no faster than the journal records them: else the last second of a fast run could be lost, not 50 ms of it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from typing import TYPE_CHECKING

from flyte_notebook.errors import JournalError

if TYPE_CHECKING:
    from flyte_notebook.record.journal import Journal

_AT_ONCE = 64
"""Calls that go on together before the journal is asked again."""


class Pace:
    """The calls of one run that wait for the journal, in the order in which they were made. On the run's loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal) -> None:
        self._loop = loop
        self._journal = journal
        self._late = journal.late
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._usher: asyncio.Task[None] | None = None

    def late(self) -> bool:
        """True when a call that is made now has to wait for its `turn`."""
        return self._late() or bool(self._waiting)

    async def turn(self) -> None:
        """Wait until the journal has caught up and the calls that came before have gone on."""
        mine = self._loop.create_future()
        self._waiting.append(mine)
        if self._usher is None:
            # It belongs to no action.
            self._usher = self._loop.create_task(self._let_in(), context=contextvars.Context())
        await mine

    async def _let_in(self) -> None:
        try:
            while self._waiting:
                # A journal that has failed says so to whoever appends to it.
                with contextlib.suppress(JournalError):
                    await asyncio.wrap_future(self._journal.flush())
                while self._waiting and not self._late():
                    for _ in range(min(_AT_ONCE, len(self._waiting))):
                        mine = self._waiting.popleft()
                        # Done when its caller was cancelled.
                        if not mine.done():
                            mine.set_result(None)
                    await asyncio.sleep(0)
        finally:
            self._usher = None
