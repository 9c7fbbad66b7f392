"""Bounds on an action's time that fire: they cancel its body, whatever it waits for, and name the bound."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flyte_notebook.engine.stopping import Stop, has_heard
from flyte_notebook.record.model import Phase

if TYPE_CHECKING:
    from typing import Self

    from flyte_notebook import errors
    from flyte_notebook.engine.context import Call


class Bound:
    """At most `seconds` from `start` until the end of this `async with` block; None is no bound.

    Not `asyncio.timeout`: a body that waits in a nested loop is only woken through its children.

    Raises:
        TaskTimeoutError: of the class given, when the time ran out and the block was cancelled for that, whatever came
            of it: CancelledError, or the result of a body that has caught that. Other errors stay what they are.
    """

    def __init__(self, call: Call, seconds: float | None, error: type[errors.TaskTimeoutError], what: str) -> None:
        self._call = call
        self._seconds = seconds
        self._error = error
        self._what = what
        self._timer: asyncio.TimerHandle | None = None
        self._stop: Stop | None = None
        """Set when the time ran out."""

    def start(self) -> None:
        """The time counts from now."""
        if self._seconds is not None and self._timer is None:
            self._timer = self._call.run.loop.call_later(self._seconds, self._expire)

    def stop(self) -> None:
        """The time no longer counts."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._stop = Stop(self._call, self._timeout(), Phase.TIMED_OUT)
        self._stop.ask()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        runner = self._call.runner
        if self._stop is None or runner is None:
            return
        self._stop.end()
        ignored = error is None and not has_heard(self._call, runner)
        for _ in range(self._stop.asked):
            runner.uncancel()
        await _take_cancellation(runner)
        if runner.cancelling():
            # From outside as well: then that goes first.
            return
        if ignored:
            self._call.stopped = self._call.parent.stopped
        elif error is None or isinstance(error, asyncio.CancelledError) or self._call.forced:
            self._call.forced = False
            self._call.timed_out = True
            raise self._timeout() from None

    def _timeout(self) -> errors.TaskTimeoutError:
        return self._error(f"{self._call.task_name} {self._what} {self._seconds:g} s")


async def _take_cancellation(runner: asyncio.Task[Any]) -> None:
    """Wait here for a cancellation that was taken back before it was delivered.

    Before Python 3.13 a task that was cancelled while it ran nested code, in a blocking call, is told at its next await,
    whatever it has taken back: that must not reach what it does after this.
    """
    if runner.cancelling() or not getattr(runner, "_must_cancel", False):
        return
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if runner.cancelling():
            # From outside, in the meantime.
            raise
