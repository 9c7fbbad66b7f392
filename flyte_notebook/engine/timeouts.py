"""Bounds on an action's time that fire: they cancel its body, whatever it waits for, and name the bound."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from flyte_notebook import errors
    from flyte_notebook.engine.context import Call


class Bound:
    """At most `seconds` from `start` until the end of this block; None is no bound.

    Not `asyncio.timeout`: a body that waits in a nested loop is only woken through its children.

    Raises:
        TaskTimeoutError: of the class given, in place of the CancelledError, when the time ran out.
    """

    def __init__(self, call: Call, seconds: float | None, error: type[errors.TaskTimeoutError], what: str) -> None:
        self._call = call
        self._seconds = seconds
        self._error = error
        self._what = what
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    def start(self) -> None:
        """The time counts from now."""
        if self._seconds is not None and self._timer is None:
            self._timer = self._call.run.loop.call_later(self._seconds, self._expire)

    def stop(self) -> None:
        """The time no longer counts."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._expired = True
        self._call.cancel_children()
        if self._call.runner is not None:
            self._call.runner.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        runner = self._call.runner
        if not self._expired or runner is None:
            return
        # Cancelled from outside as well: then that goes first.
        cancelled_too = runner.uncancel() > 0
        if isinstance(error, asyncio.CancelledError) and not cancelled_too:
            self._call.timed_out = True
            message = f"{self._call.task_name} {self._what} {self._seconds:g} s"
            raise self._error(message) from None
