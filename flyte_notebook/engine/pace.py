"""Calls begin, and hand their results back, no faster than the journal records them.

Else what a crash costs would depend on the disk: the last second of a run, or half a minute of it, and not 50 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flyte_notebook.record.journal import Journal

_AT_ONCE = 64
"""Calls that begin together before the journal is asked again, and how many begin after each commit in any case."""


class Pace:
    """What waits for the journal in one run. On the run's loop only.

    Callbacks and no task of its own: the run may end before the journal has caught up, and then leaves none behind.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal) -> None:
        self._loop = loop
        self._journal = journal
        self.behind = journal.late
        """True when a call that has come to its end has to wait until it is `kept`."""
        self._beginning: deque[asyncio.Future[None]] = deque()
        self._asked = False
        """Whether those who wait for their turn will be let in by what is under way."""
        self._ended: list[asyncio.Future[None]] = []

    # --- to begin ---------------------------------------------------------------------------------------------------

    def late(self) -> bool:
        """True when a call that is made now has to wait for its `turn`."""
        return self.behind() or bool(self._beginning)

    async def turn(self) -> None:
        """Wait until the journal has caught up and the calls that came before have begun."""
        mine = self._loop.create_future()
        self._beginning.append(mine)
        if not self._asked:
            self._asked = True
            self._when_committed(self._let_in)
        await mine

    def _let_in(self) -> None:
        """Some of those who wait; the others when these have begun, or when the journal has caught up again."""
        _go_on(self._beginning.popleft() for _ in range(min(_AT_ONCE, len(self._beginning))))
        self._asked = bool(self._beginning)
        if self._asked:
            self._loop.call_soon(self._let_more_in)

    def _let_more_in(self) -> None:
        if self.behind():
            # Others may keep it so for ever: some are let in all the same, after the next commit.
            self._when_committed(self._let_in)
        else:
            self._let_in()

    # --- to end -----------------------------------------------------------------------------------------------------

    async def kept(self) -> None:
        """Wait until all that has been recorded so far is committed."""
        # Each has a future of its own: whoever is cancelled would cancel a common one for all.
        mine = self._loop.create_future()
        self._ended.append(mine)
        if len(self._ended) == 1:
            # One flush does for all that end in this round of the loop.
            self._loop.call_soon(self._keep)
        await mine

    def _keep(self) -> None:
        ended, self._ended = self._ended, []
        self._when_committed(partial(_go_on, ended))

    def _when_committed(self, then: Callable[[], None]) -> None:
        def committed(flushed: asyncio.Future[None]) -> None:
            # A journal that has failed says so to whoever appends to it.
            flushed.exception()
            then()

        asyncio.wrap_future(self._journal.flush(), loop=self._loop).add_done_callback(committed)


def _go_on(waiting: Iterable[asyncio.Future[None]]) -> None:
    for each in waiting:
        # Done when its caller was cancelled.
        if not each.done():
            each.set_result(None)
