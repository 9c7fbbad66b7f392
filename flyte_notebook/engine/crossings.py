"""What waits in other threads, or on other loops, for a run's own loop; which may turn no more once the run has ended."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, InvalidStateError
from typing import Any

from flyte_notebook.errors import ActionAbortedError


class Crossings:
    """The futures of one run that others wait for. Any thread."""

    def __init__(self) -> None:
        self._waiting: set[Future[Any]] = set()
        self._ended: str | None = None

    def add(self, future: Future[Any]) -> None:
        """Have `future` done at the latest when the run ends, if need be with ActionAbortedError."""
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        # Looked at after adding, and set before failing: without a lock, one of the two threads sees the other.
        if self._ended is not None:
            self._fail()

    def end(self, run: str) -> None:
        """The run of this name has ended."""
        self._ended = run
        self._fail()

    def _fail(self) -> None:
        with contextlib.suppress(KeyError):
            while True:
                future = self._waiting.pop()
                with contextlib.suppress(InvalidStateError):  # done in the meantime
                    future.set_exception(ActionAbortedError(f"the run {self._ended} has ended"))
