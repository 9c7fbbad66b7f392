"""The end of a run comes on record. Its caller waits for that, but whoever has stopped the run does not wait for ever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from flyte_notebook.errors import JournalError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

_log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that the record of a run may take which its reader has stopped; then it is written without anybody waiting."""


class Ending:
    """Of one run. On its loop only, but for `being_written`."""

    def __init__(self, run: str, loop: asyncio.AbstractEventLoop, journal: Path) -> None:
        self._run = run
        self._journal = journal
        self._loop = loop
        self._hurried = loop.create_future()
        self._committed: Future[None] | None = None

    @property
    def being_written(self) -> bool:
        """True while the run has ended and that is not on record yet: another process may keep the journal locked."""
        return self._committed is not None and not self._committed.done()

    def explained(self) -> str:
        """One line about it while it is `being_written`."""
        return f"{self._run} has ended, and its record is still being written: {blocked(self._journal)}"

    def hurry(self) -> None:
        """The reader has stopped the run: do not wait for longer than `PATIENCE`."""
        if not self._hurried.done():
            self._hurried.set_result(None)

    async def written(self, committed: Future[None]) -> None:
        """Wait until all of the run is `committed`.

        Raises:
            JournalError: it could not be. When that turns out after nobody waits any more, a line says so.
        """
        self._committed = committed
        waiting = self._loop.create_future()
        committed.add_done_callback(lambda _: self._tell(waiting))
        try:
            await asyncio.wait((waiting, self._hurried), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await asyncio.wait((waiting,), timeout=PATIENCE)
        finally:
            if not waiting.done():
                committed.add_done_callback(self._report)
        if committed.done():
            committed.result()

    def _tell(self, waiting: asyncio.Future[None]) -> None:
        def done() -> None:
            if not waiting.done():
                waiting.set_result(None)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(done)

    def _report(self, committed: Future[None]) -> None:
        error = committed.exception()
        if isinstance(error, JournalError):
            _log.error("the record of %s is not complete: %s", self._run, error)


def blocked(journal: Path) -> str:
    """Why something waits for the journal, as far as can be told."""
    return f"another process keeps {journal} locked, or its disk is slow (`fuser {journal}` names who uses it)"
